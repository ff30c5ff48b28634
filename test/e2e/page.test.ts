/// <reference lib="dom" />
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
        sendImpaired(upTo(frames, 12_000), source.address.port, CLEAN),
      );
    }
    const cards = page.locator(".participant");
    await expect.poll(() => cards.count()).toBe(2);
    expect(await cards.first().locator("h3").textContent()).toBe("Anna");

    // Something is expressed, bars show it, and the number of it changes as the voice goes on.
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

    await page.waitForTimeout(2_500);
    await page.screenshot({ path: `${PICTURES}dark.png` });
    await page.getByRole("button", { name: "Switch between dark and light" }).click();
    expect(await page.locator("html").getAttribute("data-theme")).toBe("light");
    await page.screenshot({ path: `${PICTURES}light.png` });
    await page.setViewportSize({ width: 390, height: 844 });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
    await page.screenshot({ path: `${PICTURES}phone.png` });

    await Promise.all(sources.map((source) => source.close()));
    await expect.poll(() => page.getByText("No call yet").isVisible()).toBe(true);
    expect(complaints).toEqual([]);
    await page.close();
  });

  test("a name of 200 letters stays in its card at 360 px, and all that was heard goes with consent", async () => {
    const page = await browser.newPage({ viewport: { width: 360, height: 800 } });
    await page.goto(service.url.href);
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
    expect(await card.locator("canvas").count()).toBe(0);

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
