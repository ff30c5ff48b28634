/// <reference lib="dom" />
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Service } from "../../src/service.ts";
import { sendImpaired } from "../engine/impaired-sender.ts";
import { attachUdp, recordedFrames, upTo } from "../engine/support.ts";
import { launchChromium } from "../support/chromium.ts";
import { hasPeer } from "../support/system-peers.ts";

const CLEAN = { loss: 0, duplicate: 0, reorder: 0 };
const PICTURES = fileURLToPath(new URL("../../.cache/screenshots/", import.meta.url));

describe.skipIf(!hasPeer("chromium"))("the page in Chromium", () => {
  let service: Service;
  let browser: Awaited<ReturnType<typeof launchChromium>>;

  beforeAll(async () => {
    [service, browser] = await Promise.all([
      Service.open({ service: { port: 0 }, model: { device: "cpu" } }),
      launchChromium(),
    ]);
  });
  // A page that a failed test left open would go on drawing.
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
  });
  afterAll(async () => {
    await browser.close();
    await service.close();
  });

  test("2 voices get 2 cards that move, in both themes and on a phone, with 0 errors", async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, colorScheme: "dark" });
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
    });
    await page.goto(service.url.href);
    await page.getByText("No call yet").waitFor();

    const sources = [];
    for (const name of ["anna", "ben"] as const) {
      const source = await attachUdp(service.engine, name, {
        callId: "support",
        displayName: name === "anna" ? "Anna" : "Ben",
        role: name === "anna" ? "customer" : "guest",
      });
      sources.push(source);
      void recordedFrames(name).then((frames) =>
        sendImpaired(upTo(frames, 40_000), source.address.port, CLEAN),
      );
    }
    const rows = page.locator(".row");
    await expect.poll(() => rows.count()).toBe(2);
    await expect.poll(() => rows.first().locator(".expression").textContent()).not.toBe("–");
    await service.engine.alertRules.set("hears-anything", {
      name: "Any voice",
      axis: "arousal",
      above: -1,
      minDurationMs: 500,
    });
    await expect.poll(() => rows.first().locator(".flag").textContent()).toBe("⚑");
    await page.screenshot({ path: `${PICTURES}rooms.png` });

    // The keyboard leads to the call.
    await page.getByRole("link", { name: "support", exact: true }).focus();
    await page.keyboard.press("Enter");
    const cards = page.locator(".participant");
    await expect.poll(() => cards.count()).toBe(2);
    expect(await cards.first().locator("h3").textContent()).toBe("Anna");
    const expression = cards.first().locator(".expression");
    await expect.poll(() => expression.textContent()).not.toBe("–");
    expect(await cards.first().locator(".scores li").count()).toBe(7);
    const latency = () => cards.first().locator('[data-fact="latency"]').textContent();
    await expect.poll(latency).toMatch(/^\d+ ms$/);
    const canvas = () =>
      cards
        .first()
        .locator("canvas")
        .evaluate((c) => (c as HTMLCanvasElement).toDataURL());
    const before = await canvas();
    await expect.poll(canvas).not.toBe(before);
    await expect.poll(() => page.locator("#connection").textContent()).toBe("live");
    await expect.poll(() => page.locator('[data-stat="model"]').textContent()).toContain("tonetap-base@");
    await expect.poll(() => page.locator("tbody tr").count()).toBeGreaterThan(0);
    expect(await page.locator(".alert-log li").first().textContent()).toContain("Any voice");

    await page.waitForTimeout(2_500);
    await page.screenshot({ path: `${PICTURES}dark.png`, fullPage: true });
    await page.getByRole("button", { name: "Switch between dark and light" }).click();
    expect(await page.locator("html").getAttribute("data-theme")).toBe("light");
    await page.screenshot({ path: `${PICTURES}light.png` });
    for (const [name, address] of [
      ["call", "#/call/support"],
      ["rooms", "#/"],
      ["assist", "#/assist/support"],
    ]) {
      await page.setViewportSize({ width: 390, height: 844 });
      await page.evaluate((hash) => {
        location.hash = hash;
      }, address ?? "");
      await page.waitForTimeout(500);
      expect(
        await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
      ).toBeLessThanOrEqual(0);
      await page.screenshot({ path: `${PICTURES}phone-${name}.png` });
    }
    await expect.poll(() => page.locator(".glance .big").textContent()).toMatch(/^[a-z]+ \d+ %$|^unsure$/);
    await page.setViewportSize({ width: 1000, height: 720 });
    await page.screenshot({ path: `${PICTURES}assist.png` });

    const overlay = await browser.newPage({ viewport: { width: 900, height: 300 } });
    overlay.on("pageerror", (error) => complaints.push(error.message));
    await overlay.goto(new URL("overlay.html?call=support", service.url).href);
    const tiles = overlay.locator("#tiles li");
    await expect.poll(() => tiles.count()).toBe(2);
    await expect.poll(() => tiles.first().locator(".word").textContent()).toMatch(/^[a-z]/);
    expect(await overlay.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(
      "rgba(0, 0, 0, 0)",
    );
    await overlay.screenshot({ path: `${PICTURES}overlay.png`, omitBackground: true });

    service.engine.alertRules.remove("hears-anything");
    await page.evaluate(() => {
      location.hash = "#/";
    });
    await Promise.all(sources.map((source) => source.close()));
    await expect.poll(() => page.getByText("No call yet").isVisible()).toBe(true);
    await expect.poll(() => tiles.count()).toBe(0);
    expect(complaints).toEqual([]);
    await overlay.close();
    await page.close();
  });

  test("7 corpora, a matrix of 7 × 7, and the numbers of /metrics are on pages of their own", async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(new URL("#/model", service.url).href);
    await page.getByRole("heading", { name: /^tonetap-base@/ }).waitFor();
    expect(await page.locator(".panel table").first().locator("tbody tr").count()).toBeGreaterThanOrEqual(7);
    await page.getByLabel("Corpus").selectOption("ravdess");
    const cells = page.locator(".confusion tbody tr").first().locator(".heat");
    const shares = (await cells.allTextContents()).map(Number);
    expect(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 100)).toBeLessThanOrEqual(4);
    await page.screenshot({ path: `${PICTURES}model.png`, fullPage: true });

    await page.getByRole("link", { name: "Operations" }).click();
    const devices = page.locator('[data-panel="devices"] tbody tr');
    await expect.poll(() => devices.count()).toBe(1);
    expect(await devices.textContent()).toContain("ready");
    await expect.poll(() => page.locator('[data-panel="latency"] li').count()).toBeGreaterThan(3);
    await expect.poll(() => page.locator(".curve canvas").count()).toBe(3);
    await page.waitForTimeout(2_500);
    await page.screenshot({ path: `${PICTURES}operations.png`, fullPage: true });
    expect(errors).toEqual([]);
    await page.close();
  });

  test("a name of 200 letters stays in its card at 360 px, and all that was heard goes with consent", async () => {
    const page = await browser.newPage({ viewport: { width: 360, height: 800 } });
    await page.goto(new URL(`#/call/${"y".repeat(128)}`, service.url).href);
    const longName = "x".repeat(200);
    const source = await attachUdp(service.engine, "anna", {
      callId: "y".repeat(128),
      displayName: longName,
    });
    void recordedFrames("anna").then((frames) =>
      sendImpaired(upTo(frames, 6_000), source.address.port, CLEAN),
    );
    const card = page.locator(".participant", { hasText: longName });
    const expression = card.locator(".expression");
    await expect.poll(() => expression.textContent()).toMatch(/^[a-z]/);
    expect(await card.locator("h3").getAttribute("title")).toBe(longName);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0);

    await service.engine.participant("y".repeat(128), "anna").setConsent("withdrawn");
    await expect.poll(() => card.locator(".state").textContent()).toBe("consent withdrawn");
    expect(await expression.textContent()).toBe("–");
    expect(await card.locator(".scores li").count()).toBe(0);
    // Grid and axis are grey; what was heard is not.
    const coloured = await card.locator("canvas").evaluate((element) => {
      const canvas = element as HTMLCanvasElement;
      const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
      let count = 0;
      for (let i = 0; i < pixels.length; i += 4) {
        if (pixels[i + 3] === 255 && Math.abs((pixels[i] ?? 0) - (pixels[i + 2] ?? 0)) > 60) count++;
      }
      return count;
    });
    expect(coloured).toBe(0);

    await source.close();
    await expect.poll(() => card.count()).toBe(0);
    await page.close();
  });

  test("1 microphone goes off when its participant is detached, without a defect on the page", async () => {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(service.url.href);
    const button = page.locator("#speak");
    await button.click();
    await page.getByRole("checkbox").check();
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await expect.poll(() => button.textContent()).toBe("Stop the microphone");

    const live = await fetch(new URL("v1/calls/microphone", service.url));
    const { participants } = (await live.json()) as { participants: { participantId: string }[] };
    const [participant] = participants;
    await fetch(
      new URL(`v1/calls/microphone/participants/${participant?.participantId ?? ""}`, service.url),
      {
        method: "DELETE",
      },
    );
    await expect.poll(() => button.textContent()).toBe("Speak into your microphone");
    expect(errors).toEqual([]);
    await page.close();
  });
});
