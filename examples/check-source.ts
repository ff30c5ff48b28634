/** Does your own source keep the contract? Each check gets a fresh connection; any test runner can assert the report. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { checkAudioSource } from "tonetap/conformance";
import { sourceFromSocket } from "./tcp-mulaw-source.ts";

const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;

const report = await checkAudioSource(async () => {
  const [[socket], peer] = await Promise.all([once(server, "connection"), connect(port, "127.0.0.1")]);
  peer.on("error", () => peer.destroy());
  return {
    source: sourceFromSocket(socket),
    // 200 ms of µ-law; a peer whose source was closed may find nobody.
    send: () => new Promise<void>((resolve) => peer.write(Buffer.alloc(1600, 0xff), () => resolve())),
    leave: async () => void peer.end(),
    fail: async () => void socket.destroy(new Error("cable cut")),
    dispose: async () => void peer.destroy(),
  };
});
server.close();
console.log(report.text);
process.exitCode = report.passed ? 0 : 1;
