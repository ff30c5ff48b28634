/** A conference room: mediasoup carries voices and faces, Tonetap says what each voice expresses, every tile shows it. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { createWorker } from "mediasoup";
import { Service } from "tonetap";
import { attachRouter } from "tonetap/mediasoup";
import { WebSocketServer } from "ws";
import { Peer } from "./peer.js";

/** What browsers and routers agree on. */
const MEDIA_CODECS = [
  { kind: "audio", mimeType: "audio/opus", clockRate: 48_000, channels: 2 },
  { kind: "video", mimeType: "video/VP8", clockRate: 90_000 },
];

/**
 * Opens the room on `port` and Tonetap on `tonetapPort`. `announcedAddress` is where browsers reach mediasoup; `publicUrl`
 * and `tonetapUrl` are where they reach the room and Tonetap behind a proxy. `bundle` goes to esbuild: where packages are.
 */
export async function openRoom({
  port = 3000,
  tonetapPort = 3001,
  announcedAddress = "127.0.0.1",
  publicUrl,
  tonetapUrl,
  bundle = {},
} = {}) {
  const page = await readFile(new URL("room.html", import.meta.url));
  const script = await bundled(bundle);
  const server = createServer((request, response) => {
    const isScript = request.url === "/room.js";
    if (!isScript && request.url !== "/") response.writeHead(404).end();
    else {
      response.writeHead(200, { "Content-Type": isScript ? "text/javascript" : "text/html; charset=utf-8" });
      response.end(isScript ? script : page);
    }
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  const { port: ownPort } = server.address();
  const url = `http://127.0.0.1:${ownPort}`;

  // Tonetap with its events over WebSocket, for this room's page and no other.
  const origins = [url, `http://localhost:${ownPort}`, publicUrl].filter((origin) => origin !== undefined);
  const service = await Service.open({
    service: {
      port: tonetapPort,
      allowedOrigins: origins.map((origin) => new URL(origin).origin),
      allowedHosts: tonetapUrl === undefined ? [] : [new URL(tonetapUrl).hostname],
    },
  });
  const worker = await createWorker();
  const router = await worker.createRouter({ mediaCodecs: MEDIA_CODECS });

  // All that Tonetap needs: who speaks in which producer.
  attachRouter(service.engine, router, {
    participantOf: ({ appData: { name, consent } }) => ({
      callId: "room",
      participantId: name,
      displayName: name,
      role: "guest",
      consent,
    }),
  });

  const peers = new Set();
  const sockets = new WebSocketServer({ server, maxPayload: 64 * 1024 });
  sockets.on("connection", (socket) => {
    const peer = new Peer(socket, {
      router,
      peers,
      announcedAddress,
      tonetapUrl: tonetapUrl ?? service.url.href,
    });
    peers.add(peer);
    socket.on("close", () => peer.close());
  });

  return {
    url,
    engine: service.engine,
    router,
    worker,
    async close() {
      for (const socket of sockets.clients) socket.terminate();
      server.close();
      worker.close();
      await service.close();
    },
  };
}

/** The page's script with mediasoup-client and tonetap/client in it. */
async function bundled(options) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("room.js", import.meta.url))],
    bundle: true,
    format: "esm",
    write: false,
    ...options,
  });
  return outputFiles[0].contents;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const room = await openRoom({
    port: Number(process.env.PORT ?? 3000),
    tonetapPort: Number(process.env.TONETAP_PORT ?? 3001),
    announcedAddress: process.env.ANNOUNCED_ADDRESS ?? "127.0.0.1",
    publicUrl: process.env.PUBLIC_URL,
    tonetapUrl: process.env.TONETAP_URL,
  });
  console.log(`Open ${room.url} in two windows and talk.`);
  process.once("SIGINT", () => room.close());
}
