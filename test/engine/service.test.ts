import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../src/client/index.ts";
import type { EventOf } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";
import { createSdes, SrtpSender, serializeRtp } from "../../src/transport/index.ts";
import { Peer } from "../transport/loopback.ts";
import { FRAME, opusPayload } from "../transport/packets.ts";
import { sendImpaired } from "./impaired-sender.ts";
import { fresh, PATIENT_MODEL, recordedFrames, upTo } from "./support.ts";

const opusDatagram = (n: number): Uint8Array =>
  serializeRtp({ sequence: n, timestamp: n * FRAME, ssrc: 1, payloadType: 111, payload: opusPayload(n) });

describe.each([0, 2])("the service over HTTP on %i shards", { concurrent: true }, (count) => {
  let service: Service;

  beforeAll(async () => {
    service = await Service.open({ service: { port: 0 }, model: PATIENT_MODEL, shards: { count } });
  });
  afterAll(() => service.close());

  const call = (method: string, path: string, json?: unknown): Promise<Response> =>
    fetch(new URL(path, service.url), {
      method,
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });

  test("GET /readyz says what 1 worker runs the model on", async () => {
    expect(await (await call("GET", "/readyz")).json()).toEqual({
      status: "ready",
      backends: [{ provider: "cpu", device: "cpu", state: "ready" }],
    });
  });

  test("POST /v1/rtp opens 1 port; what is sent there comes out as events over WebSocket", async () => {
    const callId = fresh("rest");
    const response = await call("POST", "/v1/rtp", {
      callId,
      participantId: "caller",
      role: "customer",
      consent: "granted",
    });
    expect(response.status).toBe(201);
    const { port, participant } = (await response.json()) as { port: number; participant: string };
    const connection = connect(service.url, { filter: { calls: [callId] } });
    const emotion = new Promise<EventOf<"emotion">>((resolve) => connection.on("emotion", resolve));

    const frames = upTo(await recordedFrames("anna"), 4_000);
    await sendImpaired(frames, port, { loss: 0, duplicate: 0, reorder: 0 });

    expect((await emotion).data).toMatchObject({ callId, participantId: "caller", role: "customer" });
    const left = new Promise<EventOf<"participant.left">>((resolve) =>
      connection.on("participant.left", resolve),
    );
    expect((await call("DELETE", participant)).status).toBe(204);
    expect((await left).data.windows.dropped).toBe(0);
    connection.close();
    expect((await call("DELETE", participant)).status).toBe(404);
  });

  test("POST /v1/rtp takes payload types of the peer's own, and refuses 3 wrong ones in words", async () => {
    const who = { callId: fresh("own"), participantId: "types" };
    const response = await call("POST", "/v1/rtp", { ...who, codecs: { 118: "L16/16000" } });
    const { codecs, participant } = (await response.json()) as { codecs: unknown[]; participant: string };
    expect(codecs).toContainEqual({ payloadType: 118, mimeType: "audio/L16", clockRateHz: 16_000 });
    expect(codecs).toContainEqual({ payloadType: 111, mimeType: "audio/opus", clockRateHz: 48_000 });
    expect((await call("DELETE", participant)).status).toBe(204);

    for (const [wrong, words] of [
      [{ 118: "G722/8000" }, "a codec is opus/48000/2"],
      [{ 200: "PCMU" }, "a payload type is 0–127, got 200"],
      [{ opus: "opus/48000/2" }, "a payload type is 0–127, got opus"],
    ] as const) {
      const refusal = await call("POST", "/v1/rtp", { ...who, codecs: wrong });
      expect(refusal.status).toBe(400);
      expect(((await refusal.json()) as { detail: string }).detail).toContain(words);
    }
  });

  test("POST /v1/rtp with srtp: a right key is heard, a wrong one counted in quality and said when the port gives up after 5 s", async () => {
    await using impatient = await Service.open({
      service: { port: 0 },
      model: PATIENT_MODEL,
      rtp: { armingMs: 5_000 },
      events: { qualityMs: 500 },
    });
    const crypto = createSdes(1, "AEAD_AES_128_GCM");
    const srtp = { suite: crypto.suite, key: Buffer.concat([crypto.key, crypto.salt]).toString("base64") };
    const connection = connect(impatient.url);
    const opened = await Promise.all(
      ["right", "wrong"].map(async (participantId) => {
        const body = JSON.stringify({ callId: "srtp", participantId, consent: "granted", srtp });
        const response = await fetch(new URL("/v1/rtp", impatient.url), { method: "POST", body });
        expect(response.status).toBe(201);
        return (await response.json()) as { port: number; srtp: unknown };
      }),
    );
    expect(opened[0]?.srtp).toEqual({ suite: "AEAD_AES_128_GCM" });
    const refused: unknown[] = [];
    connection.on("quality", ({ data }) => {
      if (data.participantId === "wrong" && data.refused !== undefined) refused.push(data.refused);
    });
    const left = new Promise<EventOf<"participant.left">>((resolve) =>
      connection.on("participant.left", resolve),
    );

    await using peer = await Peer.open();
    const senders = [new SrtpSender(crypto), new SrtpSender(createSdes(1, "AEAD_AES_128_GCM"))];
    for (const [i, sender] of senders.entries()) {
      const to = { host: "127.0.0.1", port: opened[i]?.port ?? 0 };
      for (let n = 0; n < 10; n++) await peer.send(sender.protectRtp(opusDatagram(n)), to);
    }

    const { data } = await left;
    expect(data).toMatchObject({ participantId: "wrong", reason: "failed", error: { code: "protocol" } });
    expect(data.error?.message).toMatch(/10 packets were not protected with the AEAD_AES_128_GCM key given/);
    expect(refused.at(-1)).toEqual({ "srtp-not-authentic": 10 });
    expect(impatient.engine.participant("srtp", "right").takeQuality().packets.received).toBe(10);
    connection.close();
  });

  test("PATCH grants and withdraws consent, and refuses a 3rd word", async () => {
    const { participant } = (await (
      await call("POST", "/v1/rtp", { callId: fresh("ask"), participantId: "p" })
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
    const callId = fresh("port");
    const first = await call("POST", "/v1/rtp", { callId, participantId: "a" });
    const { port, participant } = (await first.json()) as { port: number; participant: string };
    const second = await call("POST", "/v1/rtp", { callId, participantId: "b", port });
    expect(second.status).toBe(409);
    expect(await second.json()).toMatchObject({ detail: `UDP port ${port} is taken` });
    expect((await call("DELETE", participant)).status).toBe(204);
  });

  test("8 bad requests get a problem document that names what is wrong, and leave no participant", async () => {
    const bad: [unknown, number, string][] = [
      [{ callId: "bad", participantId: "a", role: "agent", consent: "granted" }, 403, "Art. 5"],
      [{ callId: "bad", participantId: "" }, 400, "participantId must be 1–128"],
      [{ callId: "bad" }, 400, "participantId"],
      [{ callId: "bad", participantId: "a", colour: "red" }, 400, "colour"],
      [{ callId: "bad", participantId: "a", displayName: "\u001b[2J" }, 400, "displayName: must be 1–128"],
      [{ callId: "bad", participantId: "a", port: 70_000 }, 400, "port"],
      [{ callId: "bad", participantId: "a", srtp: { suite: "ROT13", key: "" } }, 400, "srtp.suite"],
      [
        { callId: "bad", participantId: "a", srtp: { suite: "AEAD_AES_128_GCM", key: "c2hvcnQ=" } },
        400,
        "must be 28 bytes (key and salt) in base64, got 5 bytes",
      ],
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
