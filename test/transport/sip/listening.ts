/** What is heard of a leg: its packets through jitter buffer and decoder, as 16 kHz samples. */
import type { AudioSource } from "../../../src/core/audio-source.ts";
import { systemClock } from "../../../src/core/clock.ts";
import { MediaClock } from "../../../src/core/media-clock.ts";
import { SAMPLES_PER_MS } from "../../../src/core/units.ts";
import { createOpusDecoder, decodeAudio } from "../../../src/stream/index.ts";
import {
  createJitterStats,
  type JitterBufferOptions,
  type JitterStats,
  jitterBuffer,
} from "../../../src/transport/index.ts";

export interface Listening {
  readonly stats: JitterStats;
  readonly listen: (source: AudioSource) => void;
  /** Everything up to now. */
  readonly samples: () => Float32Array;
  /** Media time of the last sample, ms since the first. */
  readonly endMs: () => number;
  /** Resolves when the source completes. */
  readonly completed: Promise<void>;
}

/** @param waits for missing packets, where the machine's business must not decide what is lost */
export async function listening(
  waits: Pick<JitterBufferOptions, "minWaitMs" | "maxWaitMs"> = {},
): Promise<Listening> {
  const opus = await createOpusDecoder();
  const stats = createJitterStats();
  const parts: Float32Array[] = [];
  let end = 0;
  const { promise: completed, resolve, reject } = Promise.withResolvers<void>();
  return {
    stats,
    completed,
    endMs: () => end / SAMPLES_PER_MS,
    listen: ({ codecs, packets }) => {
      const mediaClock = new MediaClock(systemClock);
      packets
        .pipe(
          jitterBuffer({ ...waits, clock: systemClock, codecs, stats }),
          decodeAudio({ opus, codecs, mediaClock }),
        )
        .subscribe({
          next: (unit) => {
            if (unit.kind !== "pcm") return;
            parts.push(Float32Array.from(unit.samples));
            end = unit.start + unit.samples.length;
          },
          error: reject,
          complete: resolve,
        });
    },
    samples: () => {
      const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.length;
      }
      return whole;
    },
  };
}
