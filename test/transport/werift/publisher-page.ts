/** A page in real Chromium that publishes known audio over WHIP, and the small HTTP server that both talk to. */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, Page } from "playwright-core";
import { expect } from "vitest";
import type { WhipEndpoint } from "../../../src/transport/werift/index.ts";

/** Hz of the audio that pages play. */
export const PAGE_RATE_HZ = 48_000;

const PAGE = `<!doctype html><meta charset="utf-8"><title>publisher</title><script type="module">
import { publishMicrophone } from "/whip-client.js";
window.publish = async (endpoint, token) => {
  const context = new AudioContext({ sampleRate: ${PAGE_RATE_HZ} });
  const pcm = new Float32Array(await (await fetch("/audio.f32")).arrayBuffer());
  const buffer = context.createBuffer(1, pcm.length, ${PAGE_RATE_HZ});
  buffer.copyToChannel(pcm, 0);
  const microphone = context.createMediaStreamDestination();
  microphone.channelCount = 1;
  const publication = await publishMicrophone({ endpoint, stream: microphone.stream, token });
  const { pc } = publication;
  const player = context.createBufferSource();
  player.buffer = buffer;
  player.connect(microphone);
  const played = new Promise((resolve) => player.addEventListener("ended", () => resolve(), { once: true }));
  const sent = async () =>
    [...(await pc.getStats()).values()].find(({ type }) => type === "outbound-rtp").packetsSent;
  window.published = { ...publication, context, microphone, played, sent };
  if (pc.connectionState !== "connected") {
    await new Promise((resolve, reject) => pc.addEventListener("connectionstatechange", () => {
      if (pc.connectionState === "connected") resolve();
      if (pc.connectionState === "failed") reject(new Error("connection failed"));
    }));
  }
  const startsIn = 0.3;
  player.start(context.currentTime + startsIn);
  return { startsAtWallMs: performance.timeOrigin + performance.now() + startsIn * 1000, answer: pc.remoteDescription.sdp };
};
window.ready = true;
</script>`;

/** Resolves when a page has played its audio to the end, and as many packets have come as it has sent. */
export async function playedOut(
  page: { evaluate(script: string): Promise<unknown> },
  packets: { readonly length: number },
): Promise<void> {
  await page.evaluate("published.played");
  await expect.poll(async () => Number(await page.evaluate("published.sent()")) - packets.length).toBe(0);
}

export interface PublisherSite {
  readonly url: string;
  /** Requests seen, `METHOD path-without-id status`, in order. */
  readonly log: readonly string[];
  /** Loads the page; it is ready to publish. `preload` runs before its own scripts. */
  open(browser: Browser, preload?: string): Promise<Page>;
  close(): Promise<void>;
}

/** Serves the page, `audio` (mono, {@link PAGE_RATE_HZ}) and `endpoint` on a free port of 127.0.0.1. */
export async function publisherSite(
  endpoint: Pick<WhipEndpoint, "handle">,
  audio: Float32Array,
): Promise<PublisherSite> {
  const client = await readFile(new URL("../../../src/dashboard/whip-client.js", import.meta.url));
  const log: string[] = [];
  const files = new Map<string, [type: string, body: string | Uint8Array]>([
    ["/", ["text/html", PAGE]],
    ["/whip-client.js", ["text/javascript", client]],
    [
      "/audio.f32",
      ["application/octet-stream", new Uint8Array(audio.buffer, audio.byteOffset, audio.byteLength)],
    ],
  ]);
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "/", "http://site");
    const file = request.method === "GET" ? files.get(url.pathname) : undefined;
    if (file !== undefined) {
      response.writeHead(200, { "Content-Type": file[0] }).end(file[1]);
      return;
    }
    const answer = await endpoint.handle({
      method: request.method ?? "",
      path: url.pathname,
      headers: request.headers,
      query: url.searchParams,
      body: await readBody(request),
    });
    log.push(`${request.method} ${url.pathname.split("/")[1]} ${answer.status}`);
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  const url = await listen(server);
  return {
    url,
    log,
    async open(browser, preload) {
      const page = await browser.newPage();
      if (preload !== undefined) await page.addInitScript(preload);
      await page.goto(url);
      await page.waitForFunction("window.ready === true");
      return page;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    );
  });
}
