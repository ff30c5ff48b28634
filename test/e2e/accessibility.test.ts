/// <reference lib="dom" />
/**
 * WCAG 2.2 AA as far as it can be computed, of every view in both themes: contrast (1.4.3, 1.4.11), names (4.1.2), keyboard and
 * visible focus (2.1.1, 2.4.7), size of targets (2.5.8), no horizontal scrolling on a phone (1.4.10); and the palette as
 * colour-blind people see it (1.4.1).
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventExamples } from "../../src/events/event-examples.ts";
import type { TonetapEvent } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";
import { launchChromium } from "../support/chromium.ts";
import { COLOUR_BLINDNESS, contrast, difference, hex, type Rgb, seenBy } from "../support/colour.ts";
import { publishExamples } from "../support/eventful.ts";
import { hasPeer } from "../support/system-peers.ts";

const PICTURES = fileURLToPath(new URL("../../.cache/screenshots/", import.meta.url));
const LABELS = ["happy", "surprise", "calm", "neutral", "boredom", "sad", "fear", "disgust", "angry"];
const THEMES = ["dark", "light"] as const;

interface Seen {
  readonly text: string;
  readonly place: string;
  readonly front: Rgb;
  readonly back: Rgb;
  readonly isLarge: boolean;
}

/** Runs in the page: each visible text with its colour and what it stands on, transparency worked in. */
function visibleTexts(): Seen[] {
  type Rgba = [number, number, number, number];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const read = (css: string): Rgba => {
    if (context === null) throw new TypeError("no canvas");
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = css;
    context.fillRect(0, 0, 1, 1);
    const [r = 0, g = 0, b = 0, a = 0] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a]: Rgba, [x, y, z]: Rgba): Rgba => [
    r * a + x * (1 - a),
    g * a + y * (1 - a),
    b * a + z * (1 - a),
    1,
  ];
  const groundOf = (element: Element | null): Rgba => {
    if (element === null) return [255, 255, 255, 1];
    const own = read(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, groundOf(element.parentElement));
  };
  const opacityOf = (element: Element | null): number =>
    element === null ? 1 : Number(getComputedStyle(element).opacity) * opacityOf(element.parentElement);
  const seen: Seen[] = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    const text = node.textContent?.trim() ?? "";
    if (element === null || text === "" || element.closest("script, style, template, :disabled") !== null)
      continue;
    if (!element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width === 0 || box.right < 0) continue;
    const style = getComputedStyle(element);
    const back = groundOf(element);
    const [r, g, b, a] = read(style.color);
    const [fr, fg, fb] = over([r, g, b, a * opacityOf(element)], back);
    const sizePx = Number.parseFloat(style.fontSize);
    seen.push({
      text: text.slice(0, 40),
      place: `${element.tagName.toLowerCase()}.${element.className}`,
      front: [fr, fg, fb],
      back: [back[0], back[1], back[2]],
      // 18 pt, or 14 pt bold.
      isLarge: sizePx >= 24 || (sizePx >= 18.66 && Number(style.fontWeight) >= 700),
    });
  }
  return seen;
}

/** Runs in the page: what can be pressed, typed into or followed. */
function controls() {
  const all = [
    ...document.querySelectorAll<HTMLElement>("a[href], button, input, select, summary, [tabindex='0']"),
  ];
  return all
    .filter(
      (element) => element.checkVisibility({ checkVisibilityCSS: true }) && !element.matches(":disabled"),
    )
    .map((element, index) => {
      element.dataset.control = String(index);
      const { width, height } = element.getBoundingClientRect();
      const isInline = getComputedStyle(element).display === "inline";
      return {
        what: `${element.tagName} ${element.textContent?.trim().slice(0, 30)}`,
        width,
        height,
        isInline,
      };
    });
}

