import { describe, expect, test } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { wallMs } from "../../../src/core/units.ts";
import { verifyAudioHookSignature } from "../../../src/transport/websocket-media/audiohook-signature.ts";
import { bestMatch } from "../../support/correlation.ts";
import { telephoneVoice } from "../../support/pcmu.ts";
import { type Peer, pieces, startMedia } from "./support.ts";

const PATH = "/v1/media/audiohook";
const SESSION = "e160e428-53e2-487c-977d-96989bf5c99d";
const ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05";
const CONVERSATION = "090eaa2f-72fa-480a-83e0-8667ff89c0ec";
const NOBODY = "00000000-0000-0000-0000-000000000000";

const anna = await telephoneVoice("anna", 500, 2_000);
const ben = await telephoneVoice("ben", 7_300, 2_000);
/** As the protocol has it: external, internal, external, … */
const interleaved = Uint8Array.from({ length: 2 * anna.pcmu.length }, (_, i) =>
  i % 2 === 0 ? (anna.pcmu[i >> 1] ?? 0) : (ben.pcmu[i >> 1] ?? 0),
);

const BOTH = { type: "audio", format: "PCMU", channels: ["external", "internal"], rate: 8000 };
const EXTERNAL = { type: "audio", format: "PCMU", channels: ["external"], rate: 8000 };
const INTERNAL = { type: "audio", format: "PCMU", channels: ["internal"], rate: 8000 };
const L16 = { type: "audio", format: "L16", channels: ["external"], rate: 8000 };

/** Genesys Cloud's side: numbers its messages and tells its position. */
class Client {
  readonly peer: Peer;
  seq = 0;
  position = 0;

  constructor(peer: Peer) {
    this.peer = peer;
  }

  say(type: string, parameters: unknown = {}, more: Readonly<Record<string, unknown>> = {}): void {
    const serverseq = this.peer.messages.length;
    const position = `PT${this.position}S`;
    this.peer.send({
      version: "2",
      id: SESSION,
      type,
      seq: ++this.seq,
      serverseq,
      position,
      parameters,
      ...more,
    });
  }

  open(parameters: Readonly<Record<string, unknown>> = {}): void {
    this.say("open", {
      organizationId: ORGANIZATION,
      conversationId: CONVERSATION,
      participant: {
        id: "883efee8-3d6c-4537-b500-6d7ca4b92fa0",
        ani: "+1-555-555-1234",
        aniName: "John Doe",
        dnis: "+1-800-555-6789",
      },
      media: [BOTH, EXTERNAL, INTERNAL],
      language: "en-US",
      customConfig: { role: "customer", consent: "granted" },
      ...parameters,
    });
  }

  audio(bytes: Uint8Array, channels: number): void {
    this.peer.socket.send(bytes);
    this.position += bytes.length / channels / 8000;
  }
}

const eu = ({ role }: { readonly role?: string }): void => {
  if (role === "agent") throw new TonetapError("policy", "policy eu refuses the role agent");
};

