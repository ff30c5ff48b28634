/** A real TURN server between Chromium and us, with credentials that the Link header brings. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import {
  createWhipEndpoint,
  iceServers,
  type WhipEndpointOptions,
} from "../../../src/transport/werift/index.ts";
import { launchChromium } from "../../support/chromium.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { type Heard, hear, loadSpeech } from "../../transport/werift/heard.ts";
import { publisherSite } from "../../transport/werift/publisher-page.ts";
import { createPublisher, heldResources } from "../../transport/werift/whip-peer.ts";
import { Coturn } from "./coturn.ts";

const eventually = <T>(read: () => T) => expect.poll(read);

/** We wait 2 s for relays; without that bound a server that refuses us would cost 13 s. The rest is for a busy machine. */
const BOUND_MS = 9_000;

/** The page's connections use relays only, as behind a firewall. */
const RELAY_ONLY = `window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(configuration) { super({ ...configuration, iceTransportPolicy: "relay" }); }
};`;

const PAIR = `(async () => {
  const stats = await published.pc.getStats();
  const transport = [...stats.values()].find(({ type }) => type === "transport");
  const pair = stats.get(transport.selectedCandidatePairId);
  return [stats.get(pair.localCandidateId).candidateType, stats.get(pair.remoteCandidateId).port];
})()`;

describe.skipIf(!hasPeer("coturn") || !hasPeer("chromium"))("Over coturn", () => {
  let coturn: Coturn;
  let browser: Browser;
  beforeAll(async () => {
    coturn = await Coturn.start("north");
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await coturn?.[Symbol.asyncDispose]();
  });

  const servers = (url: string, secret = "north") => iceServers([url], { secret, ttlS: 600 }, systemClock);

  /** Publishes from a page that has no way but relays. */
  const publish = async (
    options: Partial<WhipEndpointOptions>,
    then: (page: Page, heard: Heard, answer: string) => Promise<void>,
  ): Promise<void> => {
    let heard: Heard | undefined;
    let answer = "";
    await using endpoint = createWhipEndpoint({
      iceAdditionalHostAddresses: ["127.0.0.1"],
      iceUseIpv6: false,
      iceServers: servers(coturn.url),
      onSession: (source) => {
        heard = hear(source);
      },
      ...options,
    });
    const site = await publisherSite(
      {
        handle: async (request) => {
          const response = await endpoint.handle(request);
          if (response.status === 201) answer = response.body;
          return response;
        },
      },
      await loadSpeech(),
    );
    const page = await site.open(browser, RELAY_ONLY);
    try {
      await page.evaluate("publish('/whip')");
      if (heard === undefined) throw new Error("no session came");
      await then(page, heard, answer);
      await page.evaluate("published.close()");
      await eventually(() => heard?.ended).toBe(true);
    } finally {
      await page.close();
      await site.close();
    }
  };

  test("Chromium's packets come by its relay, with 1 account that is valid for 600 s", async () => {
    const before = coturn.allocations.length;
    await publish({}, async (page, heard, answer) => {
      await eventually(() => heard.packets.length).toBeGreaterThan(50);
      expect(((await page.evaluate(PAIR)) as string[])[0]).toBe("relay");
      expect(answer).not.toContain("typ relay");
    });
    const users = coturn.allocations.slice(before);
    expect(new Set(users).size).toBe(1);
    expect(Math.abs(Number(users[0]) - Date.now() / 1000 - 600)).toBeLessThan(30);
  });

  test("with iceRelay only, packets go through 2 relays, and an ICE restart keeps ours", async () => {
    await publish({ iceRelay: "only" }, async (page, heard, answer) => {
      await eventually(() => heard.packets.length).toBeGreaterThan(50);
      const relays = [...answer.matchAll(/ (\d+) typ relay/g)].map(([, port]) => Number(port));
      expect(relays).toHaveLength(1);
      expect(answer).not.toContain("typ host");
      expect(await page.evaluate(PAIR)).toEqual(["relay", relays[0]]);

      await page.evaluate("published.restart()");
      const restartedAt = heard.packets.length;
      await eventually(() => heard.packets.length).toBeGreaterThan(restartedAt + 50);
      const offered = await page.evaluate<string[]>(
        "published.pc.remoteDescription.sdp.match(/a=candidate:.*/g)",
      );
      expect(offered).toEqual([expect.stringContaining(` ${relays[0]} typ relay`)]);
    });
  });

  test.each([
    ["that is not there", () => servers("turn:127.0.0.1:9?transport=udp")],
    ["that does not know the secret", () => servers(coturn.url, "south")],
  ])(
    `a TURN server %s costs a POST less than ${BOUND_MS} ms and nothing else: 201, host candidates`,
    async (_, given) => {
      const publisher = await createPublisher();
      const { offer } = publisher;
      await publisher.close();
      const endpoint = createWhipEndpoint({
        iceAdditionalHostAddresses: ["127.0.0.1"],
        iceUseIpv6: false,
        iceRelay: "also",
        iceServers: given(),
        onSession: () => undefined,
      });
      const startedAt = performance.now();
      const response = await endpoint.handle({
        method: "POST",
        path: "/whip",
        headers: { "content-type": "application/sdp" },
        query: new URLSearchParams(),
        body: offer,
      });
      const tookMs = performance.now() - startedAt;
      await endpoint.close();

      console.log(`POST took ${tookMs.toFixed(0)} ms`);
      expect(response.status).toBe(201);
      expect(response.body).toContain("typ host");
      expect(tookMs).toBeLessThan(BOUND_MS);
      await eventually(() => heldResources().sockets).toBe(0);
    },
  );
});
