/// <reference lib="dom" />
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createKey } from "../../src/access/index.ts";
import { Service } from "../../src/service.ts";
import { launchChromium } from "../support/chromium.ts";
import { hasPeer } from "../support/system-peers.ts";

test.skipIf(!hasPeer("chromium"))(
  "the page asks for a key until 1 is right, goes live with it, and keeps it in the tab only",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "tonetap-page-key-"));
    const { key, hash } = createKey("desk");
    const keysFile = join(folder, "keys.yaml");
    await writeFile(keysFile, `keys:\n  - {id: desk, hash: "${hash}", scopes: [events:read]}\n`);
    const [service, browser] = await Promise.all([
      Service.open({ service: { port: 0 }, model: { device: "cpu" }, auth: { keysFile } }),
      launchChromium(),
    ]);
    try {
      const page = await browser.newPage();
      await page.goto(service.url.href);
      await page.getByLabel("Key", { exact: true }).fill("wrong");
      await page.getByRole("button", { name: "Use it" }).click();
      await page.getByText("The service does not take this key.").waitFor();
      await page.getByLabel("Key", { exact: true }).fill(key);
      await page.getByRole("button", { name: "Use it" }).click();
      await page.getByText("live", { exact: true }).waitFor();
      expect(await page.evaluate(() => sessionStorage.length)).toBe(1);
      expect(await page.evaluate(() => Object.values(localStorage).join())).not.toContain(key);
      expect(page.url()).not.toContain(key);
    } finally {
      await browser.close();
      await service.close();
      await rm(folder, { recursive: true });
    }
  },
);
