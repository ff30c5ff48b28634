/**
 * Twilio Media Streams (its page "Media Streams – WebSocket Messages") and those that speak it: Telnyx (snake_case, more
 * codecs, "media frame order is not guaranteed"), SignalWire, Fonoster. One stream a connection, one participant a track.
 */
import { z } from "zod";
import { TonetapError } from "../../core/errors.ts";
import { LINE_CONSENTS, telephoneKey } from "../../core/line-signal.ts";
import { isPrintable } from "../participant-fields.ts";
import { ChunkClock } from "./chunk-clock.ts";
import { parseMessage } from "./json-message.ts";
import { type MediaFormat, mediaFormat, readPayload } from "./media-format.ts";
import { CLOSE, type MediaLink, type MediaSession } from "./media-session.ts";
import { MediaTrack } from "./media-track.ts";
import { type Parameters, participantFrom, readParameters } from "./participant-parameters.ts";

/** Of a stream; Telnyx calls them `inbound_track` in one place. */
const TRACKS = ["inbound", "outbound"] as const;
type TrackName = (typeof TRACKS)[number];

const id = z.string().refine(isPrintable);
const parameters = z.record(z.string(), z.unknown()).nullish();
const start = z.object({
  callSid: id.optional(),
  call_control_id: id.optional(),
  streamSid: id.optional(),
  tracks: z.array(z.string()).max(8).optional(),
  customParameters: parameters,
  custom_parameters: parameters,
  mediaFormat: z.object({ encoding: z.string(), sampleRate: z.number() }).optional(),
  media_format: z.object({ encoding: z.string(), sample_rate: z.number() }).optional(),
});

/** Numbers come as text (Twilio, Telnyx) or as numbers. */
const number = z.union([z.number(), z.string().regex(/^\d{1,15}$/)]).transform(Number);
const media = z.object({
  track: z.string().optional(),
  chunk: number.optional(),
  timestamp: number.optional(),
  payload: z.string(),
});

const dtmf = z.object({ track: z.string().optional(), digit: z.string().max(8) });
const consent = z.object({ track: z.string().optional(), consent: z.enum(LINE_CONSENTS) });

interface Track {
  readonly voice: MediaTrack;
  readonly time: ChunkClock;
  /** For senders that number nothing. */
  chunks: number;
}

export function twilioDialect(link: MediaLink): MediaSession {
  return new TwilioSession(link);
}

class TwilioSession implements MediaSession {
  readonly #link: MediaLink;
  readonly #tracks = new Map<TrackName, Track>();
  #stream:
    | { readonly callId: string; readonly parameters: Parameters; readonly format: MediaFormat }
    | undefined;
  #authorized = Promise.resolve(true);
  #stopped = false;

  constructor(link: MediaLink) {
    this.#link = link;
  }

  text(message: string): void {
    const value = parseMessage(message);
    switch (value.event) {
      case "media":
        this.#media(value.media);
        break;
      case "start":
        this.#start(value);
        break;
      case "stop":
        this.ended(false);
        this.#link.close(CLOSE.normal, "stopped");
        break;
      case "dtmf":
        this.#key(value.dtmf);
        break;
      case "consent":
        this.#consent(value);
        break;
      // Nothing to be told: our own marks coming back, the greeting, Telnyx's complaints.
      case "connected":
      case "mark":
      case "error":
        break;
      default:
        throw new TonetapError("protocol", "there is no such event in Media Streams");
    }
  }

  binary(): void {
    throw new TonetapError("protocol", "Media Streams are of text messages");
  }

