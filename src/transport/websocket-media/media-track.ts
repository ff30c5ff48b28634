/** One voice of a media connection: attached when it is first known, gone when its owner, its peer or silence ends it. */
import type { ParticipantInfo } from "../../core/audio-source.ts";
import type { TonetapError } from "../../core/errors.ts";
import type { LineSignal } from "../../core/line-signal.ts";
import { MessageSource, oneCodec } from "../message-source.ts";
import type { MediaFormat } from "./media-format.ts";
import type { MediaLink } from "./media-session.ts";

export interface MediaTrackOptions {
  readonly link: MediaLink;
  readonly kind: string;
  readonly participant: ParticipantInfo;
  readonly format: MediaFormat;
  /** Told once it is clear whether the owner takes it, and again when the owner has closed it. */
  readonly onChange?: () => void;
}

/**
 * - `attaching`: media is kept for the owner.
 * - `live`: it has an owner.
 * - `refused`: by policy, by its name being taken, by a limit; `refusal` says why. Media is dropped.
 * - `closed`: its owner does not want it any more. Media is dropped.
 * - `ended`: the peer has left it, or was not heard of.
 */
export type MediaTrackState = "attaching" | "live" | "refused" | "closed" | "ended";

export class MediaTrack {
  readonly participant: ParticipantInfo;
  readonly format: MediaFormat;
  /** Resolves when it is clear whether the owner takes it. */
  readonly settled: Promise<void>;
  readonly #source: MessageSource;
  readonly #clock: MediaLink["clock"];
  readonly #onChange: (() => void) | undefined;
  #state: MediaTrackState = "attaching";
  #refusal: TonetapError | undefined;
  #heardMs: number;

  /** @param authorized attaching waits for it; false refuses without a word */
  constructor(
    { link, kind, participant, format, onChange }: MediaTrackOptions,
    authorized = Promise.resolve(true),
  ) {
    this.participant = participant;
    this.format = format;
    this.#clock = link.clock;
    this.#onChange = onChange;
    this.#heardMs = link.clock.now();
    this.#source = new MessageSource({
      clock: link.clock,
      kind,
      codecs: oneCodec(format.payloadType, format.codec),
      onClose: () => {
        if (this.#state !== "attaching" && this.#state !== "live") return;
        this.#state = "closed";
        this.#onChange?.();
      },
    });
    this.settled = this.#attach(link, authorized);
  }

  get state(): MediaTrackState {
    return this.#state;
  }

  /** Why it was refused. */
  get refusal(): TonetapError | undefined {
    return this.#refusal;
  }

  get isWanted(): boolean {
    return this.#state === "attaching" || this.#state === "live";
  }

  /** Since when nothing has come for it. */
  get heardMs(): number {
    return this.#heardMs;
  }

  take(sequence: number, timestamp: number, payload: Uint8Array, ssrc?: number): void {
    this.#heardMs = this.#clock.now();
    this.#source.take(this.format.payloadType, sequence, timestamp, payload, ssrc);
  }

  /** A key of theirs, or what they say of consent. */
  tell(signal: LineSignal): void {
    this.#source.line.tell(signal);
  }

  end(timedOut: boolean): void {
    if (this.isWanted) this.#state = "ended";
    this.#source.end(timedOut);
  }

  async #attach(link: MediaLink, authorized: Promise<boolean>): Promise<void> {
    if (!(await authorized)) {
      this.end(false);
      return;
    }
    const refusal = await link.attach(this.#source, this.participant);
    if (refusal === undefined) {
      if (this.#state === "attaching") this.#state = "live";
    } else {
      this.#refusal = refusal;
      if (this.isWanted) this.#state = "refused";
      await this.#source.close();
    }
    this.#onChange?.();
  }
}
