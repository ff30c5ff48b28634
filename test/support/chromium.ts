/** Debian's headless Chromium for tests. Whether it is installed is system-peers.ts. */
import { type Browser, chromium } from "playwright-core";

const FLAGS = [
  // Tests run as root in containers.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  // 127.0.0.1 becomes an ICE candidate: nothing leaves the machine.
  "--allow-loopback-in-peer-connection",
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  // No page is in front in headless mode; timers and audio must run all the same.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-default-apps",
  "--disable-extensions",
  "--no-default-browser-check",
  "--no-first-run",
  "--no-proxy-server",
  "--mute-audio",
];

/** A fresh browser without profile. The caller closes it. */
export function launchChromium(flags: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: [...FLAGS, ...flags] });
}
