/** The OpenAPI document is what a running service does: every operation is asked, every answer held against its schema. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { openApiFile } from "../../scripts/generate-openapi.ts";
import { eventExamples, restPage } from "../../src/events/index.ts";
import { openApiDocument, templateOf } from "../../src/openapi.ts";
import { Service } from "../../src/service.ts";
import { TINY_MODEL_DIR } from "../inference/fixtures.ts";
import { type KeysFile, writeKeysFile } from "../support/keys-file.ts";
import { createPublisher, type Publisher } from "../transport/werift/whip-peer.ts";

interface Media {
  readonly schema: Record<string, unknown>;
}
interface DescribedAnswer {
  readonly $ref?: string;
  readonly content?: Readonly<Record<string, Media>>;
  readonly headers?: Readonly<Record<string, unknown>>;
}
interface Described {
  readonly operationId: string;
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly responses: Readonly<Record<string, DescribedAnswer>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, unknown>>;
    readonly responses: Readonly<Record<string, DescribedAnswer>>;
  };
}

/** Answers may hold nothing that is not described. */
const document = openApiDocument({ closed: true }) as unknown as Document;

const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
);
const operationOf = (id: string) => {
  const found = operations.find(({ operation }) => operation.operationId === id);
  if (found === undefined) throw new Error(`there is no operation ${id}`);
  return found;
};

/** Back from JSON Schema to a validator: what the author of a client would do. */
function validatorOf(schema: unknown): z.ZodType {
  const local = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value).replaceAll("#/components/schemas/", "#/$defs/"));
  return z.fromJSONSchema({
    ...(local(schema) as object),
    $defs: local(document.components.schemas),
  } as never);
}

interface Heard {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Which answers were heard: `listCalls 200`. */
const heard = new Set<string>();

function check(id: string, { status, contentType, body }: Heard): void {
  const { responses } = operationOf(id).operation;
  const place = `${id} ${status}`;
  const named = responses[String(status)];
  expect(named, `${place} is not described: ${body}`).toBeDefined();
  heard.add(place);
  const answer =
    named?.$ref === undefined ? named : document.components.responses[named.$ref.split("/").at(-1) ?? ""];
  const [described, media] = Object.entries(answer?.content ?? {})[0] ?? [];
  if (described === undefined || media === undefined) {
    expect(body, place).toBe("");
    return;
  }
  if (described !== "*/*") expect(contentType.split(";")[0], place).toBe(described);
  const value: unknown = described.endsWith("json") ? JSON.parse(body) : body;
  const result = validatorOf(media.schema).safeParse(value);
  expect(result.error?.issues ?? [], `${place}: ${body.slice(0, 2_000)}`).toEqual([]);
}

describe("the OpenAPI document", () => {
  test("is the 1 that node scripts/generate-openapi.ts writes: no drift", async () => {
    expect(await readFile(new URL("../../docs/openapi.json", import.meta.url), "utf8")).toBe(openApiFile());
  });

  test("is OpenAPI 3.1 to a validator that refuses it without its 1 title", async () => {
    const validate = async (specification: object) => {
      const { valid, errors } = await new Validator().validate(structuredClone(specification) as never);
      return { valid, errors };
    };
    expect(await validate(openApiDocument())).toEqual({ valid: true, errors: undefined });
    const { info: _, ...without } = openApiDocument();
    expect(await validate(without)).toMatchObject({ valid: false });
  });

  test("names each of its operations once, in 1 of the tags that it explains, and refers to nothing that is not there", () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const text = JSON.stringify(openApiDocument());
    const tags = (openApiDocument().tags as { name: string }[]).map(({ name }) => name);
    for (const { operation } of operations)
      expect(tags).toContain((operation as { tags?: string[] }).tags?.[0]);
    const refs = [...text.matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)];
    expect(refs.length).toBeGreaterThan(100);
    for (const [, kind = "", name = ""] of refs) {
      expect((document.components as unknown as Record<string, object>)[kind]).toHaveProperty(name);
    }
    expect(text).not.toContain("$defs");
  });

  test("is a page at /docs/rest: every operation with its path, whatever it contains as text", () => {
    const page = restPage(openApiDocument());
    for (const { method, path, operation } of operations) {
      expect(page).toContain(`<section id="${operation.operationId}">`);
      expect(page).toContain(`<code>${method} ${path}</code>`);
    }
    expect(page).toContain("<code>participants[].emotion.scores</code>");
    expect(restPage({ info: { title: "<script>alert(1)</script>" } })).not.toContain("<script");
  });
});

