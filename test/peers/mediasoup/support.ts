/** What the mediasoup tests share beside the room: waiting, and packets collected from a source. */
import { expect } from "vitest";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import { sleep, systemClock } from "../../../src/core/clock.ts";
import type { RtpPacket } from "../../../src/core/rtp.ts";

export interface Collected {
  readonly packets: RtpPacket[];
  /** `complete`, or the error; undefined while it lasts. */
  end: unknown;
}

export function collect(source: AudioSource): Collected {
  const collected: Collected = { packets: [], end: undefined };
  source.packets.subscribe({
    next: (packet) => collected.packets.push(packet),
    error: (error: unknown) => {
      collected.end = error;
    },
    complete: () => {
      collected.end = "complete";
    },
  });
  return collected;
}

/** Waits until `condition` holds, at most `limitMs`. */
export async function eventually(condition: () => boolean, limitMs = 5_000): Promise<void> {
  const deadline = systemClock.now() + limitMs;
  while (!condition() && systemClock.now() < deadline) await sleep(systemClock, 5);
  expect(condition(), `waited ${limitMs} ms for ${condition}`).toBe(true);
}