  ended(timedOut: boolean): void {
    this.#stopped = true;
    for (const { voice } of this.#tracks.values()) voice.end(timedOut);
  }

  #start(value: Readonly<Record<string, unknown>>): void {
    if (this.#stream !== undefined) throw new TonetapError("protocol", "a second start in one stream");
    const said = start.safeParse(value.start);
    if (!said.success)
      throw new TonetapError("protocol", "start has no right streamSid, tracks or mediaFormat");
    const { data } = said;
    try {
      const own = data.customParameters ?? data.custom_parameters ?? {};
      const { encoding, rateHz } = formatOf(data);
      this.#stream = {
        callId: data.callSid ?? data.call_control_id ?? data.streamSid ?? this.#link.id,
        parameters: readParameters(this.#link.query, own),
        format: mediaFormat(encoding, rateHz),
      };
      this.#link.started();
      if (!this.#link.isAuthorized) this.#authorized = this.#authorize(own.token);
      // A listed track joins before it speaks; one that is not listed (Telnyx) when it does.
      for (const name of data.tracks ?? []) this.#trackOf(name);
    } catch (error) {
      const { code, message } = TonetapError.from(error);
      this.#link.close(code === "media" ? CLOSE.unsupported : CLOSE.policy, message);
    }
  }

  async #authorize(token: unknown): Promise<boolean> {
    if (await this.#link.authorize(typeof token === "string" ? token : undefined)) return true;
    this.#link.close(CLOSE.policy, "a valid token is needed: custom parameter token");
    return false;
  }

  #media(value: unknown): void {
    if (this.#stopped) return;
    if (this.#stream === undefined) throw new TonetapError("protocol", "media before start");
    const { success, data } = media.safeParse(value);
    if (!success) throw new TonetapError("protocol", "media has no right payload, chunk or timestamp");
    const track = this.#trackOf(data.track ?? "inbound");
    if (!track.voice.isWanted) return;
    const { payload, durationTicks } = readPayload(data.payload, this.#stream.format);
    track.chunks++;
    const chunk = data.chunk ?? track.chunks;
    track.voice.take(chunk, track.time.ticksOf(chunk, data.timestamp, durationTicks), payload);
  }

  /** Before start there is nobody whose key it could be. */
  #key(value: unknown): void {
    const { success, data } = dtmf.safeParse(value);
    if (!success) throw new TonetapError("protocol", "dtmf has no digit");
    const key = telephoneKey(data.digit);
    if (this.#stopped || this.#stream === undefined || key === undefined) return;
    this.#trackOf(data.track ?? "inbound").voice.tell({ kind: "key", key });
  }

  /** Of our own: for programs that speak this dialect. */
  #consent(value: unknown): void {
    const { success, data } = consent.safeParse(value);
    if (!success) throw new TonetapError("protocol", "consent is granted or withdrawn, of a track");
    if (this.#stream === undefined) throw new TonetapError("protocol", "consent before start");
    if (this.#stopped) return;
    const { voice } = this.#trackOf(data.track ?? "inbound");
    voice.tell({ kind: "consent", consent: data.consent, by: "message", nature: "act" });
  }

  #trackOf(said: string): Track {
    const name = TRACKS.find((candidate) => said === candidate || said === `${candidate}_track`);
    if (name === undefined || this.#stream === undefined) {
      throw new TonetapError("protocol", "a track is inbound or outbound");
    }
    const known = this.#tracks.get(name);
    if (known !== undefined) return known;
    const { callId, parameters, format } = this.#stream;
    const voice = new MediaTrack(
      {
        link: this.#link,
        kind: "twilio",
        participant: participantFrom(parameters, name === "inbound" ? "" : "outbound", {
          callId,
          participantId: name,
        }),
        format,
        onChange: () => this.#closeIfUnwanted(),
      },
      this.#authorized,
    );
    const track = { voice, time: new ChunkClock(format.codec.clockRateHz), chunks: 0 };
    this.#tracks.set(name, track);
    return track;
  }

  /** An agent whom the policy refuses is left alone; with nobody left to hear, there is no reason to stay. */
  #closeIfUnwanted(): void {
    if (this.#stopped) return;
    const voices = [...this.#tracks.values()].map(({ voice }) => voice);
    if (voices.some((voice) => voice.isWanted)) return;
    const refusal = voices.find((voice) => voice.refusal !== undefined)?.refusal;
    this.#link.close(closeCodeOf(refusal), refusal?.message ?? "detached");
  }
}

/** What a close code can say of why nobody is heard. */
export function closeCodeOf(refusal: TonetapError | undefined): number {
  if (refusal === undefined) return CLOSE.normal;
  return refusal.retryable || refusal.code === "closed" ? CLOSE.tryLater : CLOSE.policy;
}

function formatOf({ mediaFormat: twilio, media_format: telnyx }: z.output<typeof start>): {
  readonly encoding: string;
  readonly rateHz: number;
} {
  if (twilio !== undefined) return { encoding: twilio.encoding, rateHz: twilio.sampleRate };
  if (telnyx !== undefined) return { encoding: telnyx.encoding, rateHz: telnyx.sample_rate };
  return { encoding: "audio/x-mulaw", rateHz: 8_000 };
}
