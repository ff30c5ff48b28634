/** Real Firefox publishes real speech over WHIP, with the client that our page uses. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWhipEndpoint, type WhipEndpoint } from "../../../src/transport/werift/index.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { clockLagMs, type Heard, hear, loadSpeech, match } from "../../transport/werift/heard.ts";
import { type PublisherSite, playedOut, publisherSite } from "../../transport/werift/publisher-page.ts";
import { Firefox } from "../firefox.ts";

const eventually = <T>(read: () => T) => expect.poll(read);

describe.skipIf(!hasPeer("firefox"))("Firefox publishing over WHIP", () => {
  let firefox: Firefox;
  let endpoint: WhipEndpoint;
  let site: PublisherSite;
  let speech: Float32Array;
  const sessions: Heard[] = [];

  beforeAll(async () => {
    speech = await loadSpeech();
    // Firefox takes no 127.0.0.1 for ICE: this machine's other addresses are offered by themselves.
    endpoint = createWhipEndpoint({
      onSession: (source) => {
        sessions.push(hear(source));
      },
    });
    site = await publisherSite(endpoint, speech);
    firefox = await Firefox.launch("");
  });
  afterAll(async () => {
    await firefox?.[Symbol.asyncDispose]();
    await site?.close();
    await endpoint?.close();
  });

  test("7 s of speech come through with correlation ≥ 0.95, over 1 ICE restart, with levels and sender reports", async () => {
    const page = await firefox.open(site.url);
    const answer = await page.evaluate(`publish("/whip").then(({ answer }) => answer)`);
    const heard = sessions[0];
    if (heard === undefined) throw new Error("no session came");
    await eventually(() => heard.packets.length).toBeGreaterThan(100);
    await page.evaluate("published.restart()");
    await playedOut(page, heard.packets);
    await eventually(() => heard.reports.length).toBeGreaterThanOrEqual(1);
    await page.evaluate("published.close()");
    await eventually(() => heard.ended).toBe(true);
    await page.close();

    const { correlation, configurations } = await match(heard, speech);
    const types = new Set(
      heard.packets.map(({ payloadType }) => heard.source.codecs.get(payloadType)?.mimeType),
    );
    console.log(
      `Firefox ${firefox.version} over WHIP: correlation ${correlation.toFixed(4)}`,
      configurations,
      types,
      `${heard.packets.length} packets, ${heard.reports.length} reports`,
    );
    expect(answer).toContain("maxplaybackrate=16000");
    expect(correlation).toBeGreaterThanOrEqual(0.95);
    // RFC 6716 table 2: 8–11 are SILK-only wideband. Firefox honours maxplaybackrate=16000 too.
    expect([...configurations.keys()].every((toc) => /^config (8|9|10|11) mono$/.test(toc))).toBe(true);
    expect(site.log.filter((line) => line === "PATCH whip 200")).toHaveLength(1);
    expect(heard.packets.every(({ audioLevel }) => audioLevel !== undefined)).toBe(true);
    expect(Math.abs(clockLagMs(heard))).toBeLessThan(500);
    expect(endpoint.sessionCount).toBe(0);
  });
});
