/** Makes events: ids, subjects, times and rounding. What the kinds contain is schema.ts; delivering them is hub.ts. */
import { type Clock, systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { type EventData, type EventKind, type EventOf, SCHEMA_VERSION } from "./schema.ts";

export interface EventFactoryOptions {
  /** Names this service in `source`. 1–64 letters, digits, `.`, `_`, `-`. Default `local`. */
  readonly instance?: string;
  readonly clock?: Clock;
}

/** Digits of the counter in an id: room for 10¹⁰ events, so that ids of one run sort as strings. */
const COUNTER_DIGITS = 10;

/** Decimals kept of every number, so that a line of JSON stays readable. */
const DECIMALS = 1e4;

export class EventFactory {
  /** `/tonetap/<instance>`. */
  readonly source: string;
  readonly #clock: Clock;
  /**
   * Names this run of the service: every id begins with it and `-`. It is the run's start time, so that ids go on rising
   * after a restart: CloudEvents §3.1.1 wants source + id unique.
   */
  readonly epoch: string;
  #counter = 0;

  /** @throws TonetapError invalid-argument for an instance name that does not fit in a URI path. */
  constructor({ instance = "local", clock = systemClock }: EventFactoryOptions = {}) {
    if (!/^[\w.-]{1,64}$/.test(instance)) {
      throw new TonetapError(
        "invalid-argument",
        `instance must be 1–64 letters, digits, ".", "_" or "-", got ${JSON.stringify(instance)}`,
      );
    }
    this.source = `/tonetap/${instance}`;
    this.#clock = clock;
    this.epoch = Math.floor(clock.wall()).toString(36).padStart(9, "0");
  }

  /** A new event of `kind`, made now. Numbers in `data` are rounded to four decimals; `data` itself is not kept. */
  create<K extends EventKind>(kind: K, data: EventData<K>): EventOf<K> {
    return {
      specversion: "1.0",
      id: `${this.epoch}-${String(this.#counter++).padStart(COUNTER_DIGITS, "0")}`,
      source: this.source,
      type: `tonetap.${kind}`,
      subject: subjectOf(data),
      time: new Date(this.#clock.wall()).toISOString(),
      datacontenttype: "application/json",
      dataschema: `urn:tonetap:${kind}:${SCHEMA_VERSION}`,
      data: rounded(data),
    };
  }
}

/** `calls/<callId>/participants/<participantId>`, `calls/<callId>` or `service`. */
export function subjectOf(data: EventData<EventKind>): string {
  if (!("callId" in data)) return "service";
  const call = `calls/${encodeURIComponent(data.callId.toWellFormed())}`;
  return "participantId" in data
    ? `${call}/participants/${encodeURIComponent(data.participantId.toWellFormed())}`
    : call;
}

/** A copy whose numbers have at most four decimals. */
function rounded<T>(value: T): T {
  if (typeof value === "number") return (Math.round(value * DECIMALS) / DECIMALS) as T;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(rounded) as T;
  const copy: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value)) copy[key] = rounded(field);
  return copy as T;
}
