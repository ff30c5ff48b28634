/// <reference lib="dom" />
import { expect, test } from "vitest";
import { Service } from "../../src/service.ts";
import { launchChromium } from "../support/chromium.ts";
import { writeKeysFile } from "../support/keys-file.ts";
import { hasPeer } from "../support/system-peers.ts";

test.skipIf(!hasPeer("chromium"))(
  "the page asks for a key until 1 is right, goes live with it, and keeps it in the tab only",
  async () => {
    await using keysFile = await writeKeysFile({ desk: "scopes: [events:read]" });
    const key = keysFile.keys.get("desk") ?? "";
    const [service, browser] = await Promise.all([
      Service.open({ service: { port: 0 }, model: { device: "cpu" }, auth: { keysFile: keysFile.path } }),
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
    }
  },
);
