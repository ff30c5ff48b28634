/** An event on its way to subscribers: turned into JSON once, however many there are. */
import type { TonetapEvent } from "./schema.ts";

/** Kinds whose next event makes the last one obsolete: a slow subscriber loses these first. */
const EXPENDABLE: ReadonlySet<TonetapEvent["type"]> = new Set([
  "tonetap.emotion",
  "tonetap.quality",
  "tonetap.service.stats",
]);

export class PublishedEvent {
  readonly event: TonetapEvent;
  /** Rises by one with every event of the hub. */
  readonly order: number;
  readonly expendable: boolean;
  #json: Buffer | undefined;

  constructor(event: TonetapEvent, order: number) {
    this.event = event;
    this.order = order;
    this.expendable = EXPENDABLE.has(event.type);
  }

  /** The event as UTF-8 JSON. Shared by all subscribers: do not write to it. */
  get json(): Buffer {
    this.#json ??= Buffer.from(JSON.stringify(this.event));
    return this.#json;
  }
}
