/** Media units as the jitter buffer emits them, made from a list of packets: for tests of the chain behind it. */
import { from, type Observable } from "rxjs";
import { TonetapError } from "../../src/core/errors.ts";
import type { CodedAudio, MediaUnit } from "../../src/core/media.ts";
import type { AudioLevel } from "../../src/core/rtp.ts";
import { monotonicMs, rtpTicks } from "../../src/core/units.ts";

export const OPUS_TYPE = 111;

/** What became of one packet. */
export type Fate = "packet" | "lost" | "gap";

export interface MediaUnitOptions {
  /** Default: every packet comes. */
  readonly fate?: (index: number) => Fate;
  readonly payloadType?: number;
  readonly clockRateHz?: number;
  /** Default 20. */
  readonly packetMs?: number;
  readonly firstTicks?: number;
  readonly firstArrivalMs?: number;
  readonly audioLevel?: (index: number) => AudioLevel | undefined;
}

/**
 * One unit a packet, arriving when it ends. A lost packet knows the next one if that comes; neighbouring gaps are one.
 * The leading reset is the caller's.
 */
export function mediaUnits(payloads: readonly Uint8Array[], options: MediaUnitOptions = {}): MediaUnit[] {
  const { fate = () => "packet", payloadType = OPUS_TYPE, clockRateHz = 48_000, packetMs = 20 } = options;
  const { firstTicks = 0, firstArrivalMs = 0, audioLevel = () => undefined } = options;
  const packetTicks = (packetMs * clockRateHz) / 1000;
  const units: MediaUnit[] = [];
  for (let i = 0; i < payloads.length; i++) {
    const ticks = rtpTicks(firstTicks + i * packetTicks);
    const payload = payloads[i] ?? new Uint8Array();
    const arrivalMs = monotonicMs(firstArrivalMs + (i + 1) * packetMs);
    const level = audioLevel(i);
    const common = { ticks, clockRateHz, arrivalMs };
    const next: CodedAudio = { payload: payloads[i + 1] ?? new Uint8Array(), payloadType };
    const nextComes = i + 1 < payloads.length && fate(i + 1) === "packet";
    if (fate(i) === "packet") {
      const audio = { payload, payloadType };
      units.push({ kind: "packet", audio, ...common, ...(level === undefined ? {} : { audioLevel: level }) });
    } else if (fate(i) === "lost") {
      units.push({ kind: "lost", durationTicks: packetTicks, ...common, ...(nextComes ? { next } : {}) });
    } else {
      const previous = units.at(-1);
      if (previous?.kind === "gap") {
        units[units.length - 1] = {
          ...previous,
          durationTicks: previous.durationTicks + packetTicks,
          arrivalMs,
        };
      } else units.push({ kind: "gap", durationTicks: packetTicks, ...common });
    }
  }
  return units;
}

export const startUnit: MediaUnit = { kind: "reset", reason: "start", arrivalMs: monotonicMs(0) };

/** Everything a synchronous chain emits; `seen` runs while what it emits may still be borrowed. */
export function drain<T, U>(
  units: readonly T[],
  chain: (source: Observable<T>) => Observable<U>,
  seen: (unit: U) => U = (unit) => unit,
): U[] {
  const out: U[] = [];
  let ended: unknown = "pending";
  from(units)
    .pipe(chain)
    .subscribe({
      next: (unit) => out.push(seen(unit)),
      error: (error: unknown) => {
        ended = error;
      },
      complete: () => {
        ended = "complete";
      },
    });
  if (ended !== "complete") throw TonetapError.from(ended);
  return out;
}
