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
 * WebSocket subprotocols, best first. `tonetap.v1` (or none): events and control messages.
 * `cloudevents.json`: nothing but events, as the CloudEvents WebSockets binding §3 demands.
 */
export const SUBPROTOCOLS = [PROTOCOL, "cloudevents.json"] as const;

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
  /** Wall time here, RFC 3339. */
  readonly time: string;
  readonly filter: EventFilter;
  /** Events of the snapshot: the next so many frames tell what is going on now, the rest is live. */
  readonly snapshot: number;
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
}

/** Events were left out here because the subscriber read too slowly. */
export interface GapMessage {
  readonly type: "gap";
  readonly dropped: number;
}

/** A message from the client was not understood. The connection stays, unless it happens too often. */
export interface ErrorMessage {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly message: string;
}

/** What the service says besides events. */
export type ControlMessage = HelloMessage | SubscribedMessage | GapMessage | ErrorMessage;

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

/** The same as {@link ControlMessage}, for the AsyncAPI document and for tests. */
export const CONTROL_SCHEMAS = {
  hello: z
    .object({
      type: z.literal("hello"),
      protocol: z.literal(PROTOCOL),
      source: z.string().describe("`source` of the events that follow."),
      time: z.iso.datetime().describe("Wall time of the service, RFC 3339, UTC."),
      filter: eventFilterSchema,
      snapshot: controlCount.describe(
        "So many frames follow that tell what is going on now; the rest is live.",
      ),
      limits: z.object({
        maxMessageBytes: controlCount.describe("Bytes of a message to the service."),
        maxMessagesPerSecond: controlCount.describe("Messages a second to the service."),
        queueLimit: controlCount.describe("Events kept for a subscriber that is slow."),
      }),
    })
    .describe("First frame of a connection."),
  subscribed: z
    .object({ type: z.literal("subscribed"), filter: eventFilterSchema, snapshot: controlCount })
    .describe("The filter is changed. Every event from here on passes it; a new snapshot comes first."),
  gap: z
    .object({ type: z.literal("gap"), dropped: z.int().min(1) })
    .describe("So many events were left out here, because the subscriber read too slowly."),
  error: z
    .object({ type: z.literal("error"), code: z.string(), message: z.string() })
    .describe("A message to the service was not understood."),
} as const satisfies { readonly [K in ControlMessage["type"]]: z.ZodType };
