/** Real Chromium in the example's room: what it sends through mediasoup, what the room hears, what the pages show. */

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchChromium } from "../../support/chromium.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { eventually } from "../../transport/loopback.ts";
import { ExampleRoom } from "./example-room.ts";
import { hasMediasoup } from "./setup.ts";

/** Looked at when docs/images/room.png is made anew. */
const PICTURE = fileURLToPath(new URL("../../../.cache/pictures/room.png", import.meta.url));
mkdirSync(dirname(PICTURE), { recursive: true });

describe.skipIf(!hasMediasoup() || !hasPeer("chromium"))("Chromium in the example's mediasoup room", () => {
  let room: ExampleRoom;
  let browser: Browser;
  const complaints: string[] = [];
  beforeAll(async () => {
    room = await ExampleRoom.open("127.0.0.1");
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await room?.[Symbol.asyncDispose]();
  });

  const enter = async (name: string, consent: boolean, hasCamera = false): Promise<Page> => {
    const page = await browser.newPage({ viewport: { width: 960, height: 430 } });
    page.on("pageerror", (error) => complaints.push(error.message));
    if (hasCamera) await page.addInitScript("window.hasCamera = true");
    await page.addInitScript(`{ ${room.preload} }`);
    await page.goto(room.url);
    await page.getByLabel("Your name").fill(name);
    if (consent) await page.getByRole("checkbox").check();
    await page.getByRole("button", { name: "Join" }).click();
    await page.getByText("connected").waitFor();
    return page;
  };

  test("2 pages talk: 7 s come through with correlation ≥ 0.95, events say who spoke, both pages show it", async () => {
    const [anna, ben] = [await enter("Anna", true), await enter("Ben", false)];

    await anna.evaluate("speak()");
    await eventually(() => room.of("tonetap.speech.ended", "Anna").length >= 2);

    const { correlation, configurations } = await room.match("Anna");
    console.log(`Chromium ${browser.version()} through mediasoup: correlation ${correlation.toFixed(4)}`);
    expect(correlation).toBeGreaterThanOrEqual(0.95);
    // RFC 6716 table 2: 8–11 are SILK-only wideband, what opusMaxPlaybackRate asks for.
    expect([...configurations].every((configuration) => configuration >= 8 && configuration <= 11)).toBe(
      true,
    );
    expect(room.packets("Anna").every(({ audioLevel }) => audioLevel !== undefined)).toBe(true);
    expect(room.of("tonetap.emotion", "Anna").length).toBeGreaterThanOrEqual(5);
    // Ben said nothing, and gave no consent.
    expect(room.of("tonetap.emotion", "Ben").length).toBe(0);
    for (const page of [anna, ben]) {
      const [annas, bens] = ["Anna", "Ben"].map((name) => page.locator(`.tile[data-name="${name}"]`));
      expect(await annas?.locator("meter").count()).toBe(room.engine.manifest.labels.length);
      expect(await bens?.textContent()).toContain("not analysed");
    }
    await ben.close();
    await eventually(() => room.of("tonetap.participant.left", "Ben").length === 1);
    await anna.close();
    await eventually(() => room.of("tonetap.participant.left", "Anna").length === 1);
    expect(room.of("tonetap.participant.joined", "Anna").length).toBe(1);
    expect(await room.left()).toEqual({ transports: 0, consumers: 0 });
  });

  test("2 pages, 1 with a camera: one tile a participant on each shows who expresses what, and who speaks", async () => {
    const [dora, emil] = [await enter("Dora", true), await enter("Emil", true, true)];
    const pages = [dora, emil];
    const tile = (page: Page, name: string) => page.locator(`.tile[data-name="${name}"]`);
    const word = (page: Page, name: string) => tile(page, name).locator(".word").textContent();
    // A face and an initial, on either page.
    for (const page of pages) {
      expect(await page.locator(".tile").count()).toBe(2);
      await expect
        .poll(() =>
          page.evaluate(
            "[...document.querySelectorAll('video')].filter(({ videoWidth }) => videoWidth > 0).length",
          ),
        )
        .toBe(1);
      expect(await tile(page, "Dora").locator(".face").textContent()).toBe("D");
    }

    const speech = emil.evaluate("speak('ben')");
    for (const page of pages) {
      await page.locator('.tile[data-name="Emil"][data-speaking]').waitFor();
      expect(await tile(page, "Dora").getAttribute("data-speaking")).toBeNull();
    }
    await expect.poll(() => word(dora, "Emil")).toBe("angry");
    await speech;
    await eventually(() => room.of("tonetap.speech.ended", "Emil").length >= 2);

    const last = room.of("tonetap.emotion", "Emil").at(-1);
    if (last?.type !== "tonetap.emotion") throw new TypeError("Emil was not judged");
    const { abstained, top, confidence } = last.data;
    for (const page of pages) {
      await expect.poll(() => word(page, "Emil")).toBe(abstained ? "unsure" : top);
      expect(await tile(page, "Emil").locator(".share").textContent()).toBe(
        abstained ? "" : `${Math.round(confidence * 100)} %`,
      );
      // Dora has said nothing: nothing is said of her.
      expect(await word(page, "Dora")).toBe("");
      expect(await tile(page, "Dora").locator("meter").count()).toBe(0);
    }
    await dora.evaluate("speak('anna')");
    for (const page of pages) {
      await expect.poll(() => tile(page, "Dora").locator("meter").count()).toBeGreaterThan(0);
      expect(await tile(page, "Emil").getAttribute("data-speaking")).toBeNull();
    }
    await dora.screenshot({ path: PICTURE });
    await emil.close();
    await expect.poll(() => dora.locator(".tile").count()).toBe(1);
    await dora.close();
    await eventually(() => room.of("tonetap.participant.left", "Dora").length === 1);
    expect(complaints).toEqual([]);
  });

  test("a page that mutes and unmutes, then reloads, stays 1 participant and is heard 3 times", async () => {
    const page = await enter("Clara", true);
    const spoken = () => room.of("tonetap.speech.ended", "Clara").length;
    const speakOnce = async (who: Page): Promise<void> => {
      const before = spoken();
      await who.evaluate("speak()");
      await eventually(() => spoken() > before);
    };

    await speakOnce(page);
    await page.getByRole("button", { name: "Mute" }).click();
    await page.getByRole("button", { name: "Unmute" }).click();
    await page.getByRole("button", { name: "Mute" }).waitFor();
    await speakOnce(page);
    await page.close();
    const again = await enter("Clara", true);
    await speakOnce(again);
    await again.close();
    await eventually(() => room.of("tonetap.participant.left", "Clara").length === 1);

    expect(room.of("tonetap.participant.joined", "Clara").length).toBe(1);
  });
});
