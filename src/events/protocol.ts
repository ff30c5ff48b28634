/**
 * The control messages that travel beside events on the WebSocket, and its names and codes. A frame with `specversion`
 * is an event (schema.ts); one without is one of these. Sending them is websocket-session.ts.
 */
import { z } from "zod";
import type { ErrorCode } from "../core/errors.ts";
import { type EventFilter, eventFilterSchema } from "./event-filter.ts";

export const EVENTS_PATH = "/v1/events";

/** What `hello` says; rises when a client of the old one would misunderstand. */
export const PROTOCOL = "tonetap.v1";

/**
 * WebSocket subprotocols, best first. `tonetap.v1` (or none): events and control messages as JSON texts;
 * `tonetap.v1.cbor`: the same in CBOR, binary. `cloudevents.json`, `cloudevents.cbor`: nothing but events, as the
 * CloudEvents WebSockets binding §3 demands.
 */
export const SUBPROTOCOLS = [PROTOCOL, `${PROTOCOL}.cbor`, "cloudevents.json", "cloudevents.cbor"] as const;

/** Why the service closes a connection. RFC 6455 §7.4.1. */
export const CLOSE_CODES = {
  /** The service is stopping; come back later. */
  goingAway: 1001,
  /** Too many messages in a row that could not be understood. */
  policy: 1008,
  /** A message longer than `hello.limits.maxMessageBytes`. Sent by ws itself. */
  tooBig: 1009,
  /** The subscriber does not read; come back later, with a narrower filter. */
  tryLater: 1013,
} as const;

/** First frame of a connection. */
export interface HelloMessage {
  readonly type: "hello";
  readonly protocol: typeof PROTOCOL;
  /** `source` of the events that follow. */
  readonly source: string;
  /** Names this run of the service: ids of its events begin with it and `-`. After a restart it is another. */
  readonly epoch: string;
  /** Wall time here, RFC 3339. */
  readonly time: string;
  readonly filter: EventFilter;
  /** Events of the snapshot: the next so many events tell what is going on now, the rest is live. */
  readonly snapshot: number;
  /** Events since the position that was asked for: the next so many events; then the rest is live. */
  readonly replay: number;
  /** Whoever has had the snapshot or the replay has everything up to here: to be given as `after` later. */
  readonly position: string;
  readonly limits: {
    /** Bytes of a message to the service. */
    readonly maxMessageBytes: number;
    /** Messages a second to the service. */
    readonly maxMessagesPerSecond: number;
    /** Events kept for a subscriber that is slow. */
    readonly queueLimit: number;
  };
}

/** Answers `subscribe`: from here on every event passes `filter`. A new snapshot follows. */
export interface SubscribedMessage {
  readonly type: "subscribed";
  readonly filter: EventFilter;
  readonly snapshot: number;
  readonly position: string;
  readonly sequence: number;
}

/**
 * Why events are missing. `coalesced`: the subscriber read slowly, and a later event of the same voice and kind says
 * more. `slow`: it read too slowly, and they are lost. `expired`: they happened while it was away, and are kept no more.
 * `restart`: the service has begun anew, and whether anything was missed of its last run nobody knows.
 */
export type GapReason = "coalesced" | "slow" | "expired" | "restart";

export const GAP_REASONS = [
  "coalesced",
  "slow",
  "expired",
  "restart",
] as const satisfies readonly GapReason[];

/** Events are missing here. */
export interface GapMessage {
  readonly type: "gap";
  readonly reason: GapReason;
  /** So many; absent where nobody knows. */
  readonly dropped?: number;
  readonly sequence: number;
}

/** Nothing that passes the filter has happened up to here: the position to come back with, should the connection break. */
export interface BookmarkMessage {
  readonly type: "bookmark";
  readonly position: string;
  /**
   * Events of this connection up to here, those left out by gaps included, those of snapshots not. A subscriber that
   * counts them too has the same number.
   */
  readonly sequence: number;
}

/** The service stops, and this was all: the last message of a connection. */
export interface EndMessage {
  readonly type: "end";
  /** Says to the next run that nothing was missed of this one. */
  readonly position: string;
  readonly sequence: number;
}

/** A message from the client was not understood. The connection stays, unless it happens too often. */
export interface ErrorMessage {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly message: string;
}

/** What the service says besides events. */
export type ControlMessage =
  | HelloMessage
  | SubscribedMessage
  | GapMessage
  | BookmarkMessage
  | EndMessage
  | ErrorMessage;

/** What a client may say. */
export const clientMessageSchema = z.strictObject({
  type: z.literal("subscribe"),
  filter: eventFilterSchema,
});

export interface SubscribeMessage {
  readonly type: "subscribe";
  readonly filter: EventFilter;
}

const controlCount = z.int().min(0);
const position = z
  .string()
  .describe("To be given as `after` (or Last-Event-ID) by whoever has had all up to here.");
const sequence = controlCount.describe(
  "Events of this connection up to here, those left out by gaps included, those of snapshots not.",
);

/** The same as {@link ControlMessage}, for the AsyncAPI document and for tests. */
export const CONTROL_SCHEMAS = {
  hello: z
    .object({
      type: z.literal("hello"),
      protocol: z.literal(PROTOCOL),
      source: z.string().describe("`source` of the events that follow."),
      epoch: z.string().describe("This run of the service: ids of its events begin with it and `-`."),
      time: z.iso.datetime().describe("Wall time of the service, RFC 3339, UTC."),
      filter: eventFilterSchema,
      snapshot: controlCount.describe(
        "So many events follow that tell what is going on now; the rest is live.",
      ),
      replay: controlCount.describe("So many events follow that were missed; the rest is live."),
      position,
      limits: z.object({
        maxMessageBytes: controlCount.describe("Bytes of a message to the service."),
        maxMessagesPerSecond: controlCount.describe("Messages a second to the service."),
        queueLimit: controlCount.describe("Events kept for a subscriber that is slow."),
      }),
    })
    .describe("First frame of a connection."),
  subscribed: z
    .object({
      type: z.literal("subscribed"),
      filter: eventFilterSchema,
      snapshot: controlCount,
      position,
      sequence,
    })
    .describe("The filter is changed. Every event from here on passes it; a new snapshot comes first."),
  gap: z
    .object({
      type: z.literal("gap"),
      reason: z
        .enum(GAP_REASONS)
        .describe(
          "`coalesced`: you read slowly, and a later event of the same voice and kind says more. `slow`: you read too " +
            "slowly. `expired`: too long ago to be replayed. `restart`: the service began anew.",
        ),
      dropped: z.int().min(1).optional().describe("So many events; absent where nobody knows."),
      sequence,
    })
    .describe("Events are missing here."),
  bookmark: z
    .object({ type: z.literal("bookmark"), position, sequence })
    .describe("You have had everything up to here, even if no event passed your filter lately."),
  end: z
    .object({ type: z.literal("end"), position, sequence })
    .describe("The service stops, and you have had everything. Comes before close code 1001."),
  error: z
    .object({ type: z.literal("error"), code: z.string(), message: z.string() })
    .describe("A message to the service was not understood."),
} as const satisfies { readonly [K in ControlMessage["type"]]: z.ZodType };
