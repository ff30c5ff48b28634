/** The sending side: RTP streams of speech's shape and rate, plain or as SRTP; WebRTC peers are webrtc-sender.ts. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { sleep, systemClock } from "../../src/core/clock.ts";
import { audioLevelExtension, parseInlineKey, SrtpSender, serializeRtp } from "../../src/transport/index.ts";
import type { DoorKey } from "./protocol.ts";

/** Opus at 24 kbit/s. */
const PAYLOAD = Uint8Array.from({ length: 60 }, (_, i) => (i === 0 ? 9 << 3 : 37 * i));
export const FRAME_MS = 20;

/** Sends packet `n` of a stream. */
export type Publisher = (n: number) => void;

export const packet = (n: number, ssrc: number): Uint8Array =>
  serializeRtp({
    sequence: n,
    timestamp: 960 * n,
    ssrc,
    payloadType: 111,
    payload: PAYLOAD,
    extensions: [audioLevelExtension(1, { voice: true, level: 30 })],
  });

/** Streams over UDP from one socket. @param ports one a stream, or one for all */
export async function udpPublishers(
  ports: readonly number[],
  streams: number,
  key: DoorKey | undefined,
): Promise<Publisher[]> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  socket.unref();
  const srtp = key === undefined ? undefined : new SrtpSender(parseInlineKey(key.suite, key.inline));
  return Array.from({ length: streams }, (_, i) => (n: number) => {
    const plain = packet(n, 1 + i);
    socket.send(srtp?.protectRtp(plain) ?? plain, ports[i % ports.length] ?? 0, "127.0.0.1");
  });
}

/** Every publisher sends 50 packets a second, evenly spread, numbered from `first`. @returns packets of each */
export async function play(
  publishers: readonly Publisher[],
  seconds: number,
  first: number,
): Promise<number> {
  const frames = Math.round((seconds * 1_000) / FRAME_MS);
  const total = frames * publishers.length;
  const startMs = systemClock.now();
  let sent = 0;
  while (sent < total) {
    const due = Math.min(total, Math.floor(((systemClock.now() - startMs) * publishers.length) / FRAME_MS));
    for (; sent < due; sent++) {
      publishers[sent % publishers.length]?.(first + Math.floor(sent / publishers.length));
    }
    await sleep(systemClock, 1);
  }
  return frames;
}
