/** Routes, limits, headers and files over real sockets: http-server.ts and its parts. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import { jsonBody, jsonResponse, matchRoute, parsePattern } from "../../src/events/http-route.ts";
import { HttpServer } from "../../src/events/http-server.ts";
import { EventHub } from "../../src/events/hub.ts";
import { addServiceRoutes } from "../../src/events/service-routes.ts";
import { ADA, joinedOf, startService, until } from "./support.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** Sends the path just as it is, where fetch would tidy it up. */
function ask(url: URL, path: string, { method = "GET", headers = {}, body }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: url.hostname, port: url.port, path, method, headers, agent: false };
    const request = httpRequest(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function serve(prepare: (http: HttpServer) => void, errors: TonetapError[] = []) {
  const http = new HttpServer({
    onError: (error) => errors.push(error),
    allowedOrigins: ["https://desk.example"],
  });
  prepare(http);
  const url = await http.listen("127.0.0.1", 0);
  return { http, url, errors, [Symbol.asyncDispose]: () => http.close() };
}

describe("a route pattern", () => {
  test("takes its 1 or 2 parameters out of a path, decoded, and fits nothing else", () => {
    const match = (pattern: string, path: string) => matchRoute(parsePattern(pattern), path);
    expect(match("/v1/calls/:id", "/v1/calls/a%2Fb")).toEqual({ id: "a/b" });
    expect(match("/:a/x/:b", "/1/x/2")).toEqual({ a: "1", b: "2" });
    expect(match("/files/*", "/files/a/b.js")).toEqual({ "*": "a/b.js" });
    expect(match("/*", "/")).toEqual({ "*": "" });
    for (const path of ["/v1/calls", "/v1/calls/", "/v1/calls/a/b", "/v2/calls/a"]) {
      expect(match("/v1/calls/:id", path)).toBeUndefined();
    }
    expect(() => match("/:a", "/%ff")).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    for (const pattern of ["calls", "/a//b", "/*/b", "/a b"])
      expect(() => parsePattern(pattern)).toThrow(/pattern/);
  });
});

describe("the HTTP server", () => {
  test("hands 6 parts of a request to the handler and sends back what it says", async () => {
    await using server = await serve((http) =>
      http.route("PATCH", "/whip/:id", async (request) => ({
        status: 201,
        headers: { "content-type": "application/sdp", location: "/whip/7" },
        body: `${request.method} ${request.path} ${request.params.id} ${request.query.get("call")} ${request.headers["if-match"]} ${request.body.toString()}`,
      })),
    );
    const answer = await ask(server.url, "/whip/7?call=c1", {
      method: "PATCH",
      headers: { "if-match": '"e"' },
      body: "v=0\r\n",
    });
    expect(answer).toMatchObject({ status: 201, body: 'PATCH /whip/7 7 c1 "e" v=0\r\n' });
    expect(answer.headers).toMatchObject({ "content-type": "application/sdp", location: "/whip/7" });
  });

  test("puts 6 security headers on every answer, errors too", async () => {
    await using server = await serve((http) => http.route("GET", "/ok", () => jsonResponse({ ok: true })));
    for (const path of ["/ok", "/missing"]) {
      const { headers } = await ask(server.url, path);
      expect(headers["content-security-policy"]).toMatch(/default-src 'self'.*frame-ancestors 'none'/);
      expect(headers["content-security-policy"]).not.toContain("unsafe");
      expect(headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "microphone=(self), camera=(), geolocation=()",
      });
    }
  });

  test("turns errors of 4 codes and a defect into problem documents, and tells only the defect to onError", async () => {
    const codes = { policy: 403, conflict: 409, media: 422, overloaded: 503 } as const;
    await using server = await serve((http) => {
      http.route("GET", "/fail/:code", ({ params }) => {
        throw new TonetapError((params.code ?? "") as keyof typeof codes, "just so");
      });
      http.route("GET", "/defect", () => Promise.reject(new RangeError("a secret inside")));
    });
    for (const [code, status] of Object.entries(codes)) {
      const { headers, body, ...answer } = await ask(server.url, `/fail/${code}`);
      expect(answer.status).toBe(status);
      expect(headers["content-type"]).toBe("application/problem+json");
      expect(JSON.parse(body)).toMatchObject({
        type: `urn:tonetap:error:${code}`,
        status,
        detail: "just so",
        code,
      });
    }
    expect(server.errors).toEqual([]);
    const defect = await ask(server.url, "/defect");
    expect(defect.status).toBe(500);
    expect(defect.body).not.toContain("secret");
    expect(server.errors.map((error) => error.message)).toEqual(["a secret inside"]);
  });

  test("answers 404, 405 with allow, HEAD without body and OPTIONS with 204", async () => {
    await using server = await serve((http) =>
      http.route("GET", "/a", () => jsonResponse([1])).route("DELETE", "/a", () => ({ status: 204 })),
    );
    const allow = "GET, DELETE, HEAD, OPTIONS";
    expect((await ask(server.url, "/b")).status).toBe(404);
    expect(await ask(server.url, "/a", { method: "PUT" })).toMatchObject({ status: 405, headers: { allow } });
    expect(await ask(server.url, "/a", { method: "OPTIONS" })).toMatchObject({
      status: 204,
      headers: { allow },
    });
    expect(await ask(server.url, "/a", { method: "HEAD" })).toMatchObject({
      status: 200,
      body: "",
      headers: { "content-length": "3" },
    });
    expect(await ask(server.url, "/a", { method: "DELETE" })).toMatchObject({ status: 204, body: "" });
  });

  test("takes a body of 1,000 bytes and refuses 1,001 with 413, told in advance or not", async () => {
    await using server = await serve((http) =>
      http.route("POST", "/in", ({ body }) => jsonResponse(body.length), { maxBodyBytes: 1000 }),
    );
    expect(await ask(server.url, "/in", { method: "POST", body: Buffer.alloc(1000) })).toMatchObject({
      body: "1000",
    });
    const long = { method: "POST", body: Buffer.alloc(1001) };
    expect((await ask(server.url, "/in", long)).status).toBe(413);
    const chunked = { ...long, headers: { "transfer-encoding": "chunked" } };
    expect((await ask(server.url, "/in", chunked)).status).toBe(413);
  });

  test("answers a body that is not JSON with 400", async () => {
    await using server = await serve((http) =>
      http.route("POST", "/json", (request) => jsonResponse(jsonBody(request))),
    );
    expect(await ask(server.url, "/json", { method: "POST", body: '{"a":1}' })).toMatchObject({
      body: '{"a":1}',
    });
    expect(await ask(server.url, "/json", { method: "POST", body: "{" })).toMatchObject({ status: 400 });
  });

  test("aborts the handler's signal when the client leaves, within 1 s", async () => {
    let signal: AbortSignal | undefined;
    await using server = await serve((http) =>
      http.route("GET", "/wait", async (request) => {
        signal = request.signal;
        await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        return {};
      }),
    );
    const socket = connectTcp(Number(server.url.port), server.url.hostname);
    socket.write(`GET /wait HTTP/1.1\r\nHost: ${server.url.host}\r\n\r\n`);
    await until(() => signal !== undefined);
    socket.destroy();
    await until(() => signal?.aborted === true);
    expect(server.errors).toEqual([]);
  });

  test("does not call it a defect when 1 client leaves in the middle of its body", async () => {
    await using server = await serve((http) => http.route("POST", "/in", () => ({})));
    const socket = connectTcp(Number(server.url.port), server.url.hostname);
    socket.write(`POST /in HTTP/1.1\r\nHost: ${server.url.host}\r\nContent-Length: 100\r\n\r\nhalf`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.errors).toEqual([]);
  });

  test("says that a port is taken with 1 conflict error", async () => {
    await using server = await serve(() => undefined);
    const second = new HttpServer();
    await expect(second.listen("127.0.0.1", Number(server.url.port))).rejects.toMatchObject({
      code: "conflict",
      message: `port ${server.url.port} is taken`,
    });
    await second.close();
  });

  test("cuts off a handler that is still busy 50 ms after close()", async () => {
    const http = new HttpServer({ closeGraceMs: 50 });
    let entered = false;
    http.route("GET", "/forever", () => {
      entered = true;
      return new Promise(() => undefined);
    });
    const url = await http.listen("127.0.0.1", 0);
    const answer = ask(url, "/forever").catch((error: unknown) => error);
    await until(() => entered);
    await Promise.all([http.close(), http.close()]);
    expect(await answer).toBeInstanceOf(Error);
  });
});

