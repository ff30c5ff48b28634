import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../src/client/index.ts";
import type { EventOf } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";
import { sendImpaired } from "./impaired-sender.ts";
import { recordedFrames, upTo } from "./support.ts";

describe("the service over HTTP", { concurrent: true }, () => {
  let service: Service;

  beforeAll(async () => {
    service = await Service.open({ service: { port: 0 }, model: { device: "cpu" } });
  });
  afterAll(() => service.close());

  const call = (method: string, path: string, json?: unknown): Promise<Response> =>
    fetch(new URL(path, service.url), {
      method,
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });

  test("POST /v1/rtp opens 1 port; what is sent there comes out as events over WebSocket", async () => {
    const response = await call("POST", "/v1/rtp", {
      callId: "rest",
      participantId: "caller",
      role: "customer",
      consent: "granted",
    });
    expect(response.status).toBe(201);
    const { port, participant } = (await response.json()) as { port: number; participant: string };
    const connection = connect(service.url, { filter: { calls: ["rest"] } });
    const emotion = new Promise<EventOf<"emotion">>((resolve) => connection.on("emotion", resolve));

    const frames = upTo(await recordedFrames("anna"), 4_000);
    await sendImpaired(frames, port, { loss: 0, duplicate: 0, reorder: 0 });

    expect((await emotion).data).toMatchObject({ callId: "rest", participantId: "caller", role: "customer" });
    const left = new Promise<EventOf<"participant.left">>((resolve) =>
      connection.on("participant.left", resolve),
    );
    expect((await call("DELETE", participant)).status).toBe(204);
    expect((await left).data.windows.dropped).toBe(0);
    connection.close();
    expect((await call("DELETE", participant)).status).toBe(404);
  });

  test("PATCH grants and withdraws consent, and refuses a 3rd word", async () => {
    const { participant } = (await (
      await call("POST", "/v1/rtp", { callId: "ask", participantId: "p" })
    ).json()) as { participant: string };

    expect(await (await call("PATCH", participant, { consent: "granted" })).json()).toMatchObject({
      paused: false,
    });
    expect(await (await call("PATCH", participant, { consent: "withdrawn" })).json()).toMatchObject({
      paused: true,
    });
    expect((await call("PATCH", participant, { consent: "maybe" })).status).toBe(400);
  });

  test("1 UDP port is given to 1 participant: another is told that it is taken, and does not join", async () => {
    const first = await call("POST", "/v1/rtp", { callId: "port", participantId: "a" });
    const { port, participant } = (await first.json()) as { port: number; participant: string };
    const second = await call("POST", "/v1/rtp", { callId: "port", participantId: "b", port });
    expect(second.status).toBe(409);
    expect(await second.json()).toMatchObject({ detail: `UDP port ${port} is taken` });
    expect((await call("DELETE", participant)).status).toBe(204);
  });

  test("6 bad requests get a problem document that names what is wrong, and leave no participant", async () => {
    const bad: [unknown, number, string][] = [
      [{ callId: "bad", participantId: "a", role: "agent", consent: "granted" }, 403, "Art. 5"],
      [{ callId: "bad", participantId: "" }, 400, "participantId must be 1–128"],
      [{ callId: "bad" }, 400, "participantId"],
      [{ callId: "bad", participantId: "a", colour: "red" }, 400, "colour"],
      [{ callId: "bad", participantId: "a", displayName: "\u001b[2J" }, 400, "displayName: must be 1–128"],
      [{ callId: "bad", participantId: "a", port: 70_000 }, 400, "port"],
    ];
    for (const [json, status, words] of bad) {
      const response = await call("POST", "/v1/rtp", json);
      expect(response.status, words).toBe(status);
      expect(response.headers.get("content-type")).toContain("application/problem+json");
      expect(JSON.stringify(await response.json())).toContain(words);
    }
    expect((await call("GET", "/v1/calls/bad")).status).toBe(404);
  });

  test("the page and all 6 things it loads are there, with a policy that forbids everything else", async () => {
    for (const path of [
      "/",
      "/app.js",
      "/style.css",
      "/client/index.js",
      "/client/connection.ts",
      "/vendor/uPlot.esm.js",
      "/whip-client.js",
    ]) {
      const response = await call("GET", path);
      expect(response.status, path).toBe(200);
      expect(response.headers.get("content-security-policy")).toContain("default-src 'self'");
    }
    expect((await call("GET", "/../package.json")).status).toBe(404);
    expect((await call("GET", "/client/..%2fconfig.ts")).status).toBe(404);
  });
});