describe("Genesys AudioHook", () => {
  test("the published session with 2 channels gives customer and agent, each with correlation ≥ 0.99", async () => {
    await using service = await startMedia();
    const client = new Client(
      await service.peer(PATH, {
        headers: { "audiohook-organization-id": ORGANIZATION, "audiohook-session-id": SESSION },
      }),
    );

    client.open();
    const opened = await client.peer.said("opened");
    // 200 ms a message, as Genesys Cloud sends.
    for (const piece of pieces(interleaved, 3_200)) client.audio(piece, 2);
    client.say("ping", { rtt: "PT0.025S" });
    client.say("update", { language: "es-ES" });
    await client.peer.said("updated");
    client.say("close", { reason: "end" });
    const closed = await client.peer.said("closed");
    const [external, internal] = service.voices;
    await Promise.all([external?.heard.completed, internal?.heard.completed]);

    expect(opened).toEqual({
      version: "2",
      type: "opened",
      seq: 1,
      clientseq: 1,
      id: SESSION,
      parameters: { media: [BOTH], startPaused: false },
    });
    expect(client.peer.messages[1]).toMatchObject({ type: "pong", seq: 2, clientseq: 2, parameters: {} });
    expect(closed).toMatchObject({ seq: 4, clientseq: 4, parameters: {} });
    expect(external?.participant).toEqual({
      callId: CONVERSATION,
      participantId: "883efee8-3d6c-4537-b500-6d7ca4b92fa0",
      role: "customer",
      consent: "granted",
      displayName: "John Doe",
    });
    expect(internal?.participant).toEqual({ callId: CONVERSATION, participantId: "internal", role: "agent" });
    for (const [voice, { reference16k }] of [
      [external, anna],
      [internal, ben],
    ] as const) {
      expect(voice?.heard.stats).toMatchObject({ received: 100, lost: 0 });
      const match = bestMatch(voice?.heard.samples() ?? new Float32Array(), reference16k.slice(0, 31_900));
      expect(match.correlation).toBeGreaterThan(0.99);
    }
    expect((await client.peer.closed).code).toBe(1000);
    await service.empty();
  });

  test("with 1 agent refused by policy only the customer's channel is asked for", async () => {
    await using service = await startMedia({ admitVoice: eu });
    const client = new Client(await service.peer(PATH));

    client.open({ media: [L16, BOTH, INTERNAL, EXTERNAL] });
    const opened = await client.peer.said("opened");
    for (const piece of pieces(anna.pcmu, 1_600)) client.audio(piece, 1);
    client.say("close", { reason: "end" });
    await service.voices[0]?.heard.completed;

    expect(opened.parameters).toEqual({ media: [EXTERNAL], startPaused: false });
    expect(service.voices).toHaveLength(1);
    const match = bestMatch(
      service.voices[0]?.heard.samples() ?? new Float32Array(),
      anna.reference16k.slice(0, 31_900),
    );
    expect(match.correlation).toBeGreaterThan(0.99);
  });

  test("where both channels come in 1 stream the refused agent's half is dropped", async () => {
    await using service = await startMedia({ admitVoice: eu });
    const client = new Client(await service.peer(PATH));

    client.open({ media: [BOTH] });
    await client.peer.said("opened");
    for (const piece of pieces(interleaved, 3_200)) client.audio(piece, 2);
    client.say("close", { reason: "end" });
    await service.voices[0]?.heard.completed;

    const match = bestMatch(
      service.voices[0]?.heard.samples() ?? new Float32Array(),
      anna.reference16k.slice(0, 31_900),
    );
    expect(match.correlation).toBeGreaterThan(0.99);
    expect(service.voices).toHaveLength(1);
  });

  test("5 s that are paused and 3 s that are discarded take their time: 2 s of audio end at 10 s", async () => {
    await using service = await startMedia();
    const client = new Client(await service.peer(PATH));
    const [first = new Uint8Array(), second = new Uint8Array()] = pieces(anna.pcmu, 8_000);

    client.open({ media: [EXTERNAL] });
    await client.peer.said("opened");
    client.audio(first, 1);
    client.say("paused");
    client.position = 6;
    client.say("resumed", { start: "PT1.0S", discarded: "PT5.0S" });
    client.position = 9;
    client.say("discarded", { start: "PT6S", discarded: "PT3S" });
    client.audio(second, 1);
    client.say("close", { reason: "end" });
    const [voice] = await service.arrived(1);
    await voice?.heard.completed;

    expect(voice?.heard.stats).toMatchObject({ received: 100, lost: 0, resets: 0 });
    expect(voice?.heard.endMs()).toBe(10_000);
  });

  test("Genesys Cloud's trial of the connection opens and closes with 0 participants", async () => {
    await using service = await startMedia();
    const client = new Client(await service.peer(PATH));

    client.open({ conversationId: NOBODY, participant: { id: NOBODY, ani: "", aniName: "", dnis: "" } });
    const opened = await client.peer.said("opened");
    client.say("close", { reason: "end" });
    await client.peer.said("closed");

    expect(opened.parameters).toMatchObject({ media: [EXTERNAL] });
    expect(service.voices).toHaveLength(0);
  });

  test("the owner that closes the last voice makes us say disconnect; the client's close is answered, or it is cut off", async () => {
    await using service = await startMedia({ closeGraceMs: 200 });
    const polite = new Client(await service.peer(PATH));
    polite.open({ media: [EXTERNAL] });
    await polite.peer.said("opened");
    await service.voices[0]?.source.close();
    const disconnect = await polite.peer.said("disconnect");
    polite.say("close", { reason: "disconnect" });
    const deaf = new Client(await service.peer(PATH));
    deaf.open({ media: [EXTERNAL], conversationId: "other" });
    await deaf.peer.said("opened");

    await service.voices[1]?.source.close();

    expect(disconnect.parameters).toEqual({ reason: "completed", info: "detached" });
    expect(await polite.peer.said("closed")).toMatchObject({ type: "closed" });
    expect((await polite.peer.closed).code).toBe(1000);
    expect((await deaf.peer.closed).code).toBe(1006);
    await service.empty();
  });

  test("the service that stops says disconnect to 1 client and waits for its close", async () => {
    const service = await startMedia();
    const client = new Client(await service.peer(PATH));
    client.open({ media: [EXTERNAL] });
    await client.peer.said("opened");
    const [voice] = service.voices;

    const stopping = service[Symbol.asyncDispose]();
    const disconnect = await client.peer.said("disconnect");
    client.say("close", { reason: "disconnect" });
    await stopping;

    expect(disconnect.parameters).toEqual({ reason: "completed", info: "the service is stopping" });
    await voice?.heard.completed;
    expect((await client.peer.closed).code).toBe(1000);
  });

  const wrongs: readonly (readonly [string, (client: Client) => void, string])[] = [
    ["a seq that leaps", (client) => client.say("ping", {}, { seq: 9 }), "seq must be 2, got 9"],
    [
      "a serverseq of the future",
      (client) => client.say("ping", {}, { serverseq: 99 }),
      "serverseq must be 0–1, got 99",
    ],
    ["another session id", (client) => client.say("ping", {}, { id: "another" }), "the session id changed"],
    ["version 1", (client) => client.say("ping", {}, { version: "1" }), "not as AudioHook 2 has them"],
    ["a message of no known type", (client) => client.say("pong"), "there is no such message"],
    ["a second open", (client) => client.open(), "a second open"],
    [
      "a duration that is none",
      (client) => client.say("discarded", { start: "1s", discarded: "PT1S" }),
      "must be durations",
    ],
  ];
  test.each(wrongs)("%s is answered with 1 disconnect that says why", async (_, act, words) => {
    await using service = await startMedia();
    const client = new Client(await service.peer(PATH));
    client.open({ media: [EXTERNAL] });
    await client.peer.said("opened");

    act(client);

    const disconnect = await client.peer.said("disconnect");
    expect(disconnect.parameters).toMatchObject({ reason: "error" });
    expect(JSON.stringify(disconnect.parameters)).toContain(words);
    await service.voices[0]?.heard.completed;
    expect(service.media.stats.malformed).toBe(1);
    client.peer.socket.terminate();
  });

  test.each([
    ["no PCMU", { media: [L16] }, "PCMU at 8000 Hz must be offered"],
    ["no conversation", { conversationId: "" }, "no right conversationId"],
    ["another organization than the request's", { organizationId: "another" }, "organizationId is another"],
    ["a role that is none", { customConfig: { role: "boss" } }, "role must be one of"],
  ])("an open with %s is answered with 1 disconnect", async (_, parameters, words) => {
    await using service = await startMedia();
    const client = new Client(
      await service.peer(PATH, { headers: { "audiohook-organization-id": ORGANIZATION } }),
    );

    client.open(parameters);

    const disconnect = await client.peer.said("disconnect");
    expect(JSON.stringify(disconnect.parameters)).toContain(words);
    expect(service.voices).toHaveLength(0);
    client.peer.socket.terminate();
  });
});

