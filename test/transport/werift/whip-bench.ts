/** An endpoint that keeps what it hears, and the site whose page publishes known speech to it. Browsers are the tests' own. */
import {
  createWhipEndpoint,
  type WhipEndpoint,
  type WhipEndpointOptions,
} from "../../../src/transport/werift/index.ts";
import { type Heard, hear, loadSpeech } from "./heard.ts";
import { type PublisherSite, publisherSite } from "./publisher-page.ts";

export interface WhipBench extends AsyncDisposable {
  readonly endpoint: WhipEndpoint;
  readonly site: PublisherSite;
  /** What pages play. */
  readonly speech: Float32Array;
  /** In the order they came. */
  readonly sessions: readonly Heard[];
}

export async function openWhipBench(
  options: Omit<WhipEndpointOptions, "onSession"> = {},
): Promise<WhipBench> {
  const speech = await loadSpeech();
  const sessions: Heard[] = [];
  const endpoint = createWhipEndpoint({
    ...options,
    onSession: (source) => {
      sessions.push(hear(source));
    },
  });
  const site = await publisherSite(endpoint, speech);
  return {
    endpoint,
    site,
    speech,
    sessions,
    async [Symbol.asyncDispose]() {
      await site.close();
      await endpoint.close();
    },
  };
}
