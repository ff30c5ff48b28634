/** Notices of a whole service: a real HTTP server gives them, and what it answers decides when analysis begins. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NEVER } from "rxjs";
import { describe, expect, test } from "vitest";
import { verifyAuditLog } from "../../src/audit/index.ts";
import type { ConfigInput } from "../../src/config.ts";
import type { AudioSource } from "../../src/core/audio-source.ts";
import { kindOf, verifyWebhook } from "../../src/events/index.ts";
import type { NoticeAnswer, NoticeRequest } from "../../src/notice/index.ts";
import { Service } from "../../src/service.ts";
import { eventually } from "../transport/loopback.ts";
import { sendImpaired } from "./impaired-sender.ts";
import { attachUdp, openEngine, PATIENT_MODEL, recordedFrames, upTo } from "./support.ts";

const SECRET = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
const PROOF = { by: "ivr-2", how: "played", reference: "prompt-17/9f31", language: "de-AT" } as const;

/** An answer of the hook: a status, or one with a body; `hang` never answers. */
type Answer = "hang" | number | readonly [number, unknown];

/** Gives notices as told, in turn; checks every signature. */
async function hook(answers: Answer[]) {
  const asked: (NoticeRequest & { readonly webhookId: unknown })[] = [];
  const gone: number[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      verifyWebhook(SECRET, request.headers as Record<string, string>, body, Date.now() / 1000);
      const { type, data } = JSON.parse(body.toString());
      expect(type).toBe("tonetap.notice.requested");
      const number = asked.push({ ...data, webhookId: request.headers["webhook-id"] });
      response.on("close", () => {
        if (!response.writableFinished) gone.push(number);
      });
      const answer = answers.shift() ?? 404;
      if (answer === "hang") return;
      const [status, json] = typeof answer === "number" ? [answer, undefined] : answer;
      response.writeHead(status).end(json === undefined ? undefined : JSON.stringify(json));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    asked,
    /** Requests whose connection was closed before they were answered, by number from 1. */
    gone,
    notice: {
      mode: "webhook",
      url: `http://127.0.0.1:${port}/notices`,
      secrets: [SECRET],
      firstRetryMs: 10,
    } satisfies ConfigInput["notice"],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function open(config: ConfigInput) {
  const service = await Service.open({
    service: { port: 0 },
    model: PATIENT_MODEL,
    ...config,
  });
  const told: string[] = [];
  service.engine.events$.subscribe((event) => {
    const { data } = event;
    if (!("participantId" in data) || event.type === "tonetap.quality") return;
    const detail = "state" in data ? data.state : "reason" in data ? data.reason : "";
    told.push(`${kindOf(event).replace("participant.", "")} ${String(detail)}`.trim());
  });
  const send = async (method: string, path: string, json?: unknown) => {
    const body = json === undefined ? null : JSON.stringify(json);
    const response = await fetch(new URL(path, service.url), { method, body });
    const text = await response.text();
    return { status: response.status, json: text === "" ? undefined : JSON.parse(text) };
  };
  const join = async (consent: string) => {
    const who = { callId: "c", participantId: "ada", role: "customer", consent };
    return ((await send("POST", "/v1/rtp", who)).json as { participant: string }).participant;
  };
  const view = async () => (await send("GET", "/v1/calls/c")).json?.participants[0];
  return { service, told, send, join, view, [Symbol.asyncDispose]: () => service.close() };
}

function silentSource(): AudioSource {
  return { kind: "test", codecs: new Map(), packets: NEVER, close: () => Promise.resolve() };
}

describe("a notice over HTTP", { concurrent: true }, () => {
  test("consent is there and analysis waits for 1 proof, which stands in the event, in /v1/calls and in the audit log", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tonetap-notice-"));
    const file = join(folder, "audit.jsonl");
    await using giver = await hook([500, [200, PROOF]]);
    const bench = await open({ notice: giver.notice, audit: { file } });
    await bench.join("granted");
    await eventually(() => bench.told.includes("resumed notice-given"));
    const { at } = bench.service.engine.participant("c", "ada").notice.proof ?? expect.unreachable();
    expect(bench.told).toEqual([
      "joined",
      "paused notice-pending",
      "notice requested",
      "notice requested",
      "notice given",
      "resumed notice-given",
    ]);
    expect(giver.asked[1]).toEqual({
      ...{ id: giver.asked[0]?.id, attempt: 2, callId: "c", participantId: "ada", role: "customer" },
      ...{ transport: "rtp", webhookId: giver.asked[0]?.id },
    });
    expect(Math.abs(Date.parse(at) - Date.now())).toBeLessThan(60_000);
    expect(await bench.view()).toMatchObject({
      consent: "granted",
      paused: false,
      notice: { state: "given", proof: { ...PROOF, at } },
    });
    await bench.service.close();
    const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
    const given = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === "participant.notice");
    expect(given.map(({ data }) => data.state)).toEqual(["requested", "requested", "given"]);
    expect(given[2].data).toEqual({
      ...{ callId: "c", participantId: "ada", role: "customer", state: "given" },
      proof: { ...PROOF, at },
    });
    expect((await verifyAuditLog(file)).records).toBe(lines.length);
    await rm(folder, { recursive: true });
  });

  test("3 requests that are never answered: nobody is analysed, until somebody brings the proof by API; another one is 409", async () => {
    await using giver = await hook(["hang", "hang", "hang"]);
    await using bench = await open({ notice: { ...giver.notice, timeoutMs: 800, maxAttempts: 3 } });
    const participant = await bench.join("granted");
    await eventually(() => bench.told.includes("notice failed"));
    expect(await bench.view()).toMatchObject({ paused: true, notice: { state: "failed", attempt: 3 } });
    const notice = `${participant}/notice`;
    expect((await bench.send("POST", notice, { how: "sung" })).status).toBe(400);
    expect((await bench.send("POST", notice, { how: "read", by: "Ben" })).json).toMatchObject({
      paused: false,
      notice: { state: "given", proof: { by: "Ben", how: "read" } },
    });
    expect((await bench.send("POST", notice, { how: "read", by: "Ben" })).status).toBe(200);
    expect((await bench.send("POST", notice, { how: "shown", by: "page" })).status).toBe(409);
    expect((await bench.send("POST", "/v1/calls/c/participants/nobody/notice", { how: "read" })).status).toBe(
      404,
    );
  });

  test("202 and then 2 confirmations: the first is the proof", async () => {
    await using giver = await hook([202]);
    await using bench = await open({ notice: giver.notice });
    const participant = await bench.join("pending");
    await eventually(() => giver.asked.length === 1);
    const first = bench.send("POST", `${participant}/notice`, { how: "played", reference: "1" });
    expect((await first).json).toMatchObject({ paused: true, notice: { proof: { by: "anyone" } } });
    const second = await bench.send("POST", `${participant}/notice`, { how: "played", reference: "2" });
    expect(second).toMatchObject({ status: 409, json: { code: "conflict" } });
    await bench.send("PATCH", participant, { consent: "granted" });
    await eventually(() => bench.told.includes("resumed consent-granted"));
    expect(bench.told).toEqual([
      ...["joined", "notice requested", "notice given", "consent", "resumed consent-granted"],
    ]);
  });

  test("whoever leaves, or withdraws, while the hook is at it needs no notice: 2 requests are taken back", async () => {
    await using giver = await hook(["hang", "hang", [200, PROOF]]);
    await using bench = await open({ notice: giver.notice });
    const gone = await bench.join("granted");
    await eventually(() => giver.asked.length === 1);
    await bench.send("DELETE", gone);
    await eventually(() => giver.gone.length === 1);
    expect(bench.told.slice(-2)).toEqual(["notice cancelled", "left removed"]);

    const participant = await bench.join("granted");
    await eventually(() => giver.asked.length === 2);
    await bench.send("PATCH", participant, { consent: "withdrawn" });
    await eventually(() => giver.gone.length === 2);
    expect(bench.told.at(-1)).toBe("notice cancelled");
    expect(bench.told).not.toContain("notice given");
    // Who agrees again is told again.
    await bench.send("PATCH", participant, { consent: "granted" });
    await eventually(() => bench.told.includes("resumed notice-given"));
    expect(bench.told.slice(-5)).toEqual([
      ...["consent", "paused notice-pending", "notice requested", "notice given", "resumed notice-given"],
    ]);
    expect(giver.asked.length).toBe(3);
  });

  test("403 and a proof of 17 kB are no proof: 1 attempt, and as many as are allowed", async () => {
    for (const [answers, attempts] of [
      [[403], 1],
      [
        [
          [200, { ...PROOF, reference: "x".repeat(17_000) }],
          [200, "hello"],
        ],
        2,
      ],
    ] as [Answer[], number][]) {
      await using giver = await hook(answers);
      await using bench = await open({ notice: { ...giver.notice, maxAttempts: 2 } });
      await bench.join("granted");
      await eventually(() => bench.told.includes("notice failed"));
      expect(giver.asked.length).toBe(attempts);
      expect((await bench.view()).paused).toBe(true);
    }
  });

  test("5 wrong settings are named, and secrets are not repeated", async () => {
    const url = "http://127.0.0.1:9/";
    const wrong: ConfigInput["notice"][] = [
      { mode: "webhook" },
      { mode: "webhook", url },
      { mode: "webhook", url: "ftp://a/", secrets: [SECRET] },
    ];
    for (const notice of wrong) {
      await expect(open({ notice })).rejects.toThrow(
        "notice.url must be an http or https address, and notice.secrets not empty",
      );
    }
    const short = open({ notice: { mode: "webhook", url, secrets: ["whsec_short"] } });
    await expect(short).rejects.toThrow("a webhook secret must be whsec_ and 24–64 bytes in base64");
    await expect(open({ notice: { timeoutMs: 1 } })).rejects.toThrow(
      "notice.timeoutMs must be 100–600000, got 1",
    );
  });
});

