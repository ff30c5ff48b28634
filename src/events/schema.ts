/**
 * Every event, as versioned zod schemas: CloudEvents 1.0 in JSON. Owns names, shapes and units.
 * Making events is event-factory.ts; control messages of the WebSocket are protocol.ts.
 *
 * Versions: `type` names the kind and stays. `dataschema` names the shape of `data` and its version. New optional
 * fields and new kinds may come within a version: ignore what you do not know. Anything else is a new version.
 */
import { z } from "zod";
import { OVERLOAD_STEPS } from "../core/overload.ts";
import { PARTICIPANT_DATA } from "./participant-schema.ts";
import {
  AUDIO_MIME_TYPES,
  alert,
  callId,
  count,
  expression,
  failure,
  mediaSpan,
  ms,
  person,
  role,
  rolling,
  share,
  speechEdge,
  wallSpan,
  wallTime,
  windows,
} from "./schema-fields.ts";

/** Version of every `data` shape below. */
export const SCHEMA_VERSION = 1;

/** `data` of each kind. */
export const EVENT_DATA = {
  "call.started": z.object({ callId }).describe("The first participant of a call has joined."),

  "call.ended": z
    .object({
      callId,
      reason: z
        .enum(["empty", "closed", "failed", "shutdown"])
        .describe(
          "The last participant left; the call was closed by its owner; it broke down (see call.failed); " +
            "the service is stopping.",
        ),
      durationMs: ms("From call.started to now"),
      participants: count("Participants it had in all."),
    })
    .describe("A call is over. No event of it follows."),

  "call.failed": z
    .object({ callId, error: failure })
    .describe("A call broke down as a whole. call.ended follows; no other call is touched."),

  ...PARTICIPANT_DATA,

  emotion: z
    .object({
      ...person,
      role,
      index: count("Number of the window, from 0. Gated and dropped windows use up numbers too."),
      scores: z
        .record(z.string(), z.number().min(0).max(1))
        .describe("Smoothed, calibrated probability of each expression; they sum to 1 (±0.001)."),
      top: z.string().describe("The expression in force, after hysteresis: one of the names in `scores`."),
      confidence: share("Smoothed probability of `top`"),
      abstained: z
        .boolean()
        .describe("The model is too unsure to be believed: show nothing rather than `top`."),
      valence: z.number().min(-1).max(1).describe("−1 unpleasant … 1 pleasant."),
      arousal: z.number().min(-1).max(1).describe("−1 calm … 1 excited."),
      media: mediaSpan,
      wall: wallSpan,
      speechShare: share("Share of the window that is speech"),
      lossShare: share("Share of the window that rests on concealed or lost audio"),
      model: z.string().describe("`name@version` of the model that judged it."),
      latency: z.object({
        totalMs: ms("From the arrival of the window's last packet to this event"),
        queuedMs: ms("Wait for batch-mates"),
        inferenceMs: ms("The batch's time in the model"),
      }),
      batchSize: z.int().min(1).describe("Windows, of all calls, in the batch it ran in."),
    })
    .describe("Which emotion a voice expresses in one window of speech."),

  "speech.started": z.object(speechEdge).describe("A talk-spurt begins."),

  "speech.ended": z
    .object({ ...speechEdge, durationMs: ms("Length of the talk-spurt") })
    .describe("A talk-spurt is over."),

  utterance: z
    .object({
      ...person,
      role,
      media: mediaSpan,
      wall: wallSpan,
      durationMs: ms("Length of the talk-spurt"),
      expression: z
        .object({
          ...expression,
          abstained: z.boolean().describe("More than half of the windows abstained: show nothing."),
          peak: z
            .object({
              label: z.string().describe("`top`, or whatever else was surest for a moment."),
              probability: share("Its highest smoothed probability"),
              mediaMs: ms("End of that window in media time"),
            })
            .describe("The surest moment, windows that abstained left out if there are others."),
        })
        .optional()
        .describe(
          "Means over the talk-spurt's windows, weighted by their speech. Absent if none was judged.",
        ),
      windows: z.object({
        judged: count("Windows of this talk-spurt that became emotion events."),
        abstained: count("Those of them that abstained."),
      }),
      abstainedShare: share("`abstained` of `judged`; 0 if none was judged"),
      lossShare: share("Mean share of the windows that rests on concealed or lost audio"),
      speechShare: share("Mean share of the windows that is speech"),
      model: z.string().optional().describe("`name@version` of the model that judged it."),
    })
    .describe(
      "A talk-spurt as a whole, after speech.ended: the final word where emotion events were interim.",
    ),

  "participant.state": z
    .object({ ...person, role, ...rolling })
    .describe("What a participant expresses lately, and where it goes. At most one every `events.stateMs`."),

  "call.state": z
    .object({
      callId,
      voices: count("Participants heard since the call began."),
      ...rolling,
    })
    .describe("The same over all voices of a call, each weighted by its speech."),

  "alert.raised": z
    .object({
      ...alert,
      value: z.number().describe("What the rule measures, now."),
      threshold: z.number().describe("The rule's `above` or `below`."),
      heldMs: ms("Speech for which the rule was met"),
      mediaMs: ms("Media time of the moment"),
    })
    .describe(
      "A rule has been met for as long as it asks. One alert.cleared with the same `alertId` follows.",
    ),

  "alert.cleared": z
    .object({
      ...alert,
      reason: z
        .enum(["calm", "paused", "left", "rule"])
        .describe(
          "No longer met; analysis is paused; the participant left; the rule was changed or removed.",
        ),
      durationMs: ms("From alert.raised to now"),
      peak: z.number().describe("The measure's furthest value while the alert stood."),
    })
    .describe("An alert is over."),

  quality: z
    .object({
      ...person,
      role,
      periodMs: ms("Time since the last quality event; `lossShare` speaks of it"),
      packets: z
        .object({
          received: count("RTP packets that came, all kinds."),
          lost: count("Packets that had not come when their time was up."),
          recovered: count("Lost packets whose audio came from FEC or RED."),
          late: count("Packets that came after their time was up."),
          duplicate: count("Packets that came again."),
          ignored: count("Packets that could not be used: malformed, or of an unknown payload type."),
        })
        .describe("Counted since the participant joined."),
      refused: z
        .record(z.string(), z.int().min(1))
        .optional()
        .describe(
          "Datagrams that became no packet, by reason, since the participant joined: `srtp-not-authentic` (a wrong " +
            "key), `foreign` (another sender's), `over-rate`, …; absent when there were none.",
        ),
      lossShare: share("Lost packets of those expected in the period, before recovery"),
      jitterMs: ms("Interarrival jitter, RFC 3550 §6.4.1"),
      windows,
      codec: z
        .enum(AUDIO_MIME_TYPES)
        .optional()
        .describe("Codec of the latest packet; absent before the first."),
    })
    .describe("How a participant's audio arrives, every `events.qualityMs`."),

  "service.stats": z
    .object({
      calls: count("Calls now."),
      participants: count("Participants now."),
      subscribers: count("Event subscribers now."),
      backend: z.string().describe("What runs the model: `onnxruntime-node/cpu`, …"),
      model: z.string().describe("`name@version` of the model."),
      windowsPerSecond: z.number().min(0).describe("Windows judged a second, over the period."),
      meanBatchSize: z.number().min(0).describe("Windows a batch, over the period."),
      latencyMs: z
        .object({ p50: ms("Median"), p99: ms("99th percentile") })
        .describe("Emotion latency over the period."),
      droppedWindows: count("Windows dropped since the service started."),
      droppedEvents: count("Events that slow subscribers missed since the service started."),
      cpuShare: z.number().min(0).describe("Processor time over the period, in cores."),
      rssBytes: count("Resident memory, bytes."),
      load: z
        .object({
          main: z.number().min(0).describe("Share of its time that the main thread worked."),
          model: z
            .number()
            .min(0)
            .describe("The same of the model's threads; above 1 when windows were dropped."),
          step: z
            .enum(OVERLOAD_STEPS)
            .describe(
              "What is given up for the time being: `longer-hop` windows left out, `skip-low` participants of low " +
                "priority too, `refuse` new participants as well.",
            ),
          shedWindows: count("Windows left out for it since the service started."),
          refusedParticipants: count("Participants refused for it since the service started."),
        })
        .describe("How busy the machine is, and what is done about it."),
      shards: z
        .array(
          z.object({
            up: z.boolean().describe("It works; else it broke down and is started anew."),
            participants: count("Participants whose audio it works on."),
            utilization: share("Share of a core that its event loop is busy, lately"),
            droppedPackets: count("Packets for it that were dropped because it was behind, since the start."),
            restarts: count("Times that it broke down, since the start."),
          }),
        )
        .optional()
        .describe("Threads that work on audio, if there are such beside the main one."),
    })
    .describe("How the service is doing, every `events.statsMs`."),
} as const;

