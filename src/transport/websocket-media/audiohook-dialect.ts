/**
 * Genesys AudioHook, version 2: one conversation a connection, PCMU in binary messages; the external channel is the
 * customer, the internal one the agent. Time is counted in samples, as the protocol's `position` is.
 */
import { TonetapError } from "../../core/errors.ts";
import { telephoneKey } from "../../core/line-signal.ts";
import { PCMU } from "../../core/rtp.ts";
import {
  type Channel,
  type ClientMessage,
  clientMessage,
  leftOut,
  type MediaOffer,
  mediaOffer,
  NULL_UUID,
  openParameters,
  pressed,
} from "./audiohook-messages.ts";
import { parseMessage } from "./json-message.ts";
import type { MediaFormat } from "./media-format.ts";
import { CLOSE, type MediaLink, type MediaSession } from "./media-session.ts";
import { MediaTrack } from "./media-track.ts";
import { participantFrom, readParameters } from "./participant-parameters.ts";

const RATE_HZ = 8_000;
const FORMAT: MediaFormat = { payloadType: 0, codec: PCMU, isSlin: false };
/** Samples of a packet: messages of up to a second are cut into the 20 ms that telephony has. */
const PACKET_SAMPLES = 160;

/**
 * - `open`: the first message is expected.
 * - `opening`: the owner is asked who may be heard; nothing comes meanwhile.
 * - `ended`: we said disconnect, or the client said close.
 */
type State = "open" | "opening" | "active" | "ended";

export function audiohookDialect(link: MediaLink): MediaSession {
  return new AudioHookSession(link);
}

class AudioHookSession implements MediaSession {
  readonly #link: MediaLink;
  readonly #voices = new Map<Channel, MediaTrack>();
  #state: State = "open";
  #id = "";
  /** Of messages from the client and to it. */
  #clientSeq = 0;
  #serverSeq = 0;
  /** Channels as they are interleaved in binary messages. */
  #channels: readonly Channel[] = [];
  /** Samples since the conversation began, and packets. */
  #position = 0;
  #packets = 0;

  constructor(link: MediaLink) {
    this.#link = link;
  }

  text(message: string): void {
    if (this.#state === "ended") {
      // Only the answer to our disconnect is waited for.
      this.#farewell(message);
      return;
    }
    try {
      this.#handle(this.#read(message));
    } catch (error) {
      this.#disconnect("error", TonetapError.from(error).message);
      throw error;
    }
  }

