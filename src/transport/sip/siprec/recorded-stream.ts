/** One stream of a recording: its port for as long as it is offered, and the voice that it carries now, if it is wanted. */
import type { AudioSource, ParticipantInfo } from "../../../core/audio-source.ts";
import { AudioLeg, type AudioLegOptions, type MediaSettings } from "../audio-leg.ts";
import type { Heard } from "../sip-call.ts";
import { type SipCallInfo, sipCallInfo } from "../sip-call-info.ts";
import type { SipVoice } from "../sip-reception.ts";
import type { RecordedPerson } from "./recording-metadata.ts";
import type { NamedVoice, RecordedVoice } from "./voices.ts";

export interface RecordedStreamOptions extends AudioLegOptions {
  readonly label: string;
}

export class RecordedStream {
  readonly leg: AudioLeg;
  /** `a=label`. */
  label: string;
  #voice: RecordedVoice | undefined;
  #participant: ParticipantInfo | undefined;
  #source: SipVoice | undefined;
  #refused: string | undefined;

  private constructor(leg: AudioLeg, label: string) {
    this.leg = leg;
    this.label = label;
  }

  /** @throws TonetapError overloaded, unavailable when there is no port. */
  static async open(
    settings: MediaSettings,
    { label, ...options }: RecordedStreamOptions,
  ): Promise<RecordedStream> {
    return new RecordedStream(await AudioLeg.open(settings, options), label);
  }

  /** Undefined: nobody listens. */
  get source(): SipVoice | undefined {
    return this.#source?.closed === true ? undefined : this.#source;
  }

  /** Whom its owner was told of. */
  get participant(): ParticipantInfo | undefined {
    return this.source === undefined ? undefined : this.#participant;
  }

  get participantId(): string | undefined {
    return this.participant?.participantId;
  }

  /** Who spoke in it last, as far as is known. */
  get people(): readonly RecordedPerson[] {
    return this.#voice?.people ?? [];
  }

  /** Why the owner does not want the voice that it carries. */
  get refused(): string | undefined {
    return this.#refused;
  }

  /** Whether this voice was given to the owner, wanted or not. */
  carries({ label, people }: RecordedVoice): boolean {
    const known = this.#voice;
    if (known === undefined || known.label !== label || known.people.length !== people.length) return false;
    // Who turns out to be an agent is asked about anew.
    return people.every(({ id, role }) =>
      known.people.some((person) => person.id === id && person.role === role),
    );
  }

  /** Ends the voice; the port stays. */
  silence(): void {
    const source = this.#source;
    this.#source = undefined;
    this.#participant = undefined;
    this.#voice = undefined;
    this.#refused = undefined;
    void source?.close();
  }

  /**
   * Offers the voice to the owner.
   * @param onClosed the owner has closed it
   * @throws what the owner refuses by
   */
  async give(
    { recorded, participant }: NamedVoice,
    invitation: Heard,
    onCall: (source: AudioSource, call: SipCallInfo) => unknown,
    onClosed: () => void,
  ): Promise<void> {
    const source: SipVoice = await this.leg.source.voice(() => {
      // Not while it is silenced, or refused.
      if (this.#source !== source) return;
      this.#refused = "nobody listens to it any more";
      onClosed();
    });
    try {
      await onCall(source, sipCallInfo(invitation, participant, recorded));
    } catch (error) {
      await source.close();
      throw error;
    }
    this.#voice = recorded;
    this.#source = source;
    this.#participant = participant;
    if (source.closed) this.#refused = "nobody listens to it any more";
  }

  /** The metadata says that nobody speaks in it now: whatever comes is nobody's voice. */
  set held(held: boolean) {
    if (this.#source !== undefined) this.#source.held = held;
  }

  get held(): boolean {
    return this.#source?.held ?? true;
  }

  /** Nobody wants this voice: it is not offered again. */
  refuse(voice: RecordedVoice, why: string): void {
    this.#voice = voice;
    this.#refused = why;
  }

  /** The recording has new things to say of the same voice. */
  renew(participant: ParticipantInfo): void {
    this.#participant = participant;
  }

  close(): Promise<void> {
    return this.leg.source.close();
  }
}