describe("AudioHook signatures", () => {
  // The example of the AudioHook documentation, signed 2022-01-01T05:00:00Z.
  const key = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh";
  const secrets = new Map([[key, "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU="]]);
  const signedAt = wallMs(1_641_013_200_000);
  const request = {
    url: "/api/v1/voicebiometrics/ws",
    headers: {
      host: "audiohook.example.com",
      "audiohook-organization-id": ORGANIZATION,
      "audiohook-session-id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
      "audiohook-correlation-id": SESSION,
      "x-api-key": key,
      signature: "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:",
      "signature-input":
        'sig1=("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" ' +
        '"audiohook-correlation-id" "x-api-key");keyid="SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh";' +
        'nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";created=1641013200;expires=3282026430',
    },
  };
  const check = (change: Readonly<Record<string, string | undefined>> = {}, ageS = 0, url = request.url) =>
    verifyAudioHookSignature(
      { url, headers: { ...request.headers, ...change } },
      secrets,
      wallMs(signedAt + ageS * 1000),
    );

  test("the documented example is right, up to 13 s after it was made", () => {
    expect(check()).toBeUndefined();
    expect(check({}, 13)).toBeUndefined();
    expect(check({}, 14)).toBe("the signature has expired");
    expect(check({}, -4)).toContain("future");
  });

  test("any of 9 changes makes it wrong", () => {
    const input = request.headers["signature-input"];
    expect(check({ "audiohook-session-id": SESSION })).toBe("the signature is wrong");
    expect(check({ host: "evil.example.com" })).toBe("the signature is wrong");
    expect(check({}, 0, "/other")).toBe("the signature is wrong");
    expect(check({ "x-api-key": "other" })).toContain("keyid");
    expect(check({ signature: "sig1=:AAAA:" })).toBe("the signature is wrong");
    expect(check({ signature: undefined })).toContain("labels");
    expect(check({ "signature-input": undefined })).toBe("the request is not signed");
    expect(check({ "signature-input": input.replace(' "x-api-key"', "") })).toContain("leaves out");
    expect(check({ "signature-input": input.replace("hmac-sha256", "none") })).toContain("hmac-sha256");
  });

  test("a request that is not signed gets 401 before anything is opened", async () => {
    await using service = await startMedia({ audiohookSecrets: secrets });

    await expect(service.peer(PATH)).rejects.toThrow("401");
    await expect(service.peer(PATH, { headers: { "x-api-key": key } })).rejects.toThrow("401");

    expect(service.media.stats).toMatchObject({ refused: 2, accepted: 0 });
  });
});
