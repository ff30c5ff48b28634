/** Real Firefox publishes real speech over WHIP, with the client that our page uses. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasPeer } from "../../support/system-peers.ts";
import { clockLagMs, match } from "../../transport/werift/heard.ts";
import { playedOut } from "../../transport/werift/publisher-page.ts";
import { openWhipBench, type WhipBench } from "../../transport/werift/whip-bench.ts";
import { Firefox } from "../firefox.ts";

const eventually = <T>(read: () => T) => expect.poll(read);

describe.skipIf(!hasPeer("firefox"))("Firefox publishing over WHIP", () => {
  let firefox: Firefox;
  let bench: WhipBench;

  beforeAll(async () => {
    // Firefox takes no 127.0.0.1 for ICE: this machine's other addresses are offered by themselves.
    bench = await openWhipBench();
    firefox = await Firefox.launch("");
  });
  afterAll(async () => {
    await firefox?.[Symbol.asyncDispose]();
    await bench?.[Symbol.asyncDispose]();
  });

  test("7 s of speech come through with correlation ≥ 0.95, over 1 ICE restart, with levels and sender reports", async () => {
    const page = await firefox.open(bench.site.url);
    const answer = await page.evaluate(`publish("/whip").then(({ answer }) => answer)`);
    const heard = bench.sessions[0];
    if (heard === undefined) throw new Error("no session came");
    await eventually(() => heard.packets.length).toBeGreaterThan(100);
    await page.evaluate("published.restart()");
    await playedOut(page, heard.packets);
    await eventually(() => heard.reports.length).toBeGreaterThanOrEqual(1);
    await page.evaluate("published.close()");
    await eventually(() => heard.ended).toBe(true);
    await page.close();

    const { correlation, configurations } = await match(heard, bench.speech);
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
    expect(bench.site.log.filter((line) => line === "PATCH whip 200")).toHaveLength(1);
    expect(heard.packets.every(({ audioLevel }) => audioLevel !== undefined)).toBe(true);
    expect(Math.abs(clockLagMs(heard))).toBeLessThan(500);
    expect(bench.endpoint.sessionCount).toBe(0);
  });
});
