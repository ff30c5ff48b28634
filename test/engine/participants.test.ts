/** `/v1/participants` and what may be done to one: who sees whom, consent, pauses, priority, leaving. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { kindOf } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";
import { TINY_MODEL_DIR } from "../inference/fixtures.ts";
import { type KeysFile, writeKeysFile } from "../support/keys-file.ts";

const KEYS = {
  operator: "scopes: [admin]",
  acme: "scopes: [events:read, calls:write], tenant: acme",
  beta: "scopes: [events:read, calls:write], tenant: beta",
  reader: "scopes: ['events:read:desk-*'], tenant: acme",
} as const;
type Who = keyof typeof KEYS;

describe("participants over REST", () => {
  let keysFile: KeysFile<Who>;
  let service: Service;

  beforeAll(async () => {
    keysFile = await writeKeysFile(KEYS);
    service = await Service.open({
      service: { port: 0 },
      model: { device: "cpu", package: TINY_MODEL_DIR },
      auth: { keysFile: keysFile.path, maxRequestsPerSecond: 1_000 },
    });
  });
  afterEach(async () => {
    const calls = new Set(service.engine.hub.calls().map(({ callId }) => callId));
    for (const callId of calls) await service.engine.endCall(callId);
  });
  afterAll(async () => {
    await service.close();
    await keysFile[Symbol.asyncDispose]();
  });

  async function ask(who: Who, method: string, path: string, json?: unknown) {
    const response = await fetch(new URL(path, service.url), {
      method,
      headers: { authorization: `Bearer ${keysFile.keys.get(who)}` },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? {} : JSON.parse(text) };
  }
  const bring = async (who: Who, callId: string, participantId: string, more = {}): Promise<string> => {
    const { status, body } = await ask(who, "POST", "/v1/rtp", { callId, participantId, ...more });
    expect(status, JSON.stringify(body)).toBe(201);
    return body.participant;
  };
  const listed = async (who: Who, query = ""): Promise<string[]> => {
    const { body } = await ask(who, "GET", `/v1/participants${query}`);
    return body.participants.map((one: Record<string, string>) => `${one.callId}/${one.participantId}`);
  };

  test("are listed by 6 filters, each caller its own: 2 tenants, 1 pattern, the operator", async () => {
    await bring("acme", "desk-1", "ada", { role: "customer", consent: "granted", priority: "high" });
    await bring("acme", "lab-1", "bob");
    await bring("beta", "desk-1", "eve", { role: "customer" });
    await bring("operator", "own", "mel", { consent: "granted" });

    expect(await listed("operator")).toEqual([
      "acme~desk-1/ada",
      "acme~lab-1/bob",
      "beta~desk-1/eve",
      "own/mel",
    ]);
    expect(await listed("acme")).toEqual(["acme~desk-1/ada", "acme~lab-1/bob"]);
    expect(await listed("beta")).toEqual(["beta~desk-1/eve"]);
    expect(await listed("reader")).toEqual(["acme~desk-1/ada"]);
    // A name in the query leads into nobody else's calls.
    expect(await listed("beta", "?tenant=acme")).toEqual([]);
    expect(await listed("beta", "?call=acme~desk-1")).toEqual([]);

    expect(await listed("operator", "?call=own")).toEqual(["own/mel"]);
    expect(await listed("acme", "?call=desk-1")).toEqual(["acme~desk-1/ada"]);
    expect(await listed("operator", "?tenant=acme")).toEqual(["acme~desk-1/ada", "acme~lab-1/bob"]);
    expect(await listed("operator", "?role=customer")).toEqual(["acme~desk-1/ada", "beta~desk-1/eve"]);
    expect(await listed("operator", "?consent=granted&paused=false")).toEqual(["acme~desk-1/ada", "own/mel"]);
    expect(await listed("operator", "?paused=true")).toEqual(["acme~lab-1/bob", "beta~desk-1/eve"]);
    expect(await listed("operator", "?speaking=true")).toEqual([]);
    for (const [query, words] of [
      ["?colour=red", "colour"],
      ["?paused=maybe", "paused"],
      ["?limit=0", "limit"],
      ["?role=a&role=b", "role: stands in the query twice"],
    ] as const) {
      const { status, body } = await ask("operator", "GET", `/v1/participants${query}`);
      expect([status, body.detail]).toEqual([400, expect.stringContaining(words)]);
    }
  });

  test("come page by page: 7 in pages of 3, none twice, whatever leaves meanwhile", async () => {
    for (const n of [3, 1, 2, 7, 5, 6, 4]) await bring("acme", `call-${n}`, "p");
    const seen: string[] = [];
    let query = "?limit=3";
    for (let page = 0; page < 3; page++) {
      const { body } = await ask("acme", "GET", `/v1/participants${query}`);
      seen.push(...body.participants.map(({ callId }: { callId: string }) => callId));
      if (page === 0) await service.engine.endCall("acme~call-3");
      expect(body.next === undefined).toBe(page === 2);
      query = `?limit=3&after=${body.next}`;
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `acme~call-${n}`));
  });

  test("are paused, resumed and given another priority by 1 PATCH each, and by 1 for all", async () => {
    const told: string[] = [];
    const watching = service.engine.events$.subscribe((event) => {
      if (event.type === "tonetap.participant.paused" || event.type === "tonetap.participant.resumed") {
        told.push(`${kindOf(event)} ${event.data.reason}`);
      }
    });
    const path = await bring("acme", "c", "p", { consent: "granted" });
    const patch = async (change: unknown) => (await ask("acme", "PATCH", path, change)).body;
    expect((await ask("acme", "GET", path)).body).toMatchObject({
      callId: "acme~c",
      tenant: "acme",
      consent: "granted",
      paused: false,
      onHold: false,
      priority: "normal",
      transport: "rtp",
    });
    expect(await patch({ paused: true })).toMatchObject({ paused: true, onHold: true, consent: "granted" });
    expect(await patch({ paused: false })).toMatchObject({ paused: false, onHold: false });
    expect(await patch({ priority: "low" })).toMatchObject({ priority: "low", paused: false });
    expect(await patch({ consent: "withdrawn" })).toMatchObject({ consent: "withdrawn", paused: true });
    expect(await patch({ consent: "granted", paused: true, priority: "high" })).toMatchObject({
      consent: "granted",
      paused: true,
      onHold: true,
      priority: "high",
    });
    watching.unsubscribe();
    expect(told).toEqual([
      "participant.paused operator",
      "participant.resumed operator",
      "participant.paused consent-withdrawn",
    ]);
  });

  test("are not resumed without consent (403), changed to nothing, or by whoever may only read: 5 refusals", async () => {
    const path = await bring("acme", "desk-9", "p");
    const { status, body } = await ask("acme", "PATCH", path, { paused: false });
    expect([status, body.code, body.detail]).toEqual([
      403,
      "policy",
      expect.stringContaining("consent is pending"),
    ]);
    for (const wrong of [{}, { paused: "no" }, { mood: "good" }]) {
      expect((await ask("acme", "PATCH", path, wrong)).status).toBe(400);
    }
    expect((await ask("reader", "PATCH", path, { paused: true })).status).toBe(403);
    expect((await ask("acme", "GET", path)).body).toMatchObject({ consent: "pending", onHold: false });
  });

  test("of another tenant answer as those that do not exist, to the letter: 4 methods", async () => {
    await bring("acme", "secret", "p");
    for (const [method, path] of [
      ["GET", "/v1/calls/CALL/participants/p"],
      ["PATCH", "/v1/calls/CALL/participants/p"],
      ["DELETE", "/v1/calls/CALL/participants/p"],
      ["DELETE", "/v1/calls/CALL"],
    ] as const) {
      const answers = await Promise.all(
        ["acme~secret", "acme~nobody"].map(async (id) => {
          const change = method === "PATCH" ? { paused: true } : undefined;
          const { status, body } = await ask("beta", method, path.replace("CALL", id), change);
          return `${status} ${JSON.stringify(body).replaceAll("nobody", "secret")}`;
        }),
      );
      expect(answers[0]).toBe(answers[1]);
      expect(answers[0]).toMatch(/^404/);
    }
    expect(await listed("acme")).toEqual(["acme~secret/p"]);
  });

  test("leave together when their call is ended: 2 of 2, with the reason closed", async () => {
    await bring("acme", "over", "a");
    await bring("acme", "over", "b");
    const ended: unknown[] = [];
    const watching = service.engine.events$.subscribe((event) => {
      if (event.type === "tonetap.call.ended") ended.push(event.data);
    });
    expect((await ask("acme", "DELETE", "/v1/calls/over")).status).toBe(204);
    watching.unsubscribe();
    expect(ended).toMatchObject([{ callId: "acme~over", reason: "closed", participants: 2 }]);
    expect((await ask("acme", "DELETE", "/v1/calls/over")).status).toBe(404);
  });
});
