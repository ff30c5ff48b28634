/** An inference server behind TLS: whom we believe, and what we send. */
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KserveBackend, loadModelPackage, modelShape, WindowMemory } from "../../src/inference/index.ts";
import { createCertificate, hasOpenssl } from "../support/certificate.ts";
import { type KserveServer, startKserveServer } from "../support/kserve-server.ts";
import { TINY_MODEL_DIR } from "./fixtures.ts";

const ONNX = join(TINY_MODEL_DIR, "model.onnx");

describe.skipIf(!hasOpenssl()).each(["https", "grpcs"] as const)("KserveBackend over %s", (protocol) => {
  const { key, cert } = createCertificate();
  let server: KserveServer;
  let front: Server;
  let url: string;
  beforeAll(async () => {
    server = await startKserveServer(ONNX, "tiny");
    const port = server.ports[protocol === "https" ? 0 : 1];
    // As an ingress does it: TLS ends here, the server behind speaks plainly.
    front = createServer(
      { key, cert, ALPNProtocols: [protocol === "https" ? "http/1.1" : "h2"] },
      (client) => {
        const behind = connect(port, "127.0.0.1");
        client.pipe(behind).pipe(client);
        for (const socket of [client, behind])
          socket.on("error", () => [client, behind].map((one) => one.destroy()));
      },
    );
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    url = `${protocol}://127.0.0.1:${(front.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    front.close();
    await server.stop();
  });

  it("believes a certificate that the given authority vouches for, and sends 1 bearer token", async () => {
    const model = await loadModelPackage(TINY_MODEL_DIR);
    const backend = new KserveBackend({
      url,
      ca: cert,
      headers: { authorization: "Bearer s3cret" },
      requestTimeoutMs: 30_000,
    });
    await backend.load(model);
    await backend.run(
      { memory: new WindowMemory(1, modelShape(model.manifest)), rows: [0] },
      new Float32Array(7),
    );
    await backend.close();

    const { authorizations } = await server.seen();
    expect(authorizations.length).toBeGreaterThanOrEqual(1);
    expect(new Set(authorizations)).toEqual(new Set(["Bearer s3cret"]));
  });

  it("refuses 1 certificate that nobody vouches for", async () => {
    const backend = new KserveBackend({ url, requestTimeoutMs: 30_000 });
    await expect(backend.load(await loadModelPackage(TINY_MODEL_DIR))).rejects.toMatchObject({
      code: "unavailable",
    });
    await backend.close();
  });
});