describe("the door", () => {
  test("refuses 3 foreign Hosts on a loopback address and takes 4 names of loopback", async () => {
    await using server = await serve((http) => http.route("GET", "/ok", () => jsonResponse(1)));
    for (const host of ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"]) {
      expect((await ask(server.url, "/ok", { headers: { host } })).status).toBe(403);
    }
    for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]"]) {
      expect((await ask(server.url, "/ok", { headers: { host } })).status).toBe(200);
    }
  });

  test("refuses a POST of a foreign page, and gives an allowed page 3 CORS headers", async () => {
    await using server = await serve((http) => http.route("POST", "/whip", () => ({ status: 201 })));
    const post = (origin: string) => ask(server.url, "/whip", { method: "POST", headers: { origin } });
    expect((await post("https://evil.example")).status).toBe(403);
    const allowed = await post("https://desk.example");
    expect(allowed.status).toBe(201);
    expect(allowed.headers).toMatchObject({
      "access-control-allow-origin": "https://desk.example",
      "access-control-expose-headers": "etag, link, location",
      vary: "Origin",
    });
    const own = await post(server.url.origin);
    expect(own.status).toBe(201);
    expect(own.headers).not.toHaveProperty("access-control-allow-origin");
  });
});

describe("static files", () => {
  let root = "";
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "tonetap-files-"));
    await mkdir(join(root, "site", "sub"), { recursive: true });
    await writeFile(join(root, "secret.txt"), "secret");
    await writeFile(join(root, "site", "index.html"), "<h1>hello</h1>");
    await writeFile(join(root, "site", "sub", "index.html"), "sub");
    await writeFile(join(root, "site", ".hidden.txt"), "hidden");
    await writeFile(join(root, "site", "data.bin"), "unknown type");
    await writeFile(
      join(root, "site", "code.ts"),
      'export const x: number = 1;\nimport type { A } from "./a.ts";\n',
    );
  });
  afterAll(() => rm(root, { recursive: true }));

  test("are served with their type from 3 places, with index.html for a folder", async () => {
    await using server = await serve((http) => http.files("/", join(root, "site")));
    expect(await ask(server.url, "/")).toMatchObject({
      status: 200,
      body: "<h1>hello</h1>",
      headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-cache" },
    });
    expect((await ask(server.url, "/index.html")).body).toBe("<h1>hello</h1>");
    expect((await ask(server.url, "/sub/")).body).toBe("sub");
  });

  test("are not sent again to a browser that has them: 304 with 0 bytes", async () => {
    await using server = await serve((http) => http.files("/", join(root, "site")));
    const { headers } = await ask(server.url, "/");
    const again = await ask(server.url, "/", { headers: { "if-none-match": headers.etag ?? "" } });
    expect(again).toMatchObject({ status: 304, body: "" });
  });

  test("outside the folder, hidden, of unknown type or crooked are not there: 11 paths", async () => {
    await using server = await serve((http) => http.files("/", join(root, "site")));
    const paths = [
      "/../secret.txt",
      "/sub/../../secret.txt",
      "/%2e%2e/secret.txt",
      "/..%2fsecret.txt",
      "/..%5csecret.txt",
      "/sub/%2e%2e%2f..%2fsecret.txt",
      "/.hidden.txt",
      "/data.bin",
      "/sub",
      "/index.html%00.js",
      "//index.html",
    ];
    for (const path of paths)
      expect({ path, status: (await ask(server.url, path)).status }).toEqual({ path, status: 404 });
    expect((await ask(server.url, "/%zz")).status).toBe(400);
  });
});

