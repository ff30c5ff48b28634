import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket as Socket } from "ws";
import { createKey } from "../../src/access/index.ts";
import { connect } from "../../src/client/index.ts";
import type { TonetapEvent } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";
import { type KeysFile, writeKeysFile } from "../support/keys-file.ts";
import { ManualClock } from "../support/manual-clock.ts";

const KEYS = {
  operator: "scopes: [admin]",
  watcher: "scopes: [events:read]",
  acme: "scopes: [events:read, calls:write], tenant: acme",
  beta: "scopes: [events:read, calls:write], tenant: beta",
  betaAdmin: "scopes: [admin], tenant: beta",
  desk: 'scopes: ["events:read:desk-*", "calls:write:desk-*"], tenant: acme',
} as const;
type Who = keyof typeof KEYS;

describe("a service with keys", () => {
  let keysFile: KeysFile<Who>;
  let service: Service;

  beforeAll(async () => {
    keysFile = await writeKeysFile(KEYS);
    service = await Service.open({
      service: { port: 0 },
      model: { device: "cpu" },
      auth: { keysFile: keysFile.path },
      audioSocket: { listen: "tcp", port: 0 },
      alerts: { rules: [{ id: "upset", labels: ["angry"], above: 0.5 }] },
    });
  });
  afterAll(async () => {
    await service.close();
    await keysFile[Symbol.asyncDispose]();
  });

  const ask = (who: Who | undefined, method: string, path: string, json?: unknown): Promise<Response> =>
    fetch(new URL(path, service.url), {
      method,
      headers: who === undefined ? {} : { authorization: `Bearer ${keysFile.keys.get(who)}` },
      ...(json === undefined || method === "GET" ? {} : { body: JSON.stringify(json) }),
    });
  const bring = async (who: Who, callId: string, more = {}) => {
    const response = await ask(who, "POST", "/v1/rtp", { callId, participantId: "ada", ...more });
    return { status: response.status, location: response.headers.get("location") ?? "" };
  };
  const callsSeenBy = async (who: Who): Promise<string[]> => {
    const { calls } = (await (await ask(who, "GET", "/v1/calls")).json()) as { calls: { callId: string }[] };
    return calls.map(({ callId }) => callId).sort();
  };

  test("14 routes ask who it is (401 with a challenge); 8 that show nothing of calls do not", async () => {
    const asking: [string, string][] = [
      ["GET", "/v1/calls"],
      ["GET", "/v1/calls/x"],
      ["GET", "/v1/alerts"],
      ["GET", "/v1/alerts/rules"],
      ["POST", "/v1/alerts/rules"],
      ["DELETE", "/v1/alerts/rules/upset"],
      ["POST", "/v1/rtp"],
      ["PATCH", "/v1/calls/x/participants/y"],
      ["DELETE", "/v1/calls/x/participants/y"],
      ["POST", "/v1/audiosocket"],
      ["GET", "/v1/events"],
      ["GET", "/metrics"],
      ["GET", "/v1/models"],
      ["POST", "/v1/models"],
    ];
    for (const [method, path] of asking) {
      const response = await ask(undefined, method, path);
      expect(response.status, `${method} ${path}`).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(await response.json()).toMatchObject({ code: "unauthenticated", status: 401 });
    }
    const open = ["/", "/app.js", "/client/index.js", "/healthz", "/readyz"];
    for (const path of [...open, "/docs", "/docs/docs.css", "/docs/asyncapi.json"]) {
      expect((await ask(undefined, "GET", path)).status, path).toBe(200);
    }
    const offer = { method: "POST", headers: { "content-type": "application/sdp" }, body: "v=0" };
    expect((await fetch(new URL("/whip?call=x", service.url), offer)).status).toBe(401);
    const signed = {
      ...offer,
      headers: { ...offer.headers, authorization: `Bearer ${keysFile.keys.get("watcher")}` },
    };
    expect((await fetch(new URL("/whip?call=x", service.url), signed)).status).toBe(403);
  });

  test("what a key lacks is 403 and names the right: 5 requests", async () => {
    const lacking: [Who, string, string, string][] = [
      ["watcher", "POST", "/v1/rtp", "calls:write"],
      ["acme", "GET", "/v1/alerts/rules", "admin"],
      ["betaAdmin", "POST", "/v1/alerts/rules", "admin"],
      ["watcher", "GET", "/v1/models", "admin"],
      ["betaAdmin", "POST", "/v1/models", "admin"],
    ];
    for (const [who, method, path, right] of lacking) {
      const response = await ask(who, method, path, {});
      expect(response.status, `${who} ${method} ${path}`).toBe(403);
      expect(await response.json()).toMatchObject({ detail: expect.stringContaining(right) });
    }
  });

  test("2 tenants have a call of the same name: neither sees, changes, disturbs or can tell of the other's", async () => {
    const acme = await bring("acme", "support-42");
    const beta = await bring("beta", "support-42");
    expect([acme.status, beta.status]).toEqual([201, 201]);
    expect(acme.location).toBe("/v1/calls/acme~support-42/participants/ada");
    expect(await callsSeenBy("acme")).toEqual(["acme~support-42"]);
    expect(await callsSeenBy("beta")).toEqual(["beta~support-42"]);
    expect(await callsSeenBy("operator")).toEqual(["acme~support-42", "beta~support-42"]);

    // What is another's answers as what does not exist, to the letter.
    for (const method of ["GET", "PATCH", "DELETE"]) {
      const path = method === "GET" ? "/v1/calls/CALL" : "/v1/calls/CALL/participants/ada";
      const answers = await Promise.all(
        ["acme~support-42", "acme~support-99"].map(async (id) => {
          const response = await ask("beta", method, path.replace("CALL", id), { consent: "granted" });
          return `${response.status} ${(await response.text()).replaceAll("support-99", "support-42")}`;
        }),
      );
      expect(answers[0]).toBe(answers[1]);
      expect(answers[0]).toMatch(/^404/);
    }
    expect((await bring("beta", "x", { tenant: "acme" })).status).toBe(403);
    // One's own call goes by both names.
    const own = await ask("acme", "PATCH", "/v1/calls/support-42/participants/ada", { consent: "granted" });
    expect(await own.json()).toMatchObject({ callId: "acme~support-42", consent: "granted" });
    expect((await ask("acme", "GET", "/v1/calls/support-42")).status).toBe(200);
    expect((await ask("acme", "DELETE", acme.location)).status).toBe(204);
    expect((await ask("operator", "DELETE", beta.location)).status).toBe(204);
  });

  test("over WebSocket 3 keys see what is theirs, from the snapshot on, whatever they filter for; 2 are turned away", async () => {
    const first = await bring("beta", "early");
    const seen = new Map<Who, TonetapEvent[]>();
    const connections = await Promise.all(
      (["operator", "beta", "desk"] as const).map(async (who) => {
        const events: TonetapEvent[] = [];
        seen.set(who, events);
        const connection = connect(service.url, {
          token: keysFile.keys.get(who) ?? "",
          filter: { calls: "*" },
        });
        connection.on("event", (event) => events.push(event));
        await new Promise<void>((resolve) =>
          connection.on("status", ({ state }) => state === "open" && resolve()),
        );
        return connection;
      }),
    );
    const others = await Promise.all([
      bring("acme", "desk-1"),
      bring("acme", "lab-1"),
      bring("beta", "late"),
    ]);
    connections[1]?.subscribe({ calls: ["acme~desk-1", "beta~late"] });
    for (const { location } of [first, ...others]) {
      expect((await ask("operator", "DELETE", location)).status).toBe(204);
    }
    const callsOf = (who: Who) =>
      [
        ...new Set((seen.get(who) ?? []).flatMap(({ data }) => ("callId" in data ? [data.callId] : []))),
      ].sort();
    await expect
      .poll(() => callsOf("operator"))
      .toEqual(["acme~desk-1", "acme~lab-1", "beta~early", "beta~late"]);
    await expect
      .poll(() => seen.get("operator")?.some(({ type }) => type === "tonetap.service.stats"))
      .toBe(true);
    expect(callsOf("beta")).toEqual(["beta~early", "beta~late"]);
    expect(callsOf("desk")).toEqual(["acme~desk-1"]);
    for (const who of ["beta", "desk"] as const) {
      expect(seen.get(who)?.some(({ type }) => type === "tonetap.service.stats")).toBe(false);
    }
    for (const connection of connections) connection.close();

    for (const token of [undefined, createKey("operator").key]) {
      const socket = new WebSocket(
        new URL("/v1/events", service.url.href.replace("http", "ws")),
        token === undefined ? ["tonetap.v1"] : ["tonetap.v1", `bearer.${token}`],
      );
      const opened = await new Promise((resolve) => {
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      });
      expect(opened).toBe(false);
    }
  });

  test("media over WebSocket joins the tenant of its key, in 1 call that its pattern names", async () => {
    const joined = new Promise<TonetapEvent>((resolve) => {
      const watching = service.engine.events$.subscribe((event) => {
        if (event.type !== "tonetap.participant.joined") return;
        watching.unsubscribe();
        resolve(event);
      });
    });
    const url = new URL("/v1/media/twilio", service.url.href.replace("http", "ws"));
    url.searchParams.set("token", keysFile.keys.get("desk") ?? "");
    const socket = new WebSocket(url);
    await new Promise((resolve) => {
      socket.onopen = resolve;
    });
    const start = {
      event: "start",
      streamSid: "MZ1",
      start: {
        callSid: "desk-7",
        tracks: ["inbound"],
        mediaFormat: { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 },
        customParameters: {},
      },
    };
    socket.send(JSON.stringify(start));
    expect((await joined).data).toMatchObject({ callId: "acme~desk-7" });
    socket.close();
  });
});

