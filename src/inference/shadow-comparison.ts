/** Counts how often a model in the shadow agrees with the one that is heard. */
import type { DroppedWindow, EmotionEstimate } from "../core/window.ts";

export interface ShadowFigures {
  /** Windows that both judged. */
  readonly compared: number;
  /** Of those, with the same label on top. */
  readonly agreed: number;
  /** Mean distance of their probabilities over those windows: half the sum of the differences, 0–1. */
  readonly meanDistance: number;
  /** Windows that one of them did not judge. */
  readonly missed: number;
}

type Answer = Promise<EmotionEstimate | DroppedWindow>;

export class ShadowComparison {
  #compared = 0;
  #agreed = 0;
  #distance = 0;
  #missed = 0;

  get figures(): ShadowFigures {
    return {
      compared: this.#compared,
      agreed: this.#agreed,
      meanDistance: this.#compared === 0 ? 0 : this.#distance / this.#compared,
      missed: this.#missed,
    };
  }

  /** Neither answer rejects. */
  compare(heard: Answer, shadow: Answer): void {
    void Promise.all([heard, shadow]).then(([a, b]) => {
      if (a.kind === "dropped" || b.kind === "dropped") {
        this.#missed++;
        return;
      }
      this.#compared++;
      if (top(a.probabilities) === top(b.probabilities)) this.#agreed++;
      let difference = 0;
      for (const [i, p] of a.probabilities.entries()) difference += Math.abs(p - (b.probabilities[i] ?? 0));
      this.#distance += difference / 2;
    });
  }
}

const top = (probabilities: Float32Array): number =>
  probabilities.reduce((best, p, i) => (p > (probabilities[best] ?? 0) ? i : best), 0);
