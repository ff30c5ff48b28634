/** Makes events: ids, subjects, times and rounding. What the kinds contain is schema.ts; delivering them is hub.ts. */
import { randomInt } from "node:crypto";
import { type Clock, systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { type EventData, type EventKind, type EventOf, SCHEMA_VERSION } from "./schema.ts";

export interface EventFactoryOptions {
  /** Names this service in `source`. 1–64 letters, digits, `.`, `_`, `-`. Default `local`. */
  readonly instance?: string;
  readonly clock?: Clock;
  /** A whole number from 0 up, below the limit. Default: node:crypto's. */
  readonly random?: (limit: number) => number;
}

/** Digits, base 36, of each half of an id: room for 89 years in ms, and above 2⁴¹. So ids of one run sort as strings. */
const ID_DIGITS = 8;
const LOW_LIMIT = 36 ** ID_DIGITS;
/** Where the lower half begins in a new millisecond, and how far it goes with another event of the same. */
const LOW_START = 2 ** 40;
const LOW_STEP = 2 ** 20;

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
  readonly #random: (limit: number) => number;
  readonly #startMs: number;
  /** The latest id: ms of this run, and what tells those of one ms apart. */
  #idMs = -1;
  #idLow = 0;

  /** @throws TonetapError invalid-argument for an instance name that does not fit in a URI path. */
  constructor({ instance = "local", clock = systemClock, random = randomInt }: EventFactoryOptions = {}) {
    if (!/^[\w.-]{1,64}$/.test(instance)) {
      throw new TonetapError(
        "invalid-argument",
        `instance must be 1–64 letters, digits, ".", "_" or "-", got ${JSON.stringify(instance)}`,
      );
    }
    this.source = `/tonetap/${instance}`;
    this.#clock = clock;
    this.#random = random;
    this.#startMs = clock.now();
    this.epoch = Math.floor(clock.wall()).toString(36).padStart(9, "0");
  }

  /** A new event of `kind`, made now. Numbers in `data` are rounded to four decimals; `data` itself is not kept. */
  create<K extends EventKind>(kind: K, data: EventData<K>): EventOf<K> {
    return {
      specversion: "1.0",
      id: this.#nextId(),
      source: this.source,
      type: `tonetap.${kind}`,
      subject: subjectOf(data),
      time: new Date(this.#clock.wall()).toISOString(),
      datacontenttype: "application/json",
      dataschema: `urn:tonetap:${kind}:${SCHEMA_VERSION}`,
      data: rounded(data),
    };
  }

  /**
   * Rises with every event, and does not count them: who sees some of them, as a tenant does, learns nothing of how many
   * others there are. What it tells, when it was made, is in the event anyway. The way is that of UUIDv7 (RFC 9562 §6.2).
   */
  #nextId(): string {
    const ms = Math.floor(this.#clock.now() - this.#startMs);
    if (ms <= this.#idMs) this.#idLow += 1 + this.#random(LOW_STEP);
    if (ms > this.#idMs || this.#idLow >= LOW_LIMIT) {
      this.#idMs = Math.max(ms, this.#idMs + 1);
      this.#idLow = this.#random(LOW_START);
    }
    return `${this.epoch}-${digits(this.#idMs)}${digits(this.#idLow)}`;
  }
}

const digits = (value: number): string => value.toString(36).padStart(ID_DIGITS, "0");

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
