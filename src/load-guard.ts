/**
 * Keeps an engine within its machine: measures the load, has the batcher wait as suits it, gives up what overload.ts
 * says, and tells what it did.
 */
import type { Config } from "./config.ts";
import { type Clock, systemClock } from "./core/clock.ts";
import type { OverloadStep } from "./core/overload.ts";
import type { WindowPriority } from "./core/window.ts";
import type { ModelHost } from "./inference/index.ts";
import { LoadMeter, type ThreadLoad } from "./load-meter.ts";
import { OverloadControl } from "./overload.ts";

/** ms between measurements. */
const MEASURE_MS = 1_000;

export interface LoadGuardOptions {
  readonly clock: Clock;
  readonly config: Config["overload"];
  readonly participants: () => number;
  readonly models: Pick<ModelHost, "stats" | "describeBackends" | "followLoad">;
  /** Further threads, as shares of their time; default: none. */
  readonly others?: () => readonly number[];
}

export interface LoadReport extends ThreadLoad {
  readonly step: OverloadStep;
  readonly shedWindows: number;
  readonly refusedParticipants: number;
}

export class LoadGuard {
  readonly #options: LoadGuardOptions;
  readonly #meter: LoadMeter;
  readonly #control: OverloadControl;
  readonly #on: boolean;
  readonly #stop: () => void;
  #load: ThreadLoad = { main: 0, model: 0 };

  /** @throws TonetapError invalid-argument */
  constructor(options: LoadGuardOptions) {
    const { clock, config } = options;
    this.#options = options;
    this.#on = config.control === "on";
    this.#meter = new LoadMeter(clock);
    this.#control = new OverloadControl(config);
    this.#stop = clock.repeat(MEASURE_MS, () => this.#measure());
  }

  /** @throws TonetapError overloaded when there is no room for one more participant */
  admit(): void {
    if (this.#on) this.#control.admit();
  }

  /** Of a participant's windows one in so many is to be judged: 1 all, Infinity none. */
  paceOf(priority: WindowPriority): number {
    return this.#on ? this.#control.paceOf(priority) : 1;
  }

  /** A window was left out for it. */
  countShed(): void {
    this.#control.countShed();
  }

  /** Refuses new participants for the time being. */
  get refusing(): boolean {
    return this.#on && this.#control.step === "refuse";
  }

  report(): LoadReport {
    const { step, shedWindows, refusedParticipants } = this.#control;
    return { ...this.#load, step: this.#on ? step : "none", shedWindows, refusedParticipants };
  }

  close(): Promise<void> {
    this.#stop();
    return Promise.resolve();
  }

  #measure(): void {
    const { clock, participants, models, others } = this.#options;
    const threads = models.describeBackends().reduce((sum, backend) => sum + backend.threads, 0);
    this.#load = this.#meter.take(models.stats, threads);
    const busiest = Math.max(this.#load.main, this.#load.model, ...(others?.() ?? []));
    // What threads really do says nothing of a clock that is the caller's own.
    if (clock === systemClock) models.followLoad(busiest);
    if (this.#on) this.#control.measure(busiest, participants(), clock.now());
  }
}
