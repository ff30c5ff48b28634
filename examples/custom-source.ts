/**
 * A platform of your own as an AudioSource: here, raw µ-law bytes of a TCP connection, 8 kHz, as many recorders send
 * them. Everything behind the packets (jitter, decoding, features, windows, model) is the engine's.
 */
import { createServer, type Socket } from "node:net";
import { Observable } from "rxjs";
import { type AudioSource, createEngine, PCMU, type RtpPacket, systemClock } from "tonetap";

const FRAME_BYTES = 160; // 20 ms

function sourceFromSocket(socket: Socket): AudioSource {
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
      socket.on("close", () => subscriber.complete());
      socket.on("error", (error) => subscriber.error(error));
    }),
    async close() {
      socket.destroy();
    },
  };
}

const engine = await createEngine();
engine.events$.subscribe((event) => console.log(JSON.stringify(event)));
let calls = 0;
const server = createServer((socket) => {
  const info = {
    callId: `tcp-${++calls}`,
    participantId: "caller",
    role: "customer",
    consent: "granted",
  } as const;
  engine.attach(sourceFromSocket(socket), info).catch((error: Error) => socket.destroy(error));
});
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
process.once("SIGINT", async () => {
  server.close();
  await engine.close();
});
