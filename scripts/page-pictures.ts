/// <reference lib="dom" />
/** Takes the pictures of the README: the bundled call in a real service, seen by Chromium. Takes a minute; needs Debian's chromium. */
import { fileURLToPath } from "node:url";
import { parseConfig } from "../src/config.ts";
import { runDemo } from "../src/demo.ts";
import { launchChromium } from "../test/support/chromium.ts";

const PICTURES = fileURLToPath(new URL("../docs/images/", import.meta.url));
const PORT = 18_217;
/** ms of the call, of 74,000: both are angry. */
const AFTER_MS = 52_000;

const ending = new AbortController();
const config = parseConfig({
  service: { port: PORT },
  model: { device: "cpu" },
  alerts: {
    rules: [{ id: "angry", name: "Sounds angry", labels: ["angry"], above: 0.6, minDurationMs: 2_000 }],
  },
});
const demo = runDemo({ config, once: false, out: process.stderr, signal: ending.signal });
const browser = await launchChromium();
try {
  const address = (path: string): string => `http://127.0.0.1:${PORT}/${path}`;
  const open = async (path: string, width: number, height: number, colorScheme: "dark" | "light") => {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1.5 });
    await page.goto(address(path));
    return page;
  };
  for (let attempt = 0; attempt < 60; attempt++) {
    if (
      await fetch(address("healthz")).then(
        () => true,
        () => false,
      )
    )
      break;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  const dueMs = performance.now() + AFTER_MS;
  const call = await open("#/call/demo-1", 1180, 860, "dark");
  const assist = await open("#/assist/demo-1", 760, 640, "light");
  const overlay = await open("overlay.html?call=demo-1", 460, 110, "dark");
  await call.waitForTimeout(Math.max(0, dueMs - performance.now()));
  await call.screenshot({ path: `${PICTURES}dashboard.png`, fullPage: true });
  await assist.screenshot({ path: `${PICTURES}assist.png` });
  await overlay.evaluate(() => {
    document.body.style.background = "linear-gradient(120deg, #3c5a70, #8a6a58)";
  });
  await overlay.screenshot({ path: `${PICTURES}overlay.png` });
  const model = await open("#/model", 1180, 860, "light");
  await model.getByLabel("Corpus").waitFor();
  await model.screenshot({ path: `${PICTURES}model.png`, fullPage: true });
} finally {
  await browser.close();
  ending.abort();
  await demo;
}
