/**
 * The media of a recording session (RFC 7866, the recording server's side): one port a stream, one source a voice, and who
 * speaks where as the metadata changes. Signalling is sip-call.ts; whose voice a stream is, voices.ts.
 */

import type { ParticipantInfo } from "../../../core/audio-source.ts";
import { TonetapError } from "../../../core/errors.ts";
import { ClosesOnce } from "../../../core/lifecycle.ts";
import type { LineSignal } from "../../../core/line-signal.ts";
import { familyOf } from "../audio-leg.ts";
import type { CallMedia, CallMediaContext, MediaAnswer } from "../call-media.ts";
import { LocalDescription } from "../local-description.ts";
import { participantFromHeaders } from "../participant-headers.ts";
import {
  type AnsweredAudio,
  type OfferFrame,
  type RemoteAudio,
  readAudioSections,
  writeAnswers,
} from "../sdp.ts";
import { tokensOf } from "../session-terms.ts";
import { bodyOf, type SipBody } from "../sip-body.ts";
import type { Heard } from "../sip-call.ts";
import { nobody } from "../sip-info.ts";
import { headerOf } from "../sip-message.ts";
import { type IncomingRequest, type Refusal, refusal } from "../sip-request.ts";
import { RecordedStream } from "./recorded-stream.ts";
import { RecordingMetadata, readMetadata } from "./recording-metadata.ts";
import { consentOf, type NamingTerms, nameVoice, peopleIn, type RecordedVoice } from "./voices.ts";

/** Streams of one recording: two ports each. */
const MAX_STREAMS = 16;

/** RFC 7866 §6.1.1 has a recorder say both; some say one, some nothing but the metadata. */
export function isRecording({ message, contact }: IncomingRequest): boolean {
  if (tokensOf(message, "Require").has("siprec") || contact?.params.has("+sip.src") === true) return true;
  const body = bodyOf(message);
  return !("kind" in body) && body.metadata !== undefined;
}

export class RecordingSession extends ClosesOnce implements CallMedia {
  /** RFC 7866 §6.2. */
  readonly featureTag = ";+sip.srs";
  readonly requires: readonly string[] = ["siprec"];
  readonly #context: CallMediaContext;
  readonly #onEnd: () => void;
  readonly #description: LocalDescription;
  readonly #metadata = new RecordingMetadata();
  /** By the place of their sections in the offer (RFC 3264 §8: it never changes). */
  readonly #streams = new Map<number, RecordedStream>();
  /** Of the latest stream: it is closed where the session is closed meanwhile. */
  #opening: Promise<void> | undefined;
  #invitation: Heard | undefined;
  #terms: NamingTerms | undefined;
  /** Voices change places: that one is silent for a moment says nothing. */
  #assigning = false;

  /** @param onEnd it has ended, by whatever side */
  constructor(context: CallMediaContext, onEnd: () => void) {
    super();
    this.#context = context;
    this.#onEnd = onEnd;
    this.#description = new LocalDescription(context.media.announcedHost);
  }

  get closed(): boolean {
    return this.closing;
  }

  get latest(): string | undefined {
    return this.#description.latest;
  }

