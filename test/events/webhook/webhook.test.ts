/** Webhooks to real HTTP servers: signature.ts, webhook-sink.ts, dead-letters.ts, webhooks.ts. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { eventExamples } from "../../../src/events/event-examples.ts";
import { EventFactory } from "../../../src/events/event-factory.ts";
import { HttpServer } from "../../../src/events/http-server.ts";
import { EventHub } from "../../../src/events/hub.ts";
import type { EventData, TonetapEvent } from "../../../src/events/schema.ts";
import { signWebhook, verifyWebhook } from "../../../src/events/webhook/signature.ts";
import { addWebhookRoutes } from "../../../src/events/webhook/webhook-routes.ts";
import { parseWebhookTarget } from "../../../src/events/webhook/webhook-target.ts";
import { Webhooks } from "../../../src/events/webhook/webhooks.ts";
import { until } from "../support.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A receiver that checks every signature and answers as told, in turn; 204 when nothing is told. */
async function receiver(answers: (Answer | "hang")[] = []) {
  const events: TonetapEvent[] = [];
  const requests: { at: number; id: string | undefined; url: string | undefined }[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      verifyWebhook(SECRET, request.headers as Record<string, string>, body, Date.now() / 1000);
      const id = request.headers["webhook-id"] as string | undefined;
      requests.push({ at: performance.now(), id, url: request.url });
      const answer = answers.shift() ?? { status: 204 };
      if (answer === "hang") return;
      if (answer.status < 300) events.push(JSON.parse(body.toString()));
      response.writeHead(answer.status, answer.headers).end("x".repeat(1000));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    events,
    requests,
    url: `http://127.0.0.1:${port}/hook`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const target = (url: string, more: object = {}) => ({
  id: "desk",
  url,
  secrets: [SECRET],
  firstRetryMs: 10,
  maxRetryMs: 40,
  ...more,
});

function open(targets: object[]) {
  const hub = new EventHub();
  const factory = new EventFactory();
  const webhooks = new Webhooks(hub, targets);
  const raise = (value: number): void =>
    hub.publish(factory.create("alert.raised", { ...eventExamples()["alert.raised"].data, value }));
  const sink = webhooks.list()[0];
  if (sink === undefined) throw new RangeError("no target");
  return { hub, factory, webhooks, raise, sink };
}

const values = (events: readonly TonetapEvent[]): number[] =>
  events.map(({ data }) => (data as EventData<"alert.raised">).value);

describe("a signature", () => {
  test("is that of the Standard Webhooks specification's example", () => {
    const key = Buffer.from("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64");
    const signature = signWebhook(
      [key],
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      1614265330,
      Buffer.from('{"test": 2432232314}'),
    );
    expect(signature).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  });

  test("is refused when 1 byte of body, id or time is another, and after 301 s", () => {
    const body = Buffer.from("{}");
    const key = Buffer.alloc(32, 7);
    const headers = {
      "webhook-id": "e-1",
      "webhook-timestamp": "1000",
      "webhook-signature": `v1,bm8= ${signWebhook([key], "e-1", 1000, body)}`,
    };
    expect(() => verifyWebhook(SECRET, headers, body, 1300)).not.toThrow();
    const wrong = [
      () => verifyWebhook(SECRET, headers, Buffer.from("[]"), 1000),
      () => verifyWebhook(SECRET, { ...headers, "webhook-id": "e-2" }, body, 1000),
      () => verifyWebhook(SECRET, { ...headers, "webhook-timestamp": "1001" }, body, 1000),
      () => verifyWebhook(SECRET, headers, body, 1301),
      () => verifyWebhook(SECRET, {}, body, 1000),
    ];
    for (const check of wrong) expect(check).toThrow(expect.objectContaining({ code: "policy" }));
  });
});

describe("a webhook", () => {
  test("brings 3 of 4 events, those its filter passes, signed, in order", async () => {
    await using there = await receiver();
    const { hub, factory, raise, webhooks, sink } = open([target(there.url)]);
    for (let i = 0; i < 3; i++) raise(i);
    hub.publish(factory.create("call.started", { callId: "c" }));
    await until(() => there.events.length === 3);
    expect(values(there.events)).toEqual([0, 1, 2]);
    await until(() => sink.stats.state === "idle");
    expect(sink.stats).toMatchObject({ delivered: 3, failures: 0, pending: 0, deadLetters: 0 });
    await webhooks.close();
  });

  test("is tried again after 503, 429 and a hang, with the same id, and what comes later waits its turn", async () => {
    await using there = await receiver([{ status: 503 }, "hang", { status: 429 }]);
    // Long for an answer of this process, on a machine however busy; the hang takes all of it.
    const { raise, webhooks, sink } = open([target(there.url, { timeoutMs: 2_000 })]);
    raise(1);
    raise(2);
    await until(() => there.events.length === 2);
    expect(values(there.events)).toEqual([1, 2]);
    const ids = there.requests.map(({ id }) => id);
    expect(new Set(ids.slice(0, 4)).size).toBe(1);
    expect(ids).toHaveLength(5);
    await until(() => sink.stats.state === "idle");
    expect(sink.stats).toMatchObject({ delivered: 2, failures: 3 });
    await webhooks.close();
  });

  test("is a dead letter after 3 attempts or 1 refusal, and is brought when somebody asks for it", async () => {
    await using there = await receiver([...Array(3).fill({ status: 500 }), { status: 400 }]);
    const { hub, raise, webhooks, sink } = open([target(there.url, { maxAttempts: 3 })]);
    await using http = new HttpServer();
    addWebhookRoutes(http, webhooks);
    const url = await http.listen("127.0.0.1", 0);
    const ask = async (method: string, path: string) => {
      const response = await fetch(new URL(`/v1/webhooks${path}`, url), { method });
      const text = await response.text();
      return { status: response.status, text, body: text === "" ? undefined : JSON.parse(text) };
    };
    raise(1);
    raise(2);
    await until(() => sink.stats.deadLetters === 2 && sink.stats.state === "idle");
    const { body } = await ask("GET", "/desk/dead-letters");
    expect(body.deadLetters).toMatchObject([
      { attempts: 3, reason: "500", event: { type: "tonetap.alert.raised", data: { value: 1 } } },
      { attempts: 1, reason: "400", event: { data: { value: 2 } } },
    ]);
    const shown = await ask("GET", "");
    expect(shown.body.webhooks).toMatchObject([
      { id: "desk", origin: new URL(there.url).origin, failures: 4 },
    ]);
    // Neither the secret nor the path, which may be one.
    expect(shown.text).not.toMatch(/whsec|hook"|secrets/);
    expect(await ask("POST", "/desk/dead-letters/redeliver")).toMatchObject({
      status: 202,
      body: { redelivering: 2 },
    });
    await until(() => there.events.length === 2);
    expect((await ask("GET", "/nobody/dead-letters")).status).toBe(404);
    expect((await ask("DELETE", "/desk/dead-letters")).status).toBe(204);
    expect(hub.stats.dropped).toBe(0);
    await webhooks.close();
  });

  test("does not follow 1 redirect, and a target that is gone (410) is asked no more", async () => {
    await using elsewhere = await receiver();
    await using there = await receiver([
      { status: 307, headers: { location: elsewhere.url } },
      { status: 410 },
    ]);
    const { raise, webhooks, sink } = open([target(there.url)]);
    for (let i = 0; i < 3; i++) raise(i);
    await until(() => sink.stats.state === "disabled");
    raise(3);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(there.requests).toHaveLength(2);
    expect(elsewhere.requests).toEqual([]);
    expect(sink.deadLetters.list().map(({ reason }) => reason)).toEqual(["307", "410"]);
    await webhooks.close();
  });

  test("to a target that never answers costs 100 places in the queue, holds up nobody, and closes within 4 s", async () => {
    await using deaf = await receiver(Array(1000).fill("hang"));
    await using there = await receiver();
    const { raise, webhooks, sink } = open([
      target(deaf.url, { queueLimit: 100 }),
      target(there.url, { id: "other" }),
    ]);
    for (let i = 0; i < 500; i++) raise(i);
    await until(() => there.events.length === 500);
    expect(sink.stats.pending).toBeLessThanOrEqual(100);
    expect(sink.stats.dropped).toBe(500 - 1 - sink.stats.pending);
    const start = performance.now();
    await sink.close(100);
    expect(performance.now() - start).toBeLessThan(4_000);
    await webhooks.close();
  });

  test("of a voice whose consent is withdrawn is no dead letter any more: 0 of 1", async () => {
    await using there = await receiver([{ status: 400 }]);
    const { hub, factory, raise, webhooks, sink } = open([target(there.url)]);
    raise(1);
    await until(() => sink.stats.deadLetters === 1);
    const { callId, participantId, role } = eventExamples()["alert.raised"].data;
    hub.publish(
      factory.create("participant.paused", { callId, participantId, role, reason: "consent-withdrawn" }),
    );
    expect(sink.stats.deadLetters).toBe(0);
    await webhooks.close();
  });

  test("closes with the hub: what is pending is brought first, 20 of 20", async () => {
    await using there = await receiver();
    const { hub, raise, webhooks } = open([target(there.url)]);
    for (let i = 0; i < 20; i++) raise(i);
    await hub.close();
    await webhooks.close();
    expect(values(there.events)).toHaveLength(20);
  });
});

test("5 targets that are wrong are refused in words without their secrets, and 2 of one name too", () => {
  const good = target("https://desk.example/hook");
  for (const [wrong, message] of [
    [{ ...good, url: "file:///etc/passwd" }, /url/],
    [{ ...good, url: "https://me:secret@desk.example/" }, /must hold no password/],
    [{ ...good, secrets: ["whsec_c2hvcnQ="] }, /24–64 bytes/],
    [{ ...good, secrets: [] }, /secrets/],
    [{ ...good, filter: { kinds: ["mood"] } }, /filter/],
  ] as const) {
    expect(() => parseWebhookTarget(wrong)).toThrow(message);
    expect(() => parseWebhookTarget(wrong)).not.toThrow(/c2hvcnQ|me:secret/);
  }
  expect(() => new Webhooks(new EventHub(), [good, good])).toThrow(
    expect.objectContaining({ code: "conflict" }),
  );
});
