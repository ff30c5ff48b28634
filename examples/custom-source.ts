/**
 * A service for a platform of your own: each TCP connection is a caller. What makes it a source is tcp-mulaw-source.ts;
 * everything behind the packets (jitter, decoding, features, windows, model) is the engine's.
 */
import { createServer } from "node:net";
import { createEngine } from "tonetap";
import { sourceFromSocket } from "./tcp-mulaw-source.ts";

const engine = await createEngine();
engine.events$.subscribe((event) => console.log(JSON.stringify(event)));
let calls = 0;
const server = createServer((socket) => {
  const info = {
    callId: `tcp-${++calls}`,
    participantId: "caller",
    role: "customer",
    consent: "granted",
  } as const;
  engine.attach(sourceFromSocket(socket), info).catch((error: Error) => socket.destroy(error));
});
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
process.once("SIGINT", async () => {
  server.close();
  await engine.close();
});