export type EventKind = keyof typeof EVENT_DATA;

export const EVENT_KINDS = Object.keys(EVENT_DATA) as readonly EventKind[];

type DeepReadonly<T> = T extends object ? { readonly [P in keyof T]: DeepReadonly<T[P]> } : T;

/** `data` of an event of kind K. */
export type EventData<K extends EventKind> = DeepReadonly<z.infer<(typeof EVENT_DATA)[K]>>;

/** An event of kind K: a CloudEvents 1.0 envelope around {@link EventData}. */
export interface EventOf<K extends EventKind> {
  readonly specversion: "1.0";
  /** Unique within `source`. Later events of a source have ids that sort after earlier ones, as strings. */
  readonly id: string;
  /** `/tonetap/<instance>`. */
  readonly source: string;
  readonly type: `tonetap.${K}`;
  /** `calls/<callId>/participants/<participantId>`, `calls/<callId>` or `service`; ids percent-encoded. */
  readonly subject: string;
  /** When the event was made, RFC 3339, UTC. */
  readonly time: string;
  readonly datacontenttype: "application/json";
  readonly dataschema: `urn:tonetap:${K}:${typeof SCHEMA_VERSION}`;
  readonly data: EventData<K>;
}

/** An event of one of the kinds K: switch on `type`. */
export type EventOfAny<K extends EventKind> = { [P in K]: EventOf<P> }[K];

