/** A room for two or more: mediasoup carries the voices, Tonetap says what they express, every page shows it. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { createWorker } from "mediasoup";
import { createEngine } from "tonetap";
import { attachRouter } from "tonetap/mediasoup";
import { WebSocketServer } from "ws";
import { Peer } from "./peer.js";

/**
 * Opens the room. `announcedAddress` is where browsers reach mediasoup; `nodePaths` is where mediasoup-client is looked
 * for besides node_modules.
 */
export async function openRoom({ port = 3000, announcedAddress = "127.0.0.1", nodePaths = [] } = {}) {
  const page = await readFile(new URL("room.html", import.meta.url));
  const script = await bundle(nodePaths);
  const engine = await createEngine();
  const worker = await createWorker();
  const router = await worker.createRouter({
    mediaCodecs: [{ kind: "audio", mimeType: "audio/opus", clockRate: 48_000, channels: 2 }],
  });

  // All that Tonetap needs: who speaks in which producer.
  attachRouter(engine, router, {
    participantOf: ({ appData: { name, consent } }) => ({
      callId: "room",
      participantId: name,
      displayName: name,
      role: "guest",
      consent,
    }),
  });

  const server = createServer((request, response) => {
    const isScript = request.url === "/room.js";
    if (!isScript && request.url !== "/") response.writeHead(404).end();
    else {
      response.writeHead(200, { "Content-Type": isScript ? "text/javascript" : "text/html; charset=utf-8" });
      response.end(isScript ? script : page);
    }
  });
  const peers = new Set();
  const sockets = new WebSocketServer({ server, maxPayload: 64 * 1024 });
  sockets.on("connection", (socket) => {
    const peer = new Peer(socket, { router, peers, announcedAddress });
    peers.add(peer);
    socket.on("close", () => peer.close());
  });
  engine.events$.subscribe((event) => {
    for (const peer of peers) if (peer.name !== undefined) peer.tell("tonetap", event);
  });

  await new Promise((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    engine,
    router,
    async close() {
      for (const socket of sockets.clients) socket.terminate();
      server.close();
      worker.close();
      await engine.close();
    },
  };
}

/** The page's script with mediasoup-client in it. */
async function bundle(nodePaths) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("room.js", import.meta.url))],
    bundle: true,
    format: "esm",
    write: false,
    nodePaths,
  });
  return outputFiles[0].contents;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const room = await openRoom({
    port: Number(process.env.PORT ?? 3000),
    announcedAddress: process.env.ANNOUNCED_ADDRESS ?? "127.0.0.1",
  });
  console.log(`Open ${room.url} in two windows and talk.`);
  process.once("SIGINT", () => room.close());
}
