/**
 * How far the analysis of a participant has come: what its windows came to, where the next begins, and the talk-spurt that
 * is open. It outlives chains: what is paused goes on where it was. When they run is participant.ts.
 */
import { type MonotonicMs, SAMPLES_PER_MS, sampleIndex, wallMs } from "./core/units.ts";
import type { EmotionUnit, SpeechEdge } from "./core/window.ts";
import type { WindowCounts } from "./participant-contract.ts";

export class AnalysisProgress {
  readonly windows: WindowCounts = { emitted: 0, abstained: 0, gated: 0, dropped: 0 };
  #nextIndex = 0;
  #nextSample = 0;
  /** Wall time of sample 0, as the newest unit has it. */
  #wallZero: Pick<SpeechEdge, "wallMs" | "wallSource"> = { wallMs: wallMs(0), wallSource: "arrival" };
  /** Begun and not ended: whoever stops the chain ends it. */
  #openSpurt: SpeechEdge | undefined;

  /** Where the next chain begins. */
  get next(): { readonly sample: number; readonly index: number } {
    return { sample: this.#nextSample, index: this.#nextIndex };
  }

  note(unit: EmotionUnit): void {
    switch (unit.kind) {
      case "emotion":
        if (unit.abstained) this.windows.abstained++;
        else this.windows.emitted++;
        break;
      case "gated":
        this.windows.gated++;
        break;
      case "dropped":
        this.windows.dropped++;
        break;
      case "speech":
        this.#openSpurt = unit.state === "started" ? unit : undefined;
        this.#nextSample = Math.max(this.#nextSample, unit.at);
        this.#noteWall(unit.wallMs - unit.mediaMs, unit.wallSource);
        return;
      default:
        unit satisfies never;
    }
    this.#nextIndex = unit.index + 1;
    this.#nextSample = Math.max(this.#nextSample, unit.end);
    this.#noteWall(unit.wallEndMs - unit.mediaEndMs, unit.wallSource);
  }

  /** When the chain stops in the middle of a talk-spurt: it ends with the last audio that was looked at. */
  endSpurt(nowMs: MonotonicMs): SpeechEdge | undefined {
    const started = this.#openSpurt;
    if (started === undefined) return undefined;
    this.#openSpurt = undefined;
    const at = sampleIndex(Math.max(started.at, this.#nextSample));
    const mediaMs = at / SAMPLES_PER_MS;
    return {
      kind: "speech",
      state: "ended",
      at,
      mediaMs,
      wallMs: wallMs(this.#wallZero.wallMs + mediaMs),
      wallSource: this.#wallZero.wallSource,
      durationMs: (at - started.at) / SAMPLES_PER_MS,
      arrivalMs: nowMs,
    };
  }

  #noteWall(zeroMs: number, wallSource: SpeechEdge["wallSource"]): void {
    this.#wallZero = { wallMs: wallMs(zeroMs), wallSource };
  }
}