  async begin(invitation: Heard, { sdp, metadata }: SipBody): Promise<MediaAnswer | Refusal> {
    this.#invitation = invitation;
    const learnt = this.#learn(metadata);
    if (learnt !== undefined) return learnt;
    const terms = this.#namingTerms(invitation.request);
    if ("kind" in terms) return terms;
    this.#terms = terms;
    if (sdp === undefined) return refusal(488, "a recording session begins with an offer of its streams");
    const offered = this.#readOffer(sdp);
    if ("kind" in offered) return offered;
    try {
      const answer = await this.#take(offered, "all");
      if (this.closed) return refusal(480, "the recording was closed before it was answered");
      if (this.#isWanted()) return answer;
      void this.close();
      // Nobody in it may be listened to.
      const [why = "no stream of the recording is wanted"] = answer.warnings ?? [];
      return refusal(403, why);
    } catch (error) {
      void this.close();
      throw error;
    }
  }

  async renegotiate({ sdp, metadata }: SipBody): Promise<MediaAnswer | Refusal> {
    const offered = sdp === undefined ? undefined : this.#readOffer(sdp);
    if (offered !== undefined && "kind" in offered) return offered;
    const learnt = this.#learn(metadata);
    if (learnt !== undefined) return learnt;
    if (offered !== undefined) return this.#take(offered, "some");
    await this.#assign("some");
    // RFC 3264 §8: as an offer, what was agreed says that it stays.
    return { sdp: this.latest, answerDue: true };
  }

  async inform({ metadata }: SipBody): Promise<Refusal | undefined> {
    const learnt = this.#learn(metadata);
    if (learnt === undefined) await this.#assign("some");
    return learnt;
  }

  signal(signal: LineSignal, participantId?: string): Refusal | undefined {
    const voices = [...this.#streams.values()].filter(({ source }) => source !== undefined);
    const meant =
      participantId === undefined ? voices : voices.filter((voice) => voice.participantId === participantId);
    if (participantId !== undefined && meant.length === 0) return nobody(participantId);
    // Of several nobody knows whose keys those are, nor who agreed; that one took it back is enough for all.
    const isForAll = signal.kind === "consent" && signal.consent === "withdrawn";
    if (meant.length > 1 && !isForAll) {
      return signal.kind === "key" ? undefined : refusal(400, "say which participant has agreed");
    }
    for (const { source } of meant) source?.line.tell(signal);
    return undefined;
  }

  takeAnswer({ sdp }: SipBody): boolean {
    const offered = sdp === undefined ? undefined : this.#readOffer(sdp);
    if (offered === undefined || "kind" in offered) return false;
    this.#confirm(offered.audios);
    return true;
  }

  confirmed({ sdp }: SipBody): void {
    const offered = sdp === undefined ? undefined : this.#readOffer(sdp);
    if (offered !== undefined && !("kind" in offered)) this.#confirm(offered.audios);
  }

  expire(): void {
    for (const { leg } of this.#streams.values()) void leg.source.expire();
    void this.close();
  }

  protected async release(): Promise<void> {
    const closing = [...this.#streams.values()].map((stream) => stream.close());
    this.#streams.clear();
    this.#onEnd();
    await Promise.all([...closing, this.#opening]);
  }

  #learn(metadata: string | undefined): Refusal | undefined {
    if (metadata === undefined) return undefined;
    const document = readMetadata(metadata);
    return "kind" in document ? document : this.#metadata.apply(document);
  }

  #namingTerms(request: IncomingRequest): NamingTerms | Refusal {
    const { participantDefaults, recordingRoles } = this.#context;
    const said = participantFromHeaders(request, participantDefaults);
    if ("kind" in said) return said;
    const names = (header: string): boolean => headerOf(request.message, header) !== undefined;
    const { sessionId } = this.#metadata;
    return {
      callId: names("X-Tonetap-Call") || !/^\P{C}{1,128}$/u.test(sessionId) ? said.callId : sessionId,
      participantId: names("X-Tonetap-Participant") ? said.participantId : undefined,
      role: said.role ?? participantDefaults.role,
      consent: said.consent ?? participantDefaults.consent,
      rules: recordingRoles,
    };
  }

  #readOffer(sdp: string): Offer | Refusal {
    const { media } = this.#context;
    const read = readAudioSections(sdp, familyOf(media), media.srtp);
    if ("kind" in read) return read;
    const audios: RemoteAudio[] = [];
    const refused: Refusal[] = [];
    for (const audio of read.audios) {
      const why = "kind" in audio ? audio : this.#streams.get(audio.frame.audio)?.leg.allows(audio);
      if (why !== undefined) refused.push(why);
      else if (!("kind" in audio)) audios.push(audio);
    }
    const [first] = refused;
    if (audios.length === 0 && first !== undefined) return first;
    if (audios.length === 0 && this.#streams.size === 0) return refusal(488, "no audio is offered");
    if (audios.length > MAX_STREAMS) {
      return refusal(488, `${audios.length} audio streams are offered, at most ${MAX_STREAMS} are taken`);
    }
    return {
      frame: read.frame,
      audios,
      warnings: refused.map(({ detail }) => `a stream is refused: ${detail}`),
    };
  }

  /** Streams that are new are opened, those that are not offered any more closed, and all given to whom they are. */
  async #take({ frame, audios, warnings }: Offer, needed: "all" | "some"): Promise<MediaAnswer> {
    await this.#openNew(audios);
    const kept = new Set(audios.map((audio) => audio.frame.audio));
    for (const [section, stream] of this.#streams) {
      if (kept.has(section)) continue;
      this.#streams.delete(section);
      await stream.close();
    }
    const answers: AnsweredAudio[] = [];
    for (const remote of audios) {
      const stream = this.#streams.get(remote.frame.audio);
      if (stream === undefined) continue;
      stream.label = remote.frame.label;
      answers.push({ remote, ...(await stream.leg.answer(remote)) });
    }
    const told = await this.#assign(needed);
    const sdp = this.#description.write((local) =>
      writeAnswers(
        frame,
        local,
        answers.map((answer) => this.#withState(answer)),
      ),
    );
    return { sdp, answerDue: false, warnings: [...warnings, ...told] };
  }

  /** All of them, or none: what is refused changes nothing. */
  async #openNew(audios: readonly RemoteAudio[]): Promise<void> {
    const known = new Set(this.#streams.keys());
    try {
      for (const audio of audios) await this.#open(audio);
    } catch (error) {
      for (const [section, stream] of this.#streams) {
        if (known.has(section)) continue;
        this.#streams.delete(section);
        await stream.close();
      }
      throw error;
    }
  }

  #open(audio: RemoteAudio): Promise<void> {
    const opening = this.#openStream(audio);
    this.#opening = opening.catch(() => undefined);
    return opening;
  }

  async #openStream({ frame, rtcpMux }: RemoteAudio): Promise<void> {
    const { audio: section, label } = frame;
    if (this.closed || this.#streams.has(section)) return;
    const stream = await RecordedStream.open(this.#context.media, {
      label,
      rtcpMux,
      signallingHost: this.#invitation?.origin.host ?? "",
      // Who listens does not speak: only when nothing comes in any stream has the recorder gone.
      othersPatienceMs: () => Math.max(0, ...[...this.#streams.values()].map(({ leg }) => leg.patienceMs)),
      onEnd: () => this.#streamEnded(section),
    });
    if (this.closed) await stream.close();
    else this.#streams.set(section, stream);
  }

  /** RFC 7866 §7.2: a stream that nobody listens to is not sent; `a=record` says what becomes of each. */
  #withState(answer: AnsweredAudio): AnsweredAudio {
    const { label, audio } = answer.remote.frame;
    const stream = this.#streams.get(audio);
    const wanted = stream?.refused === undefined;
    const paused = stream?.held === true || stream?.leg.onHold === true;
    const state = !wanted ? "off" : paused ? "paused" : "on";
    const lines = [...(label === "" ? [] : [`a=label:${label}`]), `a=record:${state}`];
    return { ...answer, unwanted: !wanted, lines };
  }

  /**
   * Gives each stream to the voice that it is; tells the owner of those that are new.
   * @param needed `all`: what the owner refuses by anything but policy is thrown. `some`: the others go on without it.
   * @returns what the peer should know
   */
  async #assign(needed: "all" | "some"): Promise<readonly string[]> {
    const streams = [...this.#streams.values()];
    const voices = streams.map((stream) => ({ stream, voice: this.#voiceOf(stream, streams) }));
    const alone = new Set(
      voices.flatMap(({ voice }) => (voice.mixed ? [] : voice.people.map(({ id }) => id))),
    );
    const speaking = new Set(voices.flatMap(({ voice }) => voice.people.map(({ id }) => id)));
    const told: string[] = [];
    this.#assigning = true;
    try {
      // Whoever moves to another stream leaves the old one first: an id is one voice's.
      for (const { stream, voice } of voices) if (!this.#stays(stream, voice, speaking)) stream.silence();
      for (const { stream, voice } of voices) {
        if (this.closed) break;
        const { label, people, mixed } = voice;
        if (mixed) told.push(`stream ${label} is a mix of ${people.length} people: they are taken as one`);
        stream.held = this.#isNobodys(voice);
        if (stream.carries(voice)) this.#renewConsent(stream, voice);
        else if (mixed && people.every(({ id }) => alone.has(id))) {
          stream.refuse(voice, "its people have streams of their own");
        } else if (!this.#isNobodys(voice)) await this.#give(stream, voice, needed);
        if (stream.refused !== undefined) told.push(`stream ${label} is not wanted: ${stream.refused}`);
      }
    } finally {
      this.#assigning = false;
    }
    return told;
  }

  /** The voice is the same, or is silent: in RFC 7865 who is put on hold sends to no stream any more. */
  #stays(stream: RecordedStream, voice: RecordedVoice, speaking: ReadonlySet<string>): boolean {
    if (!this.#isNobodys(voice)) return stream.carries(voice);
    const silent = new Set(this.#metadata.people.filter(({ id }) => !speaking.has(id)).map(({ id }) => id));
    return stream.people.length > 0 && stream.people.every(({ id }) => silent.has(id));
  }

  /** The metadata says who sends where, and here it is nobody. */
  #isNobodys({ people }: RecordedVoice): boolean {
    return people.length === 0 && this.#metadata.saysWhoSends;
  }

  #renewConsent(stream: RecordedStream, { people }: RecordedVoice): void {
    const { participant } = stream;
    if (participant === undefined || this.#terms === undefined) return;
    const consent = consentOf(people, this.#terms);
    if (consent === participant.consent) return;
    const news = { ...participant, consent };
    stream.renew(news);
    void this.#tellConsent(news);
  }

  async #tellConsent(participant: ParticipantInfo): Promise<void> {
    try {
      await this.#context.onConsent(participant);
    } catch (error) {
      const failure = TonetapError.from(error);
      // Who has just left needs no consent.
      if (failure.code !== "not-found") this.#context.onError(failure);
    }
  }

  async #give(stream: RecordedStream, voice: RecordedVoice, needed: "all" | "some"): Promise<void> {
    const { onCall, onError } = this.#context;
    if (this.#terms === undefined || this.#invitation === undefined) return;
    const taken = new Set([...this.#streams.values()].flatMap(({ participantId }) => participantId ?? []));
    const named = nameVoice(voice, this.#terms, taken);
    try {
      await stream.give(named, this.#invitation, onCall, () => this.#voiceClosed());
    } catch (error) {
      const failure = TonetapError.from(error);
      if (failure.code !== "policy" && needed === "all") throw failure;
      if (failure.code === "internal") onError(failure);
      stream.refuse(voice, failure.code === "internal" ? "internal error" : failure.message);
    }
  }

  #voiceOf({ label }: RecordedStream, streams: readonly RecordedStream[]): RecordedVoice {
    const people = peopleIn(this.#metadata, label, streams.length);
    return { label, sessionId: this.#metadata.sessionId, people, mixed: people.length > 1 };
  }

  #confirm(audios: readonly RemoteAudio[]): void {
    for (const remote of audios) this.#streams.get(remote.frame.audio)?.leg.confirmed(remote);
  }

  /** The owner has closed a voice. When it was the last, it wants nothing of the recording any more. */
  #voiceClosed(): void {
    if (!this.#assigning && !this.#isWanted()) void this.close();
  }

  #isWanted(): boolean {
    return [...this.#streams.values()].some(({ refused }) => refused === undefined);
  }

  /** A port has failed, or nothing has come for too long. */
  #streamEnded(section: number): void {
    const stream = this.#streams.get(section);
    if (stream === undefined || this.closed) return;
    if (stream.leg.source.timedOut) this.expire();
    else {
      this.#streams.delete(section);
      if (this.#streams.size === 0) void this.close();
    }
  }
}

interface Offer {
  readonly frame: OfferFrame;
  readonly audios: readonly RemoteAudio[];
  readonly warnings: readonly string[];
}