describe("a notice by a program", { concurrent: true }, () => {
  test("4 s of speech before the proof give 0 emotions, those after it do; policy none waits for nobody", async () => {
    const { promise: proof, resolve: give } = Promise.withResolvers<NoticeAnswer>();
    const { engine, seen } = await openEngine({}, { notice: () => proof });
    const source = await attachUdp(engine, "ada");
    expect(seen.of("participant.joined")[0]?.data.paused).toBe(true);
    const sending = sendImpaired(upTo(await recordedFrames("anna"), 10_000), source.address.port, {
      loss: 0,
      duplicate: 0,
      reorder: 0,
    });
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(seen.of("emotion").length).toBe(0);
    give({ how: "shown", reference: "banner-3" });
    await seen.first("emotion");
    await sending;
    const order = seen.events.map(({ type }) => type);
    expect(order.indexOf("tonetap.participant.notice")).toBeLessThan(order.indexOf("tonetap.emotion"));
    expect(seen.of("participant.resumed").map(({ data }) => data.reason)).toEqual(["notice-given"]);
    await engine.close();

    const own = await openEngine({ policy: "none" }, { notice: () => Promise.resolve(PROOF) });
    await own.engine.attach(silentSource(), { callId: "c", participantId: "p", consent: "granted" });
    expect(own.seen.of("participant.joined")[0]?.data.paused).toBe(false);
    expect(
      (await own.seen.first("participant.notice", ({ data }) => data.state === "given")).data,
    ).toMatchObject({
      proof: PROOF,
    });
    expect([own.seen.of("participant.paused"), own.seen.of("participant.resumed")]).toEqual([[], []]);
    await own.engine.close();
  });

  test("1 participant has a hook of its own; the others have none and are analysed at once", async () => {
    const { engine, seen } = await openEngine();
    const asked: NoticeRequest[] = [];
    await engine.attach(
      silentSource(),
      { callId: "c", participantId: "own", consent: "granted" },
      {
        notice: (request) => {
          asked.push(request);
          return Promise.resolve({ how: "read" });
        },
      },
    );
    const other = await engine.attach(silentSource(), {
      callId: "c",
      participantId: "p",
      consent: "granted",
    });
    await seen.first("participant.resumed", ({ data }) => data.participantId === "own");
    expect([asked.length, other.paused, other.notice.state]).toEqual([1, false, "idle"]);
    await engine.close();
  });
});
