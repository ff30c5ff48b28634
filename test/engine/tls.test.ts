/** https and wss: every door behind a certificate, its renewal while connections are open, clients that must show one. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request as httpsRequest } from "node:https";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { ConfigInput } from "../../src/config.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { Service } from "../../src/service.ts";
import { TINY_MODEL_DIR } from "../inference/fixtures.ts";
import { launchChromium } from "../support/chromium.ts";
import { hasPeer } from "../support/system-peers.ts";
import { type Certificate, makeCertificate } from "../support/x509.ts";
import { eventually } from "../transport/loopback.ts";
import { createPublisher } from "../transport/werift/whip-peer.ts";

let folder = "";
let service: Service | undefined;
const errors: TonetapError[] = [];
const authority = makeCertificate({ name: "authority" });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tonetap-tls-"));
});
afterEach(async () => {
  await service?.close();
  service = undefined;
  errors.length = 0;
});
afterAll(() => rm(folder, { recursive: true }));

const file = (name: string): string => join(folder, name);

async function install({ cert }: Certificate, { key }: Certificate): Promise<void> {
  await writeFile(file("key.pem"), key, { mode: 0o600 });
  await writeFile(file("cert.pem"), cert);
}

async function open(
  certificate: Certificate,
  more: NonNullable<ConfigInput["service"]> = {},
): Promise<Service> {
  await install(certificate, certificate);
  service = await Service.open(
    {
      service: { port: 0, tlsCertFile: file("cert.pem"), tlsKeyFile: file("key.pem"), ...more },
      model: { device: "cpu", package: TINY_MODEL_DIR },
    },
    { onError: (error) => errors.push(error) },
  );
  return service;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly client?: Certificate;
  readonly agent?: Agent;
}

/** One request, whose server must be one that the authority vouches for. */
function ask(path: string, { method = "GET", headers = {}, body = "", client, agent }: Asked = {}) {
  return new Promise<{ status: number; body: string; issued: string }>((resolve, reject) => {
    const request = httpsRequest(
      new URL(path, service?.url),
      {
        method,
        headers,
        ca: authority.cert,
        agent: agent ?? false,
        ...(client === undefined ? {} : { cert: client.cert, key: client.key }),
      },
      (response) => {
        const issued = String((response.socket as TLSSocket).getPeerCertificate().subject?.CN ?? "");
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString(), issued }),
        );
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

/** A WebSocket to a path, open. */
async function socketTo(path: string): Promise<WebSocket> {
  const url = new URL(path, service?.url);
  url.protocol = "wss:";
  const socket = new WebSocket(url, { ca: authority.cert });
  await once(socket, "open");
  return socket;
}

describe("a service with a certificate", () => {
  test("speaks https and wss at 6 doors: REST, page, event stream, events, WHIP, media", async () => {
    const { url } = await open(makeCertificate({ issuer: authority, name: "one" }));
    expect(url.protocol).toBe("https:");
    expect((await ask("/v1/calls")).status).toBe(200);
    expect((await ask("/")).body).toContain("<title>");

    const events = await socketTo("/v1/events");
    const first = new Promise<string>((resolve) => {
      events.on("message", (data: Buffer) => data.includes("participant.joined") && resolve(data.toString()));
    });
    const stream = httpsRequest(new URL("/v1/events", url), { ca: authority.cert });
    stream.end();
    const [listening] = await once(stream, "response");
    expect(listening.headers["content-type"]).toBe("text/event-stream");
    const heard = new Promise<void>((resolve) => {
      listening.on("data", (chunk: Buffer) => chunk.includes("participant.joined") && resolve());
    });

    const publisher = await createPublisher();
    const { status, body } = await ask("/whip?call=tls&participant=ada", {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: publisher.offer,
    });
    expect(status).toBe(201);
    await publisher.connect(body);
    expect(JSON.parse(await first).data).toMatchObject({ callId: "tls", participantId: "ada" });
    await heard;
    const media = await socketTo("/v1/media/twilio");
    media.terminate();
    stream.destroy();
    events.terminate();
    await publisher.close();
  });

  test("takes another certificate when both files are there, without cutting the 2 connections that are open", async () => {
    await open(makeCertificate({ issuer: authority, name: "one" }));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await ask("/healthz", { agent })).issued).toBe("one");
    const events = await socketTo("/v1/events");
    let closed = false;
    events.on("close", () => {
      closed = true;
    });

    const next = makeCertificate({ issuer: authority, name: "two" });
    await install(next, next);
    for (let issued = "one"; issued !== "two"; ) {
      issued = (await ask("/healthz")).issued;
      // On the connection that was open before.
      expect((await ask("/healthz", { agent })).status).toBe(200);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(closed).toBe(false);
    expect(errors).toEqual([]);
    agent.destroy();
    events.terminate();
  });

  test("keeps the certificate of before when the files go wrong, says why once, and takes 1 that is right at a word", async () => {
    const one = makeCertificate({ issuer: authority, name: "one" });
    const running = await open(one);
    await install(makeCertificate({ issuer: authority, name: "two" }), one);
    await eventually(() => errors.length > 0);
    expect(errors[0]?.message).toContain("is not the key of the certificate CN=two");
    expect((await ask("/healthz")).issued).toBe("one");
    await expect(running.renewCertificate()).rejects.toThrow("is not the key of");
    expect((await ask("/healthz")).issued).toBe("one");
    const three = makeCertificate({ issuer: authority, name: "three" });
    await install(three, three);
    expect(await running.renewCertificate()).toBe(true);
    expect((await ask("/healthz")).issued).toBe("three");
    expect(errors).toHaveLength(1);
  });

  test("speaks TLS 1.2 and 1.3, not 1.1; with tlsMinVersion TLSv1.3 that alone", async () => {
    const spoken = async (version: "TLSv1.1" | "TLSv1.2" | "TLSv1.3"): Promise<string> => {
      const socket = connectTls({
        port: Number(service?.url.port),
        host: "127.0.0.1",
        ca: authority.cert,
        minVersion: version,
        maxVersion: version,
        // OpenSSL itself would not offer 1.1 at its usual level.
        ciphers: "DEFAULT@SECLEVEL=0",
      });
      const outcome = await new Promise<string>((resolve) => {
        socket.once("secureConnect", () => resolve(socket.getProtocol() ?? ""));
        socket.once("error", () => resolve("refused"));
      });
      socket.destroy();
      return outcome;
    };
    const certificate = makeCertificate({ issuer: authority });
    await open(certificate);
    expect(await Promise.all((["TLSv1.1", "TLSv1.2", "TLSv1.3"] as const).map(spoken))).toEqual([
      "refused",
      "TLSv1.2",
      "TLSv1.3",
    ]);
    await service?.close();
    await open(certificate, { tlsMinVersion: "TLSv1.3" });
    expect(await Promise.all((["TLSv1.2", "TLSv1.3"] as const).map(spoken))).toEqual(["refused", "TLSv1.3"]);
  });

  test("lets in only clients that show a certificate of its authorities, if it has some: 1 of 3, before and after a renewal", async () => {
    const clients = makeCertificate({ name: "clients" });
    await writeFile(file("clients.pem"), clients.cert);
    const running = await open(makeCertificate({ issuer: authority }), {
      tlsClientCaFile: file("clients.pem"),
    });
    const known = makeCertificate({ issuer: clients, name: "desk" });
    for (let round = 0; round < 2; round++) {
      expect((await ask("/healthz", { client: known })).status).toBe(200);
      await expect(ask("/healthz")).rejects.toThrow();
      await expect(ask("/healthz", { client: makeCertificate({ name: "stranger" }) })).rejects.toThrow();
      await running.renewCertificate();
    }
  });

  test("survives what is no TLS: 20 connections of plain HTTP, nonsense and silence, then 1 good request", async () => {
    await open(makeCertificate({ issuer: authority }));
    const port = Number(service?.url.port);
    const sockets = Array.from({ length: 20 }, (_, n) => {
      const socket = connectTcp(port, "127.0.0.1");
      socket.on("error", () => socket.destroy());
      socket.write(n % 2 === 0 ? "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" : Buffer.alloc(64, 0x16));
      return socket;
    });
    expect((await ask("/healthz")).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    expect(errors).toEqual([]);
  });

  test.skipIf(!hasPeer("chromium"))(
    "shows its page in Chromium, which hears of 1 participant over wss",
    async () => {
      const { url, engine } = await open(makeCertificate({ issuer: authority }));
      const browser = await launchChromium();
      try {
        const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
        const complaints: string[] = [];
        page.on("pageerror", (error) => complaints.push(error.message));
        const sockets: string[] = [];
        page.on("websocket", (socket) => sockets.push(socket.url()));
        await page.goto(url.href);
        await page.getByText("No call yet").waitFor();
        await ask("/v1/rtp", {
          method: "POST",
          body: JSON.stringify({ callId: "tls", participantId: "ada", displayName: "Ada" }),
        });
        await expect.poll(() => page.locator(".row").count(), { timeout: 20_000 }).toBe(1);
        expect(sockets[0]).toMatch(/^wss:/);
        expect(complaints).toEqual([]);
        await engine.endCall("tls");
      } finally {
        await browser.close();
      }
    },
  );
});

describe("a service whose certificate is not good", () => {
  const good = makeCertificate({ name: "good" });
  const HOUR_MS = 3_600_000;

  test.each<[string, Certificate, string | undefined, string]>([
    ["is another's", good, makeCertificate().key, "service.tlsKeyFile"],
    ["is no key", good, "hello", "service.tlsKeyFile holds no private key in PEM"],
    [
      "is encrypted",
      good,
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIG\n-----END ENCRYPTED PRIVATE KEY-----\n",
      "service.tlsKeyFile is protected by a passphrase",
    ],
    ["has no file", good, undefined, "service.tlsKeyFile must be a file that can be read"],
    [
      "is right, and the certificate has expired",
      makeCertificate({ name: "old", untilMs: -HOUR_MS }),
      "own",
      "service.tlsCertFile: the certificate CN=old has expired on",
    ],
    [
      "is right, and the certificate is for tomorrow",
      makeCertificate({ name: "young", fromMs: HOUR_MS }),
      "own",
      "service.tlsCertFile: the certificate CN=young is not valid before",
    ],
    [
      "is right, and the certificate is none",
      { ...good, cert: "hello" },
      "own",
      "service.tlsCertFile holds no certificate in PEM",
    ],
  ])(
    "does not start when its key %s: 1 option is named, the key is not shown",
    async (what, { cert, key }, other, words) => {
      const [certFile, keyFile] = [file(`${what} cert.pem`), file(`${what} key.pem`)];
      await writeFile(certFile, cert);
      const pem = other === "own" ? key : other;
      if (pem !== undefined) await writeFile(keyFile, pem);
      const failure = await Service.open({
        service: { port: 0, tlsCertFile: certFile, tlsKeyFile: keyFile },
        model: { device: "cpu", package: TINY_MODEL_DIR },
      }).then(
        (opened) => opened.close(),
        (error: unknown) => TonetapError.from(error),
      );
      expect(failure).toMatchObject({ code: "invalid-argument", message: expect.stringContaining(words) });
      expect(failure?.message).not.toContain("BEGIN PRIVATE KEY-----\nM");
    },
  );

  test("does not start with 1 of certificate and key, or authorities alone", async () => {
    for (const [given, words] of [
      [{ tlsCertFile: "cert.pem" }, "service.tlsKeyFile and service.tlsCertFile need each other"],
      [{ tlsKeyFile: "key.pem" }, "service.tlsKeyFile and service.tlsCertFile need each other"],
      [{ tlsClientCaFile: "ca.pem" }, "service.tlsClientCaFile needs service.tlsCertFile"],
    ] as const) {
      await expect(Service.open({ service: given })).rejects.toThrow(words);
    }
  });
});
