/** Sends recorded frames over UDP in real time, with packets lost, doubled and out of order: the same ones each time. */
import { createSocket } from "node:dgram";
import { setTimeout as wait } from "node:timers/promises";
import type { RtpPayload } from "../../src/transport/file/ogg-opus-player.ts";
import { opusStream } from "./support.ts";

export interface Impairment {
  /** Shares of packets, 0–1. */
  readonly loss: number;
  readonly duplicate: number;
  /** Sent 30 ms late: behind the next one. */
  readonly reorder: number;
  readonly seed?: number;
}

export interface SentCounts {
  packets: number;
  lost: number;
  duplicated: number;
  reordered: number;
}

/** Resolves when the last packet is out. */
export async function sendImpaired(
  frames: readonly RtpPayload[],
  port: number,
  { loss, duplicate, reorder, seed = 1 }: Impairment,
): Promise<SentCounts> {
  const socket = createSocket("udp4");
  const stream = opusStream();
  const counts: SentCounts = { packets: 0, lost: 0, duplicated: 0, reordered: 0 };
  const random = mulberry32(seed);
  const late: Promise<void>[] = [];
  const start = performance.now();
  let dueMs = 0;
  for (const frame of frames) {
    const ahead = start + dueMs - performance.now();
    if (ahead > 1) await wait(ahead);
    dueMs += frame.durationTicks / 48;
    const packet = stream.packet(frame);
    counts.packets++;
    const draw = random();
    if (draw < loss) {
      counts.lost++;
      continue;
    }
    if (draw < loss + reorder) {
      counts.reordered++;
      late.push(wait(30).then(() => void socket.send(packet, port, "127.0.0.1")));
      continue;
    }
    socket.send(packet, port, "127.0.0.1");
    if (draw < loss + reorder + duplicate) {
      counts.duplicated++;
      socket.send(packet, port, "127.0.0.1");
    }
  }
  await Promise.all(late);
  await wait(50);
  socket.close();
  return counts;
}

/** Bryce's mulberry32: small, seeded, good enough to lose packets by. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