test("after 10 requests at once at 1 a second, each of 6 doors answers 429 with Retry-After and the same problem; a second later REST is open", async () => {
  await using keysFile = await writeKeysFile({ busy: "scopes: [admin]" });
  const clock = new ManualClock();
  await using service = await Service.open(
    {
      service: { port: 0 },
      model: { device: "cpu" },
      auth: { keysFile: keysFile.path, maxRequestsPerSecond: 1 },
    },
    { clock },
  );
  const key = keysFile.keys.get("busy") ?? "";
  const authorization = `Bearer ${key}`;
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(new URL(path, service.url), {
      ...init,
      headers: { authorization, ...init.headers },
    });
    const { status, headers } = response;
    return { status, retryAfter: headers.get("retry-after"), body: await response.text() };
  };
  const upgrade = async (path: string, headers: Record<string, string> = { authorization }) => {
    const socket = new Socket(new URL(path, service.url.href.replace("http", "ws")), { headers });
    const [, response] = await once(socket, "unexpected-response");
    const { statusCode: status, headers: said } = response as IncomingMessage;
    return { status, retryAfter: said["retry-after"], body: await text(response) };
  };
  for (let n = 0; n < 10; n++) expect((await ask("/v1/calls")).status).toBe(200);

  const answers = [
    await ask("/v1/calls"),
    await ask("/v1/events", { headers: { accept: "text/event-stream" } }),
    await ask("/whip?call=x", {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: "v=0",
    }),
    await upgrade("/v1/events"),
    await upgrade("/v1/media/jitsi"),
    await upgrade(`/v1/media/twilio?token=${key}`, {}),
  ];

  for (const { status, retryAfter, body } of answers) {
    expect([status, retryAfter]).toEqual([429, "5"]);
    expect(JSON.parse(body)).toMatchObject({
      code: "overloaded",
      status: 429,
      detail: "key busy may ask 1 times a second",
    });
  }
  clock.advance(1_000);
  expect((await ask("/v1/calls")).status).toBe(200);
});

test("a tenant's call cannot be entered by a name: an attach without a tenant that claims 1 is refused", async () => {
  await using service = await Service.open({ service: { port: 0 }, model: { device: "cpu" } });
  const response = await fetch(new URL("/whip?call=acme~x", service.url), {
    method: "POST",
    headers: { "content-type": "application/sdp" },
    body: "v=0",
  });
  expect(response.status).toBe(400);
  await expect(service.engine.attach({} as never, { callId: "acme~x", participantId: "p" })).rejects.toThrow(
    'callId must not begin with a tenant\'s name and "~"',
  );
});

test("a service that others could reach and that asks nobody does not start: 2 settings are named", async () => {
  await expect(Service.open({ service: { host: "0.0.0.0", port: 0 } })).rejects.toThrow(
    /auth\.keysFile.*auth\.anonymous anyone/,
  );
  await expect(
    Service.open({ auth: { anonymous: "anyone", jwtSecret: "0123456789abcdef0123456789abcdef" } }),
  ).rejects.toThrow("auth.anonymous must be loopback where there are keys");
});
