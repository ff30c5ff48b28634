/** A platform of your own as an AudioSource: here, raw µ-law bytes of a TCP connection, 8 kHz, as many recorders send them. */
import type { Socket } from "node:net";
import { Observable } from "rxjs";
import { type AudioSource, PCMU, type RtpPacket, systemClock } from "tonetap";

const FRAME_BYTES = 160; // 20 ms

export function sourceFromSocket(socket: Socket): AudioSource {
  return {
    kind: "tcp-mulaw",
    codecs: new Map([[0, PCMU]]),
    packets: new Observable<RtpPacket>((subscriber) => {
      let sequence = 0;
      let held = Buffer.alloc(0);
      socket.on("data", (bytes) => {
        held = Buffer.concat([held, bytes]);
        for (; held.length >= FRAME_BYTES; held = held.subarray(FRAME_BYTES)) {
          subscriber.next({
            sequence: sequence & 0xffff,
            timestamp: (sequence++ * FRAME_BYTES) >>> 0,
            ssrc: 1,
            payloadType: 0,
            marker: sequence === 1,
            payload: Uint8Array.from(held.subarray(0, FRAME_BYTES)),
            arrivalMs: systemClock.now(),
          });
        }
      });
      socket.on("error", (error) => subscriber.error(error));
      socket.on("close", () => subscriber.complete());
      // Whoever subscribes after the end gets an end.
      if (socket.destroyed) subscriber.complete();
    }),
    close: async () => void socket.destroy(),
  };
}
