/** Real Chromium over WHIP when its connection lives in a shard, and the network is bad. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWhipEndpoint } from "../../../src/transport/werift/index.ts";
import { openEngine } from "../../engine/support.ts";
import { launchChromium } from "../../support/chromium.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { loadSpeech } from "../../transport/werift/heard.ts";
import { publisherSite } from "../../transport/werift/publisher-page.ts";
import { badNetwork } from "./bad-network.ts";

describe.skipIf(!hasPeer("chromium"))("Chromium over WHIP into a shard", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());

  test("RED fills what 15 % loss takes, the page restarts ICE in the shard after 6 s without a network, and is judged before and after", async () => {
    const { engine, seen } = await openEngine({ shards: { count: 1 }, overload: { control: "off" } });
    await using endpoint = createWhipEndpoint({
      iceAdditionalHostAddresses: ["127.0.0.1"],
      iceUseIpv6: false,
      openPeer: engine.media.openWhip,
      onSession: async (source, { participant }) => {
        await engine.attach(source, participant);
      },
    });
    await using network = await badNetwork(endpoint);
    // Talks for longer than all of this takes.
    const words = await loadSpeech();
    const audio = new Float32Array(20 * words.length);
    for (let i = 0; i < 20; i++) audio.set(words, i * words.length);
    const site = await publisherSite(network.endpoint, audio);
    const page = await site.open(browser);
    await page.evaluate("publish('/whip?call=test&participant=ada&role=customer&consent=granted')");
    const participant = engine.participant("test", "ada");
    const judged = (): number => seen.of("emotion", "ada").length;
    await expect.poll(judged).toBeGreaterThan(2);

    network.loss = 0.15;
    await expect.poll(() => network.counts.lost).toBeGreaterThan(30);
    network.loss = 0;
    await expect.poll(() => participant.takeQuality().packets.recovered).toBeGreaterThan(15);
    expect(participant.takeQuality().codec).toBe("audio/red");

    network.down = true;
    await expect.poll(() => site.log.filter((line) => line === "PATCH whip 200").length).toBe(1);
    const before = judged();
    network.down = false;
    await expect.poll(judged).toBeGreaterThan(before + 2);
    expect(endpoint.sessionCount).toBe(1);

    await page.evaluate("published.close()");
    const { reason, windows } = (await seen.first("participant.left")).data;
    expect([reason, windows.dropped]).toEqual(["left", 0]);
    expect(endpoint.sessionCount).toBe(0);
    console.log(
      `Chromium ${browser.version()}: ${network.counts.lost} of ${network.counts.rtp} packets lost, ${judged()} windows judged`,
    );
    await page.close();
    await site.close();
    await engine.close();
  });
});
