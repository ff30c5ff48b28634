/** What the mediasoup tests share beside the room: packets collected from a source. */
import type { AudioSource } from "../../../src/core/audio-source.ts";
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
