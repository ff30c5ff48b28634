/** An event on its way to subscribers: turned into bytes once a form, however many there are. */
import { payloadOf, serverSentEvent, type WireForm, webSocketFrame } from "./event-encoding.ts";
import type { TonetapEvent } from "./schema.ts";

/** Kinds whose next event makes the last one obsolete: a slow subscriber loses these first. */
const EXPENDABLE: ReadonlySet<TonetapEvent["type"]> = new Set([
  "tonetap.emotion",
  "tonetap.participant.state",
  "tonetap.call.state",
  "tonetap.quality",
  "tonetap.service.stats",
]);

export class PublishedEvent {
  readonly event: TonetapEvent;
  /** Rises by one with every event of the hub. */
  readonly order: number;
  readonly expendable: boolean;
  #key: string | undefined;
  #json: Buffer | undefined;
  #cbor: Buffer | undefined;
  #sse: Buffer | undefined;

  constructor(event: TonetapEvent, order: number) {
    this.event = event;
    this.order = order;
    this.expendable = EXPENDABLE.has(event.type);
  }

  /** Of two expendable events with the same key the later makes the earlier obsolete. */
  get key(): string {
    this.#key ??= `${this.event.type} ${this.event.subject}`;
    return this.#key;
  }

  /** The event as UTF-8 JSON. Shared by all subscribers: do not write to it. */
  get json(): Buffer {
    return payloadOf(this.wire("json"));
  }

  /** A WebSocket frame, or a server-sent event. Shared by all subscribers: do not write to it. */
  wire(form: WireForm): Buffer {
    switch (form) {
      case "json":
        this.#json ??= webSocketFrame("json", this.event);
        return this.#json;
      case "cbor":
        this.#cbor ??= webSocketFrame("cbor", this.event);
        return this.#cbor;
      case "sse":
        this.#sse ??= serverSentEvent(this.json, this.event.id);
        return this.#sse;
      default:
        return form satisfies never;
    }
  }
}