  binary(data: Buffer): void {
    const channels = this.#channels.length;
    if (this.#state !== "active" || channels === 0) {
      // What was on its way when we said goodbye.
      if (this.#state === "ended") return;
      throw new TonetapError("protocol", "audio came before the session was opened");
    }
    const samples = data.length / channels;
    if (samples === 0 || !Number.isInteger(samples)) {
      throw new TonetapError("protocol", `audio of ${channels} channels cannot be ${data.length} bytes`);
    }
    for (let from = 0; from < samples; from += PACKET_SAMPLES) {
      const count = Math.min(PACKET_SAMPLES, samples - from);
      for (const [index, channel] of this.#channels.entries()) {
        const voice = this.#voices.get(channel);
        if (voice?.isWanted !== true) continue;
        const payload = new Uint8Array(count);
        for (let i = 0; i < count; i++) payload[i] = data[(from + i) * channels + index] ?? 0;
        voice.take(this.#packets, this.#position, payload);
      }
      this.#packets++;
      this.#position += count;
    }
  }

  stop(): void {
    this.#disconnect("completed", "the service is stopping");
  }

  ended(timedOut: boolean): void {
    this.#state = "ended";
    for (const voice of this.#voices.values()) voice.end(timedOut);
  }

  /** @throws TonetapError protocol */
  #read(text: string): ClientMessage {
    const { success, data } = clientMessage.safeParse(parseMessage(text));
    if (!success) throw new TonetapError("protocol", "a message is not as AudioHook 2 has them");
    if (data.seq !== this.#clientSeq + 1) {
      throw new TonetapError("protocol", `seq must be ${this.#clientSeq + 1}, got ${data.seq}`);
    }
    if (data.serverseq > this.#serverSeq) {
      throw new TonetapError("protocol", `serverseq must be 0–${this.#serverSeq}, got ${data.serverseq}`);
    }
    if (this.#id !== "" && data.id !== this.#id) {
      throw new TonetapError("protocol", "the session id changed");
    }
    this.#clientSeq = data.seq;
    this.#id = data.id;
    return data;
  }

  #handle({ type, parameters }: ClientMessage): void {
    switch (type) {
      case "open":
        this.#open(parameters);
        break;
      case "close":
        this.ended(false);
        this.#say("closed");
        this.#link.close(CLOSE.normal, "closed");
        break;
      case "ping":
        this.#say("pong");
        break;
      case "update":
        this.#say("updated");
        break;
      case "discarded":
      case "resumed":
        this.#skip(parameters);
        break;
      case "dtmf":
        this.#key(parameters);
        break;
      // A pause shows in that nothing comes; an error of the client is followed by its close.
      case "paused":
      case "error":
      case "playback_started":
      case "playback_completed":
        break;
      default:
        throw new TonetapError("protocol", "there is no such message in AudioHook 2");
    }
  }

  #open(parameters: unknown): void {
    if (this.#state !== "open") throw new TonetapError("protocol", "a second open in one session");
    const { success, data } = openParameters.safeParse(parameters);
    if (!success)
      throw new TonetapError("protocol", "open has no right conversationId, participant or media");
    const { headers, query } = this.#link;
    const organization = headers["audiohook-organization-id"];
    const session = headers["audiohook-session-id"];
    if (organization !== undefined && organization !== data.organizationId) {
      throw new TonetapError("protocol", "organizationId is another than in the request");
    }
    if (session !== undefined && session !== this.#id) {
      throw new TonetapError("protocol", "the session id is another than in the request");
    }
    const offers = data.media
      .map((offer) => mediaOffer.safeParse(offer).data)
      .filter((offer) => isPcmu(offer));
    if (offers.length === 0) throw new TonetapError("protocol", "PCMU at 8000 Hz must be offered");
    const said = readParameters(query, data.customConfig ?? {});
    this.#state = "opening";
    this.#link.started();
    // A trial of the connection: there is nobody to be heard.
    const isProbe = data.conversationId === NULL_UUID;
    const offered = isProbe ? [] : [...new Set(offers.flatMap(({ channels }) => channels))];
    for (const channel of offered) {
      const isExternal = channel === "external";
      const name = data.participant.aniName ?? "";
      const participant = participantFrom(said, isExternal ? "" : "internal", {
        callId: data.conversationId,
        participantId: isExternal ? data.participant.id : "internal",
        role: isExternal ? "customer" : "agent",
        ...(isExternal && /^\P{C}{1,128}$/u.test(name) ? { displayName: name } : {}),
      });
      this.#voices.set(
        channel,
        new MediaTrack({
          link: this.#link,
          kind: "audiohook",
          participant,
          format: FORMAT,
          onChange: () => this.#closeIfUnwanted(),
        }),
      );
    }
    void Promise.all([...this.#voices.values()].map(({ settled }) => settled)).then(() =>
      this.#opened(offers, isProbe),
    );
  }

  /** An agent whom the policy refuses is not asked for: their voice never leaves Genesys Cloud. */
  #opened(offers: readonly MediaOffer[], isProbe: boolean): void {
    if (this.#state !== "opening") return;
    const wanted = [...this.#voices].filter(([, voice]) => voice.isWanted).map(([channel]) => channel);
    if (wanted.length === 0 && !isProbe) {
      const refusal = [...this.#voices.values()].find((voice) => voice.refusal !== undefined)?.refusal;
      this.#disconnect(refusal === undefined ? "completed" : "error", refusal?.message ?? "detached");
      return;
    }
    const fitting = offers.filter(({ channels }) => wanted.every((channel) => channels.includes(channel)));
    const chosen = fitting.toSorted((a, b) => a.channels.length - b.channels.length)[0] ?? offers[0];
    this.#channels = chosen?.channels ?? [];
    this.#state = "active";
    this.#say("opened", { media: chosen === undefined ? [] : [chosen], startPaused: false });
  }

  /** Nobody is left to hear: the client is asked to close. */
  #closeIfUnwanted(): void {
    if (this.#state !== "active") return;
    if ([...this.#voices.values()].some((voice) => voice.isWanted)) return;
    this.#disconnect("completed", "detached");
  }

  /** Keys are the customer's: agents have a desktop. */
  #key(parameters: unknown): void {
    const { success, data } = pressed.safeParse(parameters);
    if (!success) throw new TonetapError("protocol", "dtmf has no digit");
    const key = telephoneKey(data.digit);
    if (key !== undefined) this.#voices.get("external")?.tell({ kind: "key", key });
  }

  /** Audio that was left out takes its time all the same. */
  #skip(parameters: unknown): void {
    const { success, data } = leftOut.safeParse(parameters);
    if (!success) throw new TonetapError("protocol", "start and discarded must be durations");
    const end = Math.round((data.start + data.discarded) * RATE_HZ);
    this.#position = Math.max(this.#position, end);
  }

  #farewell(text: string): void {
    const { success, data } = clientMessage.safeParse(parseMessage(text));
    if (!success || data.type !== "close") return;
    this.#clientSeq = data.seq;
    this.#say("closed");
    this.#link.close(CLOSE.normal, "closed");
  }

  #disconnect(reason: "completed" | "error", info: string): void {
    if (this.#state === "ended") return;
    this.ended(false);
    this.#say("disconnect", { reason, info });
    this.#link.expectEnd();
  }

  #say(type: string, parameters: Readonly<Record<string, unknown>> = {}): void {
    this.#link.send(
      JSON.stringify({
        version: "2",
        type,
        seq: ++this.#serverSeq,
        clientseq: this.#clientSeq,
        id: this.#id,
        parameters,
      }),
    );
  }
}

const isPcmu = (offer: MediaOffer | undefined): offer is MediaOffer =>
  offer?.type === "audio" && offer.format === "PCMU" && offer.rate === RATE_HZ;
