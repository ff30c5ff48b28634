/** A WHIP endpoint over HTTP with an engine behind it, which also keeps every packet: for senders that are programs. */
import { CloseStack } from "../../../src/core/lifecycle.ts";
import { createEngine, type Engine, type TonetapEvent } from "../../../src/index.ts";
import { createWhipEndpoint, type WhipEndpoint } from "../../../src/transport/werift/index.ts";
import { type Heard, hear } from "../../transport/werift/heard.ts";
import { publisherSite } from "../../transport/werift/publisher-page.ts";

export class TappedEngine implements AsyncDisposable {
  readonly engine: Engine;
  readonly endpoint: WhipEndpoint;
  /** Ends with a slash. */
  readonly url: string;
  readonly heard: readonly Heard[];
  readonly #events: TonetapEvent[] = [];
  readonly #resources: CloseStack;

  private constructor(
    engine: Engine,
    endpoint: WhipEndpoint,
    url: string,
    heard: readonly Heard[],
    resources: CloseStack,
  ) {
    this.engine = engine;
    this.endpoint = endpoint;
    this.url = url;
    this.heard = heard;
    this.#resources = resources;
    engine.events$.subscribe((event) => this.#events.push(event));
  }

  static async open(): Promise<TappedEngine> {
    const resources = new CloseStack();
    const heard: Heard[] = [];
    const engine = resources.use("engine", await createEngine({ model: { device: "cpu" } }));
    const endpoint = resources.use(
      "WHIP",
      createWhipEndpoint({
        iceAdditionalHostAddresses: ["127.0.0.1"],
        iceUseIpv6: false,
        onSession: async (source, { participant }) => {
          heard.push(hear(source));
          await engine.attach(source, participant);
        },
      }),
    );
    const site = resources.use("HTTP", await publisherSite(endpoint, new Float32Array()));
    return new TappedEngine(engine, endpoint, `${site.url}/`, heard, resources);
  }

  /** Events of one kind about one participant. */
  of<K extends TonetapEvent["type"]>(type: K, participantId: string): Extract<TonetapEvent, { type: K }>[] {
    return this.#events.filter(
      (event): event is Extract<TonetapEvent, { type: K }> =>
        event.type === type && "participantId" in event.data && event.data.participantId === participantId,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.close();
  }
}