describe("the service's routes", () => {
  test("show 1 call with 1 participant as it is now, and 404 for another", async () => {
    await using service = await startService();
    addServiceRoutes(service.http, { openApi: {}, hub: service.hub });
    service.hub.publish(service.factory.create("call.started", { callId: ADA.callId }));
    service.hub.publish(service.factory.create("participant.joined", joinedOf(ADA)));
    const { body } = await ask(service.url, "/v1/calls");
    const [call] = JSON.parse(body).calls;
    expect(call).toMatchObject({
      callId: "c1",
      participants: [
        { participantId: "ada", role: "customer", transport: "rtp", paused: false, speaking: false },
      ],
    });
    expect(JSON.parse((await ask(service.url, "/v1/calls/c1")).body)).toEqual(call);
    expect((await ask(service.url, "/v1/calls/c2")).status).toBe(404);
  });

  test("say 200 to healthz always, and 503 with the reason to readyz until the model is there, then 1 backend", async () => {
    let reason: string | undefined = "the model is still loading";
    const hub = new EventHub();
    await using server = await serve((http) =>
      addServiceRoutes(http, {
        openApi: {},
        hub,
        notReady: () => reason,
        // More is known of a backend than a probe, which nobody is asked for, may learn.
        backends: () => [{ ...{ lastError: "secret" }, provider: "cuda", device: "gpu", state: "ready" }],
      }),
    );
    expect((await ask(server.url, "/healthz")).status).toBe(200);
    const waiting = await ask(server.url, "/readyz");
    expect(waiting.status).toBe(503);
    expect(JSON.parse(waiting.body).detail).toBe(reason);
    reason = undefined;
    const ready = await ask(server.url, "/readyz");
    expect(ready.status).toBe(200);
    expect(JSON.parse(ready.body)).toEqual({
      status: "ready",
      backends: [{ provider: "cuda", device: "gpu", state: "ready" }],
    });
  });

  test("give the AsyncAPI 3 document, once: then 304", async () => {
    await using server = await serve((http) => addServiceRoutes(http, { openApi: {}, hub: new EventHub() }));
    const { headers, body } = await ask(server.url, "/docs/asyncapi.json");
    expect(JSON.parse(body).asyncapi).toBe("3.0.0");
    const again = await ask(server.url, "/docs/asyncapi.json", {
      headers: { "if-none-match": headers.etag ?? "" },
    });
    expect(again.status).toBe(304);
  });
});
