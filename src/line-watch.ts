/** Hears what a participant's own line says of consent: signals of its door, and keys of its telephone. Acting on it is participant.ts. */
import type { Subscription } from "rxjs";
import { type ConsentKeyOptions, ConsentKeys } from "./consent-keys.ts";
import type { AudioSource } from "./core/audio-source.ts";
import type { Clock } from "./core/clock.ts";
import type { LineSignal } from "./core/line-signal.ts";
import type { MediaListener } from "./participant-media.ts";
import { TelephoneEvents } from "./transport/index.ts";

type ConsentSignal = Extract<LineSignal, { kind: "consent" }>;

export class LineWatch {
  /** What it wants to hear of the media, analysed or not: who is paused can still press keys. */
  readonly listener: Pick<MediaListener, "onEventPacket">;
  readonly #keys: ConsentKeys;
  readonly #onConsent: (signal: ConsentSignal) => void;
  #signals: Subscription | undefined;
  #ended = false;

  constructor(keys: ConsentKeyOptions, clock: Clock, onConsent: (signal: ConsentSignal) => void) {
    this.#keys = new ConsentKeys(keys, clock);
    this.#onConsent = onConsent;
    const telephone = new TelephoneEvents();
    const onEventPacket: MediaListener["onEventPacket"] = (packet) => {
      const key = telephone.take(packet);
      if (key !== undefined) this.#press(key);
    };
    this.listener = this.#keys.isWatching ? { onEventPacket } : {};
  }

  /** What the door has kept meanwhile comes at once. */
  begin({ signals }: AudioSource): void {
    // A source may have ended at once.
    if (this.#ended) return;
    this.#signals = signals?.subscribe({
      next: (signal) => {
        if (signal.kind === "consent") this.#onConsent(signal);
        else this.#press(signal.key);
      },
      // Packets say that the source failed; its signals ending with it is no news.
      error: () => undefined,
    });
  }

  end(): void {
    this.#ended = true;
    this.#signals?.unsubscribe();
  }

  #press(key: string): void {
    const consent = this.#keys.press(key);
    if (consent !== undefined) this.#onConsent({ kind: "consent", consent, by: "keys", nature: "act" });
  }
}