describe.skipIf(!hasPeer("chromium"))("the page, for everybody", () => {
  let service: Service;
  let browser: Awaited<ReturnType<typeof launchChromium>>;
  let callId: string;

  beforeAll(async () => {
    [service, browser] = await Promise.all([
      Service.open({
        service: { port: 0 },
        model: { device: "cpu" },
        overload: { control: "off" },
        // Its own figures do not take the place of those that are shown here.
        events: { statsMs: 60_000 },
      }),
      launchChromium(),
    ]);
    callId = publishExamples(service);
  });
  afterAll(async () => {
    await browser.close();
    await service.close();
  });

  /** Name, address, and what is there once it is drawn. */
  type View = readonly [name: string, address: () => string, ready: string];
  const OPERATIONS: View = ["operations", () => "#/operations", '[data-panel="devices"] tbody tr'];
  const VIEWS: readonly View[] = [
    ["rooms", () => "#/", ".row"],
    ["call", () => `#/call/${callId}`, ".participant .number"],
    ["assist", () => `#/assist/${callId}`, ".glance .big"],
    ["model", () => "#/model", ".confusion"],
    OPERATIONS,
  ];

  async function open(view: View, theme: (typeof THEMES)[number], width = 1280): Promise<Page> {
    const [, address, ready] = view;
    const page = await browser.newPage({
      viewport: { width, height: 900 },
      colorScheme: theme,
      reducedMotion: "reduce",
    });
    await page.goto(new URL(address(), service.url).href);
    await page.locator(ready).first().waitFor();
    return page;
  }

  for (const theme of THEMES) {
    test.each(VIEWS)(`${theme}, %s: every text has a contrast of 4.5:1, large ones 3:1`, async (...view) => {
      const page = await open(view, theme);
      const seen = await page.evaluate(visibleTexts);
      await page.screenshot({ path: `${PICTURES}aa-${view[0]}-${theme}.png`, fullPage: true });
      await page.close();
      expect(seen.length).toBeGreaterThan(10);
      const poor = seen
        .map(({ front, back, isLarge, ...what }) => ({ ...what, ratio: contrast(front, back), isLarge }))
        .filter(({ ratio, isLarge }) => ratio < (isLarge ? 3 : 4.5));
      expect(poor).toEqual([]);
    });
  }

  test.each(VIEWS)(
    "%s: Tab comes to every control, each shows that it has the focus by 3:1, and has a name",
    async (...view) => {
      const page = await open(view, "light");
      const found = await page.evaluate(controls);
      const reached = new Map<string, { outline: string; width: number; colour: string; ground: string }>();
      for (let presses = 0; presses < found.length + 10 && reached.size < found.length; presses++) {
        await page.keyboard.press("Tab");
        const focus = await page.evaluate(() => {
          const element = document.activeElement;
          if (!(element instanceof HTMLElement)) return undefined;
          const style = getComputedStyle(element);
          return {
            id: element.dataset.control ?? "",
            outline: style.outlineStyle,
            width: Number.parseFloat(style.outlineWidth),
            colour: style.outlineColor,
            ground: getComputedStyle(document.body).backgroundColor,
          };
        });
        if (focus !== undefined && focus.id !== "") reached.set(focus.id, focus);
      }
      const missed = found.filter((_, index) => !reached.has(String(index)));
      expect(missed.map(({ what }) => what)).toEqual([]);
      const rgb = (css: string): Rgb =>
        (css.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number) as unknown as Rgb;
      for (const { outline, width, colour, ground } of reached.values()) {
        expect([outline === "none", width >= 2]).toEqual([false, true]);
        expect(contrast(rgb(colour), rgb(ground))).toBeGreaterThanOrEqual(3);
      }
      const session = await page.context().newCDPSession(page);
      const { nodes } = await session.send("Accessibility.getFullAXTree");
      const roles = new Set(["button", "link", "textbox", "combobox", "checkbox", "img"]);
      const nameless = nodes.filter(
        ({ ignored, role, name }) =>
          !ignored && roles.has(String(role?.value)) && String(name?.value ?? "") === "",
      );
      expect(nameless.map(({ role, backendDOMNodeId }) => [role?.value, backendDOMNodeId])).toEqual([]);
      await page.close();
    },
  );

  test.each(VIEWS)(
    "%s on a phone of 375 px: nothing scrolls sideways, and targets have 24 px or stand in a line of text",
    async (...view) => {
      const page = await open(view, "dark", 375);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      const found = await page.evaluate(controls);
      await page.screenshot({ path: `${PICTURES}aa-${view[0]}-phone.png`, fullPage: true });
      await page.close();
      expect(overflow).toBeLessThanOrEqual(0);
      const small = found.filter(
        ({ width, height, isInline, what }) =>
          !isInline && !what.startsWith("A Skip") && (width < 24 || height < 24),
      );
      expect(small).toEqual([]);
    },
  );

  test("consent is recorded and withdrawn by 2 presses of a card's button; the card says what came of it", async () => {
    const { engine } = service;
    const { NEVER } = await import("rxjs");
    const source = { kind: "test", codecs: new Map(), packets: NEVER, close: () => Promise.resolve() };
    const ada = await engine.attach(source, { callId: "page", participantId: "ada", displayName: "Ada" });
    const page = await open(["call", () => "#/call/page", ".participant"], "dark");
    const state = page.locator(".participant .state");
    await page.getByRole("button", { name: "Record consent of Ada" }).press("Enter");
    await expect.poll(() => state.textContent()).toBe("silent");
    await page.getByRole("button", { name: "Withdraw consent of Ada" }).click();
    await expect.poll(() => state.textContent()).toBe("consent withdrawn");
    expect([ada.consent, ada.consentBy]).toEqual(["withdrawn", "anyone"]);
    await page.close();
    await ada.close();
  });

  test("who speaks takes consent back and gives it again by 2 presses of Enter: told in words, muted meanwhile, and gone when the microphone is", async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "dark" });
    await page.goto(service.url.href);
    const consents: string[] = [];
    const watching = service.engine.events$.subscribe(({ type, data }) => {
      if (type === "tonetap.participant.consent") consents.push(`${data.consent} by ${data.by}`);
    });
    const said = page.locator("#speak-status");
    const consent = page.locator("#speak-consent");
    expect(await consent.isVisible()).toBe(false);
    await page.getByRole("button", { name: "Speak into your microphone" }).press("Enter");
    await page.getByRole("checkbox").press("Space");
    await page.getByRole("button", { name: "Start", exact: true }).press("Enter");
    await expect.poll(() => said.textContent()).toContain("you agree");

    await page.getByRole("button", { name: "Withdraw my consent" }).press("Enter");
    await expect.poll(() => consents).toEqual(["withdrawn by WHIP"]);
    await expect.poll(() => said.textContent()).toContain("Your consent is withdrawn");
    expect(await said.getAttribute("role")).toBe("status");
    // The focus stays where the next press undoes it.
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("speak-consent");
    const seen = await page.evaluate(visibleTexts);
    const poor = seen.filter(({ front, back, isLarge }) => contrast(front, back) < (isLarge ? 3 : 4.5));
    expect(poor).toEqual([]);
    await page.screenshot({ path: `${PICTURES}consent-withdrawn.png` });
    await page.setViewportSize({ width: 375, height: 900 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(
      0,
    );
    await page.screenshot({ path: `${PICTURES}consent-withdrawn-phone.png` });

    await page.getByRole("button", { name: "Agree again" }).press("Enter");
    await expect.poll(() => consents).toEqual(["withdrawn by WHIP", "granted by WHIP"]);
    await expect.poll(() => said.textContent()).toContain("you agree");
    const { participants } = (await (await fetch(new URL("v1/calls/microphone", service.url))).json()) as {
      participants: { participantId: string }[];
    };
    // Taken back by somebody else, the page says so too.
    await service.engine
      .participant("microphone", participants[0]?.participantId ?? "")
      .setConsent("withdrawn", "desk");
    await expect.poll(() => said.textContent()).toContain("Your consent is withdrawn");
    await consent.focus();
    await service.engine.participant("microphone", participants[0]?.participantId ?? "").close();
    await expect.poll(() => consent.isVisible()).toBe(false);
    expect(await said.textContent()).toBe("");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("speak");
    watching.unsubscribe();
    await page.close();
  });

  test("the operations page shows 2 shards where service.stats tells of them, and none where it does not", async () => {
    const page = await open(OPERATIONS, "dark");
    const shards = page.locator('[data-panel="shards"]');
    expect(await shards.isVisible()).toBe(false);
    const stats = eventExamples()["service.stats"];
    const shard = { participants: 40, utilization: 0.25, droppedPackets: 0, restarts: 1 };
    const shardsOf = [
      { ...shard, up: true },
      { ...shard, up: false },
    ];
    service.engine.hub.publish({ ...stats, data: { ...stats.data, shards: shardsOf } } as TonetapEvent);
    await expect.poll(() => shards.locator("tbody tr").count()).toBe(2);
    const rows = await shards.locator("tbody tr").allTextContents();
    expect(rows).toEqual(["1works4025 %01", "2down4025 %01"]);
    await page.close();
  });
});

