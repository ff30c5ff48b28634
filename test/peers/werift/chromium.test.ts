/** Real Chromium over WHIP when the network is bad, and when nobody speaks. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import type { MediaUnit } from "../../../src/core/media.ts";
import { createJitterStats, jitterBuffer } from "../../../src/transport/index.ts";
import { createWhipEndpoint, type WhipEndpoint } from "../../../src/transport/werift/index.ts";
import { launchChromium } from "../../support/chromium.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { type Heard, hear, loadSpeech } from "../../transport/werift/heard.ts";
import { PAGE_RATE_HZ, playedOut, publisherSite } from "../../transport/werift/publisher-page.ts";
import { type BadNetwork, badNetwork } from "./bad-network.ts";

const eventually = <T>(read: () => T) => expect.poll(read);

interface Publication {
  readonly page: Page;
  readonly heard: Heard;
  /** What the participant's jitter buffer made of it, without retransmissions. */
  readonly units: MediaUnit[];
  readonly stats: ReturnType<typeof createJitterStats>;
  readonly log: readonly string[];
  readonly endpoint: WhipEndpoint;
}

describe.skipIf(!hasPeer("chromium"))("Chromium over WHIP", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());

  /** Publishes `audio` through a network, runs `then`, and sees that nothing is left. */
  const publish = async (
    audio: Float32Array,
    then: (publication: Publication, network: BadNetwork) => Promise<void>,
  ): Promise<void> => {
    let heard: Heard | undefined;
    const units: MediaUnit[] = [];
    const stats = createJitterStats();
    await using endpoint = createWhipEndpoint({
      iceAdditionalHostAddresses: ["127.0.0.1"],
      iceUseIpv6: false,
      onSession: (source) => {
        heard = hear(source);
        source.packets
          .pipe(jitterBuffer({ clock: systemClock, codecs: source.codecs, stats }))
          .subscribe((unit) => units.push(unit));
      },
    });
    await using network = await badNetwork(endpoint);
    const site = await publisherSite(network.endpoint, audio);
    const page = await site.open(browser);
    try {
      await page.evaluate("publish('/whip')");
      if (heard === undefined) throw new Error("no session came");
      await then({ page, heard, units, stats, log: site.log, endpoint }, network);
      await page.evaluate("published.close()");
      await eventually(() => heard?.ended).toBe(true);
      expect(endpoint.sessionCount).toBe(0);
    } finally {
      await page.close();
      await site.close();
    }
  };

  test("RED at 15 % loss: ≥ 95 % of the frames in 600 packets come through, with 0 retransmissions", async () => {
    // Words without the pauses between them, in which DTX sends nothing that could be lost.
    const words = (await loadSpeech(2.3)).subarray(0.6 * PAGE_RATE_HZ);
    const audio = new Float32Array(9 * words.length);
    for (let i = 0; i < 9; i++) audio.set(words, i * words.length);
    await publish(audio, async ({ heard, units, stats }, network) => {
      await eventually(() => heard.packets.length).toBeGreaterThan(20);
      // The draws are seeded: these 600 lose fewer than the chance says, and 15 % must really be gone.
      network.loss = 0.19;
      const { rtp, lost } = { ...network.counts };
      const from = units.length;
      await eventually(() => network.counts.rtp - rtp).toBeGreaterThanOrEqual(600);
      const sent = network.counts.rtp - rtp;
      const dropped = network.counts.lost - lost;
      network.loss = 0;
      // What comes after the loss decides what is missing before.
      const arrived = heard.packets.length;
      await eventually(() => heard.packets.length).toBeGreaterThan(arrived + 25);

      const span = units.slice(from);
      const delivered = span.filter(({ kind }) => kind === "packet").length;
      const missing = span.filter(({ kind }) => kind === "lost").length;
      const share = delivered / (delivered + missing);
      console.log(
        `Chromium ${browser.version()}: ${dropped} of ${sent} packets lost, ${stats.recovered} recovered by RED, ` +
          `${(100 * share).toFixed(1)} % of the frames delivered`,
      );
      expect(heard.source.codecs.get(heard.packets.at(-1)?.payloadType ?? 0)?.mimeType).toBe("audio/red");
      expect(dropped / sent).toBeGreaterThanOrEqual(0.15);
      expect(share).toBeGreaterThanOrEqual(0.95);
    });
  });

  test("DTX: ≤ 8 packets a second instead of 50 in 4 s of silence, 0 lost, and the 2nd sentence goes on where time is", async () => {
    const speech = await loadSpeech(2.5);
    const silenceS = 5;
    const audio = new Float32Array(2 * speech.length + silenceS * PAGE_RATE_HZ);
    audio.set(speech);
    audio.set(speech, speech.length + silenceS * PAGE_RATE_HZ);
    await publish(audio, async ({ page, heard, units, stats }) => {
      await playedOut(page, heard.packets);

      const gapMs = units
        .filter((unit) => unit.kind === "gap")
        .reduce((sum, { durationTicks }) => sum + durationTicks / 48, 0);
      const times = units.flatMap((unit) => (unit.kind === "packet" ? [unit.ticks / PAGE_RATE_HZ] : []));
      const silent = times.filter((at) => at + 4 <= (times.at(-1) ?? 0));
      const within = (from: number): number => times.filter((at) => at > from && at < from + 4).length;
      const refreshes = Math.min(...silent.map(within));
      const silentFrom = silent.find((at) => within(at) === refreshes) ?? 0;
      const after = times.filter((at) => at > silentFrom + 4).length;
      console.log(
        `Chromium ${browser.version()}: ${refreshes} packets in 4 s of silence, ${after} after it, gaps of ${gapMs} ms`,
      );
      expect(refreshes).toBeLessThanOrEqual(32);
      expect(after).toBeGreaterThan(80);
      expect(stats.lost).toBe(0);
      expect(units.filter(({ kind }) => kind === "reset")).toHaveLength(1);
      expect(gapMs).toBeGreaterThan(3_000);
    });
  });

  test("6 s without a network: the page restarts ICE by itself, and stays the 1 participant", async () => {
    await publish(await loadSpeech(20), async ({ page, heard, log, endpoint }, network) => {
      await eventually(() => heard.packets.length).toBeGreaterThan(30);
      network.down = true;
      // The page hears nothing any more, and asks over HTTP, which still works.
      await eventually(() => log.filter((line) => line === "PATCH whip 200").length).toBe(1);
      const before = heard.packets.length;
      network.down = false;
      await eventually(() => heard.packets.length).toBeGreaterThan(before + 50);

      await eventually(() => page.evaluate("published.pc.connectionState")).toBe("connected");
      expect(new Set(heard.packets.map(({ ssrc }) => ssrc)).size).toBe(1);
      expect(endpoint.sessionCount).toBe(1);
    });
  });
});
