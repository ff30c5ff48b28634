/**
 * Jitsi Videobridge's audio export (its org.jitsi.mediajson): one connection a conference, one tag an SSRC, RTP payloads
 * of Opus in base64 with the RTP timestamp on a common 48 kHz clock and an unwrapped sequence number as `chunk`.
 */
import { z } from "zod";
import { TonetapError } from "../../core/errors.ts";
import { isPrintable } from "../participant-fields.ts";
import { parseMessage } from "./json-message.ts";
import { type MediaFormat, mediaFormat, readPayload } from "./media-format.ts";
import type { MediaLink, MediaSession } from "./media-session.ts";
import { MediaTrack } from "./media-track.ts";
import { type Parameters, participantFrom, readParameters } from "./participant-parameters.ts";

/** A bridge does not say that somebody has left: who has not been heard for this long has, ms. */
const SILENCE_MS = 30_000;
/** SSRCs of a conference at most. */
const MAX_TAGS = 1_000;

const number = z.union([z.number(), z.string().regex(/^\d{1,18}$/)]).transform(Number);
const tag = z.string().refine(isPrintable);
const start = z.object({
  tag,
  mediaFormat: z.object({ encoding: z.string(), sampleRate: z.number() }),
  customParameters: z.object({ endpointId: z.string().refine(isPrintable).nullish() }).nullish(),
});
const media = z.object({ tag: z.string(), chunk: number, timestamp: number, payload: z.string() });

interface Tag {
  readonly endpointId: string;
  readonly ssrc: number;
  readonly format: MediaFormat;
}

export function jitsiDialect(link: MediaLink): MediaSession {
  return new JitsiSession(link);
}

class JitsiSession implements MediaSession {
  readonly #link: MediaLink;
  readonly #parameters: Parameters;
  readonly #tags = new Map<string, Tag>();
  /** By endpoint: a new SSRC of one is the same voice. */
  readonly #voices = new Map<string, MediaTrack>();
  #ssrcs = 0;

  /** @throws TonetapError invalid-argument for a query that is not right */
  constructor(link: MediaLink) {
    this.#link = link;
    this.#parameters = readParameters(link.query);
    // A conference where nobody speaks yet sends nothing.
    link.started();
  }

  text(message: string): void {
    const value = parseMessage(message);
    switch (value.event) {
      case "media":
        this.#media(value.media);
        break;
      case "start":
        this.#start(value.start);
        break;
      case "ping":
        // The bridge reconnects when its pings are not answered.
        this.#link.send(JSON.stringify({ event: "pong", id: Number(value.id ?? 0) }));
        break;
      // The end of the session is the end of the connection; transcripts are not ours.
      default:
        if (typeof value.event !== "string") throw new TonetapError("protocol", "a message has no event");
    }
  }

  binary(): void {
    throw new TonetapError("protocol", "the bridge's export is of text messages");
  }

  tick(): void {
    const now = this.#link.clock.now();
    for (const [endpointId, voice] of this.#voices) {
      // Who was refused or detached stays so as long as media comes for them.
      if (now - voice.heardMs < SILENCE_MS) continue;
      voice.end(true);
      this.#voices.delete(endpointId);
    }
  }

  ended(timedOut: boolean): void {
    for (const voice of this.#voices.values()) voice.end(timedOut);
    this.#voices.clear();
    this.#tags.clear();
  }

  #start(value: unknown): void {
    const { success, data } = start.safeParse(value);
    if (!success) throw new TonetapError("protocol", "start has no right tag or mediaFormat");
    if (!this.#tags.has(data.tag) && this.#tags.size >= MAX_TAGS) {
      throw new TonetapError("protocol", `a conference has ${MAX_TAGS} streams at most`);
    }
    const { encoding, sampleRate } = data.mediaFormat;
    this.#tags.set(data.tag, {
      endpointId: data.customParameters?.endpointId ?? data.tag,
      ssrc: ++this.#ssrcs,
      format: mediaFormat(encoding, sampleRate),
    });
  }

  #media(value: unknown): void {
    const { success, data } = media.safeParse(value);
    if (!success) throw new TonetapError("protocol", "media has no right tag, chunk, timestamp or payload");
    const stream = this.#tags.get(data.tag);
    if (stream === undefined) throw new TonetapError("protocol", "media of a tag without start");
    const voice = this.#voices.get(stream.endpointId) ?? this.#join(stream);
    const { payload } = readPayload(data.payload, stream.format);
    voice.take(data.chunk, data.timestamp, payload, stream.ssrc);
  }

  #join({ endpointId, format }: Tag): MediaTrack {
    const { participantId: _, ...participant } = participantFrom(this.#parameters, "", {
      callId: this.#link.id,
      participantId: endpointId,
    });
    const voice = new MediaTrack({
      link: this.#link,
      kind: "jitsi",
      // The query speaks of all of them: it can name the call, but not one participant.
      participant: { ...participant, participantId: endpointId },
      format,
    });
    this.#voices.set(endpointId, voice);
    return voice;
  }
}