test("9 colours are at least ΔE 12 apart for 4 kinds of eyes in both themes, and 3:1 from the card", async () => {
  const css = await readFile(new URL("../../src/dashboard/style.css", import.meta.url), "utf8");
  const [, dark = "", light = ""] = css.split(":root");
  for (const [theme, block] of [
    ["dark", dark],
    ["light", light],
  ]) {
    const colours = new Map(
      [...(block ?? "").matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name = "", value = ""]) => [
        name,
        hex(value),
      ]),
    );
    const colour = (name: string): Rgb =>
      colours.get(name) ?? expect.unreachable(`${theme} has no --${name}`);
    for (const label of LABELS) {
      expect(contrast(colour(label), colour("card")), `${theme} ${label}`).toBeGreaterThanOrEqual(3);
    }
    for (const [eyes, matrix] of [["all colours", undefined], ...Object.entries(COLOUR_BLINDNESS)] as const) {
      const seen = (name: string): Rgb =>
        matrix === undefined ? colour(name) : seenBy(matrix, colour(name));
      for (const [i, a] of LABELS.entries()) {
        for (const b of LABELS.slice(i + 1)) {
          expect(difference(seen(a), seen(b)), `${theme}, ${eyes}: ${a} and ${b}`).toBeGreaterThanOrEqual(12);
        }
      }
    }
  }
});