describe("a running service", () => {
  let folder: string;
  let service: Service;
  let keysFile: KeysFile<"operator">;
  let key: string;
  let publisher: Publisher;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tonetap-openapi-"));
    keysFile = await writeKeysFile({ operator: "scopes: [admin]" });
    key = keysFile.keys.get("operator") ?? "";
    const next = join(folder, "next");
    await cp(TINY_MODEL_DIR, next, { recursive: true });
    const manifest = JSON.parse(await readFile(join(next, "model.json"), "utf8"));
    await writeFile(join(next, "model.json"), JSON.stringify({ ...manifest, version: "0.0.9" }));
    service = await Service.open({
      service: { port: 0 },
      model: { device: "cpu", package: TINY_MODEL_DIR, folder },
      auth: { keysFile: keysFile.path },
      audioSocket: { listen: "tcp", port: 0 },
      webhooks: {
        targets: [
          {
            id: "desk",
            // Nobody listens there: what is sent is a dead letter after one attempt.
            url: "http://127.0.0.1:9/",
            secrets: [`whsec_${Buffer.alloc(32, 1).toString("base64")}`],
            filter: { kinds: ["call.started"] },
            maxAttempts: 1,
          },
        ],
      },
    });
    publisher = await createPublisher();
  });
  afterAll(async () => {
    await publisher.close();
    await service.close();
    await keysFile[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  interface Asked {
    readonly path?: string;
    readonly json?: unknown;
    readonly text?: string;
    readonly headers?: Readonly<Record<string, string>>;
    /** Default: the operator's key. */
    readonly withoutKey?: boolean;
  }

  /** Asks an operation, holds the answer against the document, gives its body and headers. */
  async function ask(id: string, { path, json, text, headers = {}, withoutKey = false }: Asked = {}) {
    const { method, path: template } = operationOf(id);
    const body = text ?? (json === undefined ? undefined : JSON.stringify(json));
    const response = await fetch(new URL(path ?? template, service.url), {
      method,
      headers: { ...(withoutKey ? {} : { authorization: `Bearer ${key}` }), ...headers },
      ...(body === undefined ? {} : { body }),
    });
    const answered = await response.text();
    check(id, {
      status: response.status,
      contentType: response.headers.get("content-type") ?? "",
      body: answered,
    });
    return { status: response.status, body: answered, headers: response.headers };
  }

  /** Asks for a WebSocket. */
  const upgrade = (path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const request = httpRequest(new URL(path, service.url), {
        headers: {
          authorization: `Bearer ${key}`,
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": Buffer.alloc(16).toString("base64"),
        },
      });
      request.on("upgrade", (response: IncomingMessage, socket) => {
        socket.destroy();
        resolve(response.statusCode ?? 0);
      });
      request.on("response", (response) => resolve(response.statusCode ?? 0));
      request.on("error", reject);
      request.end();
    });

  test("serves no route that the document does not describe, and describes none that is not served but 3 upgrades", () => {
    const served = service.http.routes.map((route) => {
      const [method = "", pattern = ""] = route.split(" ");
      return `${method} ${templateOf(pattern).replace(/(.)\/$/, "$1")}`;
    });
    const described = operations.map(({ method, path }) => `${method} ${path}`);
    expect(served.filter((route) => !described.includes(route))).toEqual([]);
    expect(described.filter((route) => !served.includes(route))).toEqual([
      "GET /v1/media/twilio",
      "GET /v1/media/audiohook",
      "GET /v1/media/jitsi",
    ]);
  });

  test("answers every operation as described: each status that is no refusal is heard once at least", async () => {
    for (const id of ["getHealth", "getReadiness", "scrapeMetrics"]) await ask(id);
    for (const id of ["getEventsPage", "getRestPage", "getDocsStyle", "getAsyncApi", "getOpenApi"]) {
      const { headers } = await ask(id);
      await ask(id, { headers: { "if-none-match": headers.get("etag") ?? "" } });
    }
    for (const [id, path] of [
      ["getPageFile", "/"],
      ["getClientFile", "/client/index.js"],
      ["getVendorFile", "/vendor/uPlot.esm.js"],
    ] as const) {
      const { headers } = await ask(id, { path });
      const known = { path, headers: { "if-none-match": headers.get("etag") ?? "" } };
      expect((await ask(id, known)).status, path).toBe(304);
      await ask(id, { path: `${path.replace(/[^/]*$/, "")}nothing.js` });
    }

    // A participant of whom everything is known that can be.
    const example = eventExamples();
    const { callId, participantId } = example.emotion.data;
    const opened = await ask("openRtpPort", { json: { callId, participantId, role: "customer" } });
    expect(opened.status).toBe(201);
    const participant = opened.headers.get("location") ?? "";
    for (const kind of [
      "speech.started",
      "emotion",
      "participant.state",
      "call.state",
      "quality",
      "alert.raised",
    ] as const) {
      service.engine.hub.publish(example[kind]);
    }
    const call = `/v1/calls/${callId}`;
    expect(JSON.parse((await ask("listCalls")).body).calls[0].participants[0]).toMatchObject({
      emotion: { top: expect.any(String) },
      alerts: [{ alertId: expect.any(String) }],
    });
    await ask("getCall", { path: call });
    await ask("listAlerts");
    await ask("listParticipants", { path: "/v1/participants?role=customer&limit=1" });
    await ask("getParticipant", { path: participant });
    await ask("changeParticipant", { path: participant, json: { consent: "granted", priority: "high" } });
    const proof = { how: "played", reference: "ivr-7" };
    await ask("confirmNotice", { path: `${participant}/notice`, json: proof });
    const other = { how: "read" };
    expect((await ask("confirmNotice", { path: `${participant}/notice`, json: other })).status).toBe(409);
    await ask("removeParticipant", { path: participant });
    for (const id of ["getParticipant", "removeParticipant"]) {
      expect((await ask(id, { path: participant })).status).toBe(404);
    }
    expect((await ask("getCall", { path: call })).status).toBe(404);
    await ask("openRtpPort", { json: { callId: "other", participantId: "p" } });
    expect((await ask("openRtpPort", { json: { callId: "other", participantId: "p" } })).status).toBe(409);
    expect((await ask("openRtpPort", { json: {} })).status).toBe(400);
    expect((await ask("openRtpPort", { text: "x".repeat(70_000) })).status).toBe(413);
    await ask("endCall", { path: "/v1/calls/other" });
    await ask("announceAudioSocketCall", { json: { callId: "pbx", participantId: "p" } });

    // WHIP.
    const sdp = { "content-type": "application/sdp" };
    const fragments = { "content-type": "application/trickle-ice-sdpfrag" };
    const published = await ask("publishWhip", { text: publisher.offer, headers: sdp });
    expect((await ask("publishWhip", { text: "v=0", headers: fragments })).status).toBe(415);
    expect(published.status, published.body).toBe(201);
    const path = published.headers.get("location") ?? "";
    await publisher.connect(published.body);
    const own = publisher.peer.localDescription?.sdp ?? "";
    const [, ufrag = ""] = /a=ice-ufrag:(\S+)/.exec(own) ?? [];
    const [, pwd = ""] = /a=ice-pwd:(\S+)/.exec(own) ?? [];
    const candidates = [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${pwd}`, "m=audio 9 RTP/AVP 0", "a=mid:0", ""];
    const etag = published.headers.get("etag") ?? "";
    const trickle = { path, text: candidates.join("\r\n") };
    expect(
      (await ask("trickleWhip", { ...trickle, headers: { ...fragments, "if-match": etag } })).status,
    ).toBe(204);
    expect((await ask("trickleWhip", { ...trickle, headers: fragments })).status).toBe(428);
    const { fragment } = await publisher.restartIce();
    const restart = { path, text: fragment, headers: { ...fragments, "if-match": "*" } };
    expect((await ask("trickleWhip", restart)).status).toBe(200);
    const stale = { ...trickle, headers: { ...fragments, "if-match": etag } };
    expect((await ask("trickleWhip", stale)).status).toBe(412);
    await ask("askWhip");
    await ask("askWhipSession", { path });
    const said = { path: `${path}/consent`, headers: { "content-type": "application/json" } };
    expect((await ask("setWhipConsent", { ...said, text: '{"consent": "withdrawn"}' })).status).toBe(204);
    expect((await ask("setWhipConsent", { ...said, text: '{"consent": "maybe"}' })).status).toBe(400);
    await ask("askWhipConsent", said);
    expect((await ask("endWhip", { path })).status).toBe(200);
    expect((await ask("endWhip", { path })).status).toBe(404);

    // WebSockets and the event stream.
    for (const [id, dialect] of [
      ["openTwilioMedia", "twilio"],
      ["openAudioHook", "audiohook"],
      ["openJitsiMedia", "jitsi"],
    ] as const) {
      check(id, { status: await upgrade(`/v1/media/${dialect}`), contentType: "", body: "" });
    }
    expect((await ask("listenToEvents", { headers: { accept: "image/png" } })).status).toBe(406);
    const abort = new AbortController();
    const stream = await fetch(new URL("/v1/events", service.url), {
      headers: { authorization: `Bearer ${key}`, accept: "text/event-stream" },
      signal: abort.signal,
    });
    check("listenToEvents", {
      status: stream.status,
      contentType: stream.headers.get("content-type") ?? "",
      body: "",
    });
    abort.abort();

    // Rules, webhooks, models.
    await ask("listAlertRules");
    const rule = { id: "calm", axis: "valence", below: -0.5 };
    const added = await ask("addAlertRule", { json: rule });
    expect((await ask("addAlertRule", { json: rule })).status).toBe(409);
    const rulePath = added.headers.get("location") ?? "";
    await ask("getAlertRule", { path: rulePath });
    await ask("putAlertRule", { path: rulePath, json: { axis: "arousal", above: 0.5 } });
    await ask("putAlertRule", { path: "/v1/alerts/rules/new", json: { axis: "arousal", above: 0.5 } });
    await ask("removeAlertRule", { path: rulePath });
    expect((await ask("getAlertRule", { path: rulePath })).status).toBe(404);
    const letters = "/v1/webhooks/desk/dead-letters";
    await expect
      .poll(async () => JSON.parse((await ask("listDeadLetters", { path: letters })).body).deadLetters.length)
      .toBeGreaterThan(0);
    await ask("listWebhooks");
    await ask("redeliverDeadLetters", { path: `${letters}/redeliver`, text: "" });
    await ask("clearDeadLetters", { path: letters });
    expect((await ask("listDeadLetters", { path: "/v1/webhooks/nobody/dead-letters" })).status).toBe(404);
    await ask("loadModel", { json: { package: "next", mode: "shadow", share: 1 } });
    const { models } = JSON.parse((await ask("listModels")).body);
    expect(models).toHaveLength(2);
    await ask("getModel", { path: "/v1/models/live" });
    await ask("discardModel", { path: `/v1/models/${models[1].id}` });
    expect((await ask("discardModel", { path: "/v1/models/none" })).status).toBe(404);
    expect((await ask("loadModel", { json: { package: "none" } })).status).toBe(404);

    const due = operations.flatMap(({ operation }) =>
      Object.entries(operation.responses)
        .filter(([, { $ref }]) => $ref === undefined)
        .map(([status]) => `${operation.operationId} ${status}`),
    );
    expect(due.filter((place) => !heard.has(place))).toEqual([]);
  });

  test("refuses without a key what the document says needs a right, as it says: 401", async () => {
    const guarded = operations.filter(({ operation }) => operation.security.length > 0);
    expect(guarded.length).toBeGreaterThan(20);
    for (const { operation, path } of guarded) {
      const headers = { "content-type": "application/sdp" };
      const filled = path.replace(/\{\w+\}/g, "x");
      if (path.startsWith("/v1/media/")) continue;
      const { status } = await ask(operation.operationId, { path: filled, withoutKey: true, headers });
      expect(status, operation.operationId).toBe(401);
    }
  });

  test("says 405 and what is allowed where a path takes other methods: 3 paths", async () => {
    for (const [path, allow] of [
      ["/v1/rtp", "POST, OPTIONS"],
      ["/whip", "POST, OPTIONS"],
      ["/v1/calls/x/participants/y/", undefined],
    ] as const) {
      const response = await fetch(new URL(path, service.url));
      expect([response.status, response.headers.get("allow") ?? undefined]).toEqual([
        allow === undefined ? 404 : 405,
        allow,
      ]);
      expect(response.headers.get("content-type")).toBe("application/problem+json");
    }
  });
});