/** Any event: switch on `type`. */
export type TonetapEvent = EventOfAny<EventKind>;

const envelope = <K extends EventKind>(kind: K) =>
  z
    .object({
      specversion: z.literal("1.0"),
      id: z.string().min(1).describe("Unique within `source`; ids of later events sort after earlier ones."),
      source: z.string().min(1).describe("`/tonetap/<instance>`: the service that speaks."),
      type: z.literal(`tonetap.${kind}` as const),
      subject: z
        .string()
        .min(1)
        .describe(
          "`calls/<callId>/participants/<participantId>`, `calls/<callId>` or `service`; ids percent-encoded.",
        ),
      time: wallTime("When the event was made"),
      datacontenttype: z.literal("application/json"),
      dataschema: z.literal(`urn:tonetap:${kind}:${SCHEMA_VERSION}` as const),
      data: EVENT_DATA[kind],
    })
    .describe(EVENT_DATA[kind].description ?? "");

/** The whole event of each kind. */
export const EVENT_SCHEMAS = {
  "call.started": envelope("call.started"),
  "call.ended": envelope("call.ended"),
  "call.failed": envelope("call.failed"),
  "participant.joined": envelope("participant.joined"),
  "participant.left": envelope("participant.left"),
  "participant.paused": envelope("participant.paused"),
  "participant.resumed": envelope("participant.resumed"),
  "participant.discarded": envelope("participant.discarded"),
  "participant.consent": envelope("participant.consent"),
  "participant.notice": envelope("participant.notice"),
  "participant.recovered": envelope("participant.recovered"),
  emotion: envelope("emotion"),
  "speech.started": envelope("speech.started"),
  "speech.ended": envelope("speech.ended"),
  utterance: envelope("utterance"),
  "participant.state": envelope("participant.state"),
  "call.state": envelope("call.state"),
  "alert.raised": envelope("alert.raised"),
  "alert.cleared": envelope("alert.cleared"),
  quality: envelope("quality"),
  "service.stats": envelope("service.stats"),
} as const satisfies { readonly [K in EventKind]: z.ZodType };

/** Any event. */
export const tonetapEventSchema = z.discriminatedUnion("type", [
  EVENT_SCHEMAS["call.started"],
  EVENT_SCHEMAS["call.ended"],
  EVENT_SCHEMAS["call.failed"],
  EVENT_SCHEMAS["participant.joined"],
  EVENT_SCHEMAS["participant.left"],
  EVENT_SCHEMAS["participant.paused"],
  EVENT_SCHEMAS["participant.resumed"],
  EVENT_SCHEMAS["participant.discarded"],
  EVENT_SCHEMAS["participant.consent"],
  EVENT_SCHEMAS["participant.notice"],
  EVENT_SCHEMAS["participant.recovered"],
  EVENT_SCHEMAS.emotion,
  EVENT_SCHEMAS["speech.started"],
  EVENT_SCHEMAS["speech.ended"],
  EVENT_SCHEMAS.utterance,
  EVENT_SCHEMAS["participant.state"],
  EVENT_SCHEMAS["call.state"],
  EVENT_SCHEMAS["alert.raised"],
  EVENT_SCHEMAS["alert.cleared"],
  EVENT_SCHEMAS.quality,
  EVENT_SCHEMAS["service.stats"],
]);

/** The kind of an event: its `type` without the prefix. */
export const kindOf = (event: TonetapEvent): EventKind => event.type.slice("tonetap.".length) as EventKind;
