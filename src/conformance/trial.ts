/** One run of a source under test: what it gave, how it ended. What is to be thought of it is checks.ts. */
import type { Subscription } from "rxjs";
import type { AudioSource } from "../core/audio-source.ts";
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import type { RtpPacket, SenderReport } from "../core/rtp.ts";

/** How often it is looked whether something has come, ms. */
const LOOK_MS = 5;

/** A packet, and what its payload was when it came. */
export interface Heard {
  readonly packet: RtpPacket;
  readonly bytes: Uint8Array;
  readonly atMs: number;
}

export type End = { readonly kind: "complete" } | { readonly kind: "error"; readonly error: unknown };

export class Trial {
  readonly source: AudioSource;
  readonly heard: Heard[] = [];
  readonly reports: SenderReport[] = [];
  /** Undefined while it lasts. */
  end: End | undefined;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #subscriptions: Subscription[] = [];

  constructor(source: AudioSource, clock: Clock, timeoutMs: number) {
    this.source = source;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  listen(): void {
    const { packets, senderReports } = this.source;
    this.#subscriptions.push(
      packets.subscribe({
        next: (packet) => {
          const bytes = packet.payload instanceof Uint8Array ? packet.payload.slice() : new Uint8Array();
          this.heard.push({ packet, bytes, atMs: this.#clock.now() });
        },
        error: (error: unknown) => {
          this.end = { kind: "error", error };
        },
        complete: () => {
          this.end = { kind: "complete" };
        },
      }),
    );
    if (senderReports === undefined) return;
    this.#subscriptions.push(
      senderReports.subscribe({
        next: (report) => this.reports.push(report),
        // Packets say that a source failed.
        error: () => undefined,
      }),
    );
  }

  stopListening(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  /** @returns whether the condition held in time */
  async eventually(condition: () => boolean): Promise<boolean> {
    const untilMs = this.#clock.now() + this.#timeoutMs;
    while (!condition()) {
      if (this.#clock.now() >= untilMs) return false;
      await this.#wait(LOOK_MS);
    }
    return true;
  }

  /** Resolves when nothing has come for `quietMs`, at the latest after the time limit. */
  async quiet(quietMs: number): Promise<void> {
    const untilMs = this.#clock.now() + this.#timeoutMs;
    let count = -1;
    while (count !== this.heard.length && this.#clock.now() < untilMs) {
      count = this.heard.length;
      await this.#wait(quietMs);
    }
  }

  /** @throws TonetapError timeout, naming what took too long; else what `work` throws */
  async inTime<T>(what: string, work: Promise<T>): Promise<T> {
    let cancel = (): void => undefined;
    const late = new Promise<never>((_, reject) => {
      cancel = this.#clock.schedule(this.#timeoutMs, () =>
        reject(new TonetapError("timeout", `${what} took more than ${this.#timeoutMs} ms`)),
      );
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      cancel();
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.schedule(ms, resolve));
  }
}
