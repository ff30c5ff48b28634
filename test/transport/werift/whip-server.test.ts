import { promises } from "node:dns";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import { TonetapError } from "../../../src/core/errors.ts";
import {
  acceptTokens,
  createWhipEndpoint,
  WHIP_MAX_BODY_BYTES,
  type WhipEndpoint,
  type WhipEndpointOptions,
  type WhipSessionInfo,
} from "../../../src/transport/werift/index.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { ask, createPublisher, detail, heldResources, LOOPBACK, stunServer } from "./whip-peer.ts";

describe("WHIP endpoint", () => {
  const clock = new ManualClock();
  let offer: string;
  let endpoint: WhipEndpoint;
  let sessions: { source: AudioSource; info: WhipSessionInfo }[];

  const open = (options: Partial<WhipEndpointOptions> = {}): void => {
    endpoint = createWhipEndpoint({
      ...LOOPBACK,
      clock,
      onSession: (source, info) => {
        sessions.push({ source, info });
      },
      ...options,
    });
  };
  /** The session's path. */
  const publish = async (query = ""): Promise<{ path: string; etag: string }> => {
    const { status, headers } = await ask(endpoint, "POST", "/whip", { body: offer, query });
    expect(status).toBe(201);
    return { path: headers.location ?? "", etag: headers.etag ?? "" };
  };

  beforeEach(async () => {
    sessions = [];
    open();
    if (offer !== undefined) return;
    const publisher = await createPublisher();
    offer = publisher.offer;
    await publisher.close();
  });
  afterEach(() => endpoint.close());

  it("answers an offer with 201: the session's URL, its ETag and a Link for each of 2 ICE servers", async () => {
    open({
      iceServers: [
        { urls: "turn:127.0.0.1:9?transport=udp", username: "me", credential: 'a"b' },
        { urls: "turns:127.0.0.1:9", username: "me", credential: "c" },
      ],
    });
    const { status, headers, body } = await ask(endpoint, "POST", "/whip", { body: offer });

    expect(status).toBe(201);
    expect(headers["content-type"]).toBe("application/sdp");
    expect(headers.location).toMatch(/^\/whip\/[0-9a-f-]{36}$/);
    expect(headers.etag).toMatch(/^"[\w-]+"$/);
    expect(headers.link).toBe(
      '<turn:127.0.0.1:9?transport=udp>; rel="ice-server"; ' +
        'username="me"; credential="a\\"b"; credential-type="password", ' +
        '<turns:127.0.0.1:9>; rel="ice-server"; username="me"; credential="c"; credential-type="password", ' +
        `<${headers.location}/consent>; rel="urn:tonetap:whip:ext:consent"`,
    );
    expect(body).toMatch(/^a=recvonly\r$/m);
    expect(body).toMatch(/^a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 \d+ typ host/m);
  });

  it("looks up 0 names, such as that of werift's own STUN server, when it has no ICE servers", async () => {
    const lookup = vi.spyOn(promises, "lookup");
    await publish();

    expect(lookup.mock.calls).toEqual([]);
    lookup.mockRestore();
  });

  it("asks a STUN server for the public address and offers it as 1 more candidate", async () => {
    const stun = await stunServer([198, 51, 100, 7], 40_000);
    open({ iceServers: [{ urls: `stun:127.0.0.1:${stun.port}` }] });

    const { headers, body } = await ask(endpoint, "POST", "/whip", { body: offer });
    stun.close();

    expect(headers.link).toContain(`<stun:127.0.0.1:${stun.port}>; rel="ice-server", <`);
    expect(body).toMatch(/^a=candidate:\S+ 1 udp \d+ 198\.51\.100\.7 40000 typ srflx/m);
  });

  it("asks the encoder for 16 kHz mono with FEC and DTX, and keeps the offered minptime of 10", async () => {
    const { body } = await ask(endpoint, "POST", "/whip", { body: offer });

    expect(body).toMatch(
      /^a=fmtp:111 minptime=10;maxplaybackrate=16000;stereo=0;sprop-stereo=0;useinbandfec=1;usedtx=1\r$/m,
    );
    expect(body).toMatch(/^a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r$/m);
    expect([...(sessions[0]?.source.codecs ?? [])]).toEqual([
      [111, { mimeType: "audio/opus", clockRateHz: 48_000, channels: 2 }],
    ]);
  });

  it("hands the 5 query parameters to onSession, and makes up call and participant when there are none", async () => {
    await publish("call=c-1&participant=p-2&role=customer&consent=granted&name=Zoë%20K.");
    const { path } = await publish();

    const id = path.slice("/whip/".length);
    expect(sessions.map(({ info }) => info.participant)).toEqual([
      { callId: "c-1", participantId: "p-2", role: "customer", consent: "granted", displayName: "Zoë K." },
      { callId: id, participantId: id },
    ]);
    expect(sessions[1]?.info.id).toBe(id);
    expect(endpoint.sessionCount).toBe(2);
  });

  it.each([
    ["role=boss", "role must be one of customer, guest, speaker, patient, employee, agent, student, got"],
    ["consent=yes", "consent must be one of pending, granted, withdrawn, got"],
    ["call=", "call must be 1–128 printable characters, got"],
    [`participant=${"x".repeat(129)}`, "participant must be 1–128 printable characters, got"],
    ["name=a%00b", "name must be 1–128 printable characters, got"],
    ["consnet=granted", 'there is no parameter "consnet": there are call, participant, role, consent, name'],
  ])("refuses the query %s with 400 and opens 0 sessions", async (query, reason) => {
    const response = await ask(endpoint, "POST", "/whip", { body: offer, query });

    expect(response.status).toBe(400);
    expect(detail(response)).toContain(reason);
    expect(endpoint.sessionCount).toBe(0);
  });

  it.each<[string, (offer: string) => string, string]>([
    ["is empty", () => "", "must begin with v=0"],
    ["is not SDP", () => "hello", "line 1 of the SDP is not <letter>=<value>"],
    ["has no m-line", (sdp) => sdp.slice(0, sdp.indexOf("m=")), "no m-line"],
    ["has video only", (sdp) => sdp.replace("m=audio", "m=video"), "no audio m-line"],
    ["rejects its own audio", (sdp) => sdp.replace("m=audio 9 ", "m=audio 0 "), "no audio m-line"],
    [
      "wants to receive",
      (sdp) => sdp.replace("a=sendonly", "a=recvonly"),
      "must be sendonly, it is recvonly",
    ],
    ["is plain RTP", (sdp) => sdp.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "it is RTP/AVP"],
    ["has no fingerprint", (sdp) => sdp.replace(/a=fingerprint.*\r\n/, ""), "a=fingerprint is missing"],
    ["has no ICE password", (sdp) => sdp.replace(/a=ice-pwd.*\r\n/, ""), "a=ice-pwd is missing"],
    ["has a short ICE password", (sdp) => sdp.replace(/a=ice-pwd.*/, "a=ice-pwd:x"), "22–256 ice-chars"],
    ["has no mid", (sdp) => sdp.replace(/a=mid.*\r\n/, ""), "must have a=mid"],
    ["has no rtcp-mux", (sdp) => sdp.replace("a=rtcp-mux\r\n", ""), "must have a=rtcp-mux"],
    [
      "has a codec nobody knows",
      (sdp) => sdp.replace("opus/48000/2", "lyra/16000"),
      "must offer opus/48000/2",
    ],
    ["has a broken m-line", (sdp) => sdp.replace(/m=audio 9/, "m=audio nine"), "malformed m-line"],
  ])("refuses an offer that %s with 400 and says why", async (_, change, reason) => {
    const response = await ask(endpoint, "POST", "/whip", { body: change(offer) });

    expect(response.status).toBe(400);
    expect(response.headers["content-type"]).toBe("application/problem+json");
    expect(detail(response)).toContain(reason);
    expect(sessions).toHaveLength(0);
  });

  it("refuses another content type with 415, a body of 64 KiB + 1 with 413, and 5 methods with 405", async () => {
    const json = await ask(endpoint, "POST", "/whip", {
      body: "{}",
      headers: { "content-type": "application/json" },
    });
    const big = await ask(endpoint, "POST", "/whip", { body: new Uint8Array(WHIP_MAX_BODY_BYTES + 1) });
    const { path } = await publish();
    const methods = await Promise.all([
      ask(endpoint, "GET", "/whip"),
      ask(endpoint, "PUT", "/whip"),
      ask(endpoint, "DELETE", "/whip"),
      ask(endpoint, "GET", path),
      ask(endpoint, "POST", path),
    ]);

    expect([json.status, json.headers["accept-post"]]).toEqual([415, "application/sdp"]);
    expect(big.status).toBe(413);
    expect(methods.map(({ status }) => status)).toEqual([405, 405, 405, 405, 405]);
    expect(methods[0]?.headers.allow).toBe("OPTIONS, POST");
    expect(methods[3]?.headers.allow).toBe("OPTIONS, PATCH, DELETE");
  });

  it("ends a session by DELETE with 200; the second DELETE finds nothing, 404", async () => {
    const { path } = await publish();
    let completed = 0;
    sessions[0]?.source.packets.subscribe({ complete: () => completed++ });

    const first = await ask(endpoint, "DELETE", path);
    const second = await ask(endpoint, "DELETE", path);

    expect([first.status, second.status]).toEqual([200, 404]);
    expect(completed).toBe(1);
    expect(endpoint.sessionCount).toBe(0);
  });

  it("refuses the 3rd of 2 sessions with 503 and Retry-After, and has room again after a DELETE", async () => {
    open({ maxSessions: 2 });
    const [first] = await Promise.all([publish(), publish()]);
    const third = await ask(endpoint, "POST", "/whip", { body: offer });
    await ask(endpoint, "DELETE", first?.path ?? "");
    const fourth = await ask(endpoint, "POST", "/whip", { body: offer });

    expect([third.status, third.headers["retry-after"]]).toEqual([503, "5"]);
    expect(detail(third)).toBe("all 2 sessions are taken");
    expect(fourth.status).toBe(201);
  });

  it("counts sessions that are still being opened: of 5 at once, 2 get in", async () => {
    open({ maxSessions: 2 });

    const statuses = await Promise.all(
      Array.from({ length: 5 }, async () => (await ask(endpoint, "POST", "/whip", { body: offer })).status),
    );

    expect(statuses.sort()).toEqual([201, 201, 503, 503, 503]);
  });

  it.each([
    ["policy", 403],
    ["conflict", 409],
    ["overloaded", 503],
  ] as const)("answers a %s error of onSession with %i and keeps 0 sockets", async (code, status) => {
    open({
      onSession: () => {
        throw new TonetapError(code, "role agent is refused by the eu policy");
      },
    });

    const response = await ask(endpoint, "POST", "/whip", { body: offer });

    expect(response.status).toBe(status);
    expect(detail(response)).toBe("role agent is refused by the eu policy");
    expect(endpoint.sessionCount).toBe(0);
    await expect.poll(() => heldResources().sockets).toBe(0);
  });

  it.each<[string, Partial<WhipEndpointOptions>, string]>([
    [
      "onSession",
      {
        onSession: () => {
          throw new TypeError("undefined is not a function");
        },
      },
      "undefined is not a function",
    ],
    ["iceServers", { iceServers: () => [{ urls: "nowhere" }] }, "iceServers gave no ICE servers"],
  ])("answers a defect of %s with 500 and no detail, and tells 1 onError", async (_, options, reason) => {
    const defects: TonetapError[] = [];
    open({ onError: (error) => defects.push(error), ...options });

    const response = await ask(endpoint, "POST", "/whip", { body: offer });

    expect(JSON.parse(response.body)).toEqual({
      type: "urn:tonetap:error:internal",
      title: "A defect of the service",
      status: 500,
      code: "internal",
    });
    expect(defects.map(({ message }) => message)).toEqual([reason]);
  });

  it("takes 1 of 4 tokens, on every request but OPTIONS", async () => {
    open({ authorize: acceptTokens(["another-of-16-char", "s3cret-s3cret-s3cret"]) });
    const post = (authorization?: string) =>
      ask(endpoint, "POST", "/whip", {
        body: offer,
        headers: {
          "content-type": "application/sdp",
          ...(authorization === undefined ? {} : { authorization }),
        },
      });

    const answers = await Promise.all([
      post(),
      post("Basic s3cret-s3cret-s3cret"),
      post("Bearer s3cret-s3cret-s3creT"),
      post("bearer s3cret-s3cret-s3cret"),
    ]);
    const path = answers[3]?.headers.location ?? "";
    const deleted = await ask(endpoint, "DELETE", path);
    const options = await ask(endpoint, "OPTIONS", path);

    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 201]);
    expect(answers.map(({ headers }) => headers["www-authenticate"])).toEqual([
      "Bearer",
      "Bearer",
      'Bearer error="invalid_token"',
      undefined,
    ]);
    expect([deleted.status, options.status]).toEqual([401, 200]);
  });

  it("takes trickled candidates with 204 and tells 6 wrong PATCHes apart", async () => {
    const { path, etag } = await publish();
    const ufrag = /a=ice-ufrag:(.*)\r/.exec(offer)?.[1] ?? "";
    const fragment = [
      `a=ice-ufrag:${ufrag}`,
      "m=audio 9 UDP/TLS/RTP/SAVPF 0",
      "a=mid:0",
      "a=candidate:1 1 udp 2122260223 127.0.0.1 61764 typ host",
      "a=candidate:2 1 udp 2122260222 0b1c.local 61764 typ host",
      "a=candidate:3 1 tcp 2122260221 127.0.0.1 9 typ host tcptype active",
      "a=end-of-candidates",
      "",
    ].join("\r\n");
    const patch = async (
      body: string,
      match?: string,
      type = "application/trickle-ice-sdpfrag",
      at = path,
    ) => {
      const headers = { "content-type": type, ...(match === undefined ? {} : { "if-match": match }) };
      return (await ask(endpoint, "PATCH", at, { body, headers })).status;
    };

    expect(await patch(fragment, etag)).toBe(204);
    expect(await patch(fragment, `"other", ${etag}`)).toBe(204);
    expect(await patch(fragment)).toBe(428);
    expect(await patch(fragment, '"other"')).toBe(412);
    expect(await patch("a=ice-ufrag:new4\r\na=ice-pwd:0123456789012345678901\r\n", "*")).toBe(409);
    expect(await patch("nonsense", etag)).toBe(400);
    expect(await patch(fragment, etag, "application/sdp")).toBe(415);
    expect(await patch(fragment, etag, undefined, "/whip/unknown")).toBe(404);
  });

  it("of 300 damaged PATCHes answers each with 204, 400, 409 or 412, and the session is there after them", async () => {
    const { path, etag } = await publish();
    const ufrag = /a=ice-ufrag:(.*)\r/.exec(offer)?.[1] ?? "";
    const lines = [
      `a=ice-ufrag:${ufrag}`,
      "a=ice-ufrag:other",
      "a=ice-pwd:0123456789012345678901",
      "a=ice-pwd:",
      "m=audio 9 UDP/TLS/RTP/SAVPF 0",
      "a=mid:nowhere",
      "a=candidate:1 1 udp 2122260223 127.0.0.1 61764 typ host generation 7 ufrag x",
      "a=candidate:1 1 udp 99999999999 ::1 0 typ relay raddr",
      "a=candidate:",
      "a=end-of-candidates",
      "nonsense",
    ];
    const body = fc
      .array(fc.oneof(fc.constantFrom(...lines), fc.string()), { maxLength: 8 })
      .map((parts) => parts.join("\r\n"));

    await fc.assert(
      fc.asyncProperty(body, fc.constantFrom(etag, "*", '"stale"', ""), async (text, match) => {
        const { status } = await ask(endpoint, "PATCH", path, { headers: { "if-match": match }, body: text });
        expect([204, 400, 409, 412]).toContain(status);
      }),
      { numRuns: 300, seed: 11 },
    );
    expect((await ask(endpoint, "DELETE", path)).status).toBe(200);
  });

  it("answers pages of 1 allowed origin with CORS headers and others without", async () => {
    open({ allowedOrigins: ["https://app.example"] });
    const from = (origin: string, method = "OPTIONS") =>
      ask(endpoint, method, "/whip", { headers: { origin } });

    const [allowed, other, refused] = await Promise.all([
      from("https://app.example"),
      from("https://evil.example"),
      from("https://app.example", "GET"),
    ]);

    expect(allowed.status).toBe(200);
    expect(allowed.headers).toMatchObject({
      "accept-post": "application/sdp",
      "access-control-allow-origin": "https://app.example",
      "access-control-expose-headers": "Location, ETag, Link, Retry-After",
      vary: "Origin",
    });
    expect(Object.keys(other.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect(refused.headers["access-control-allow-origin"]).toBe("https://app.example");
  });

  it("closes 2 sessions with the endpoint, gives back every socket, and takes no more", async () => {
    await Promise.all([publish(), publish()]);

    await endpoint.close();
    await endpoint.close();
    const late = await ask(endpoint, "POST", "/whip", { body: offer });

    expect(endpoint.sessionCount).toBe(0);
    expect(late.status).toBe(503);
    expect(clock.pending).toBe(0);
    await expect.poll(() => heldResources().sockets).toBe(0);
  });

  it.each([
    [{ inactivityMs: 999 }, "whip inactivityMs must be 1000–600000 ms, got 999"],
    [{ maxSessions: 0 }, "whip maxSessions must be 1–10000, got 0"],
    [
      { iceServers: [{ urls: "a" }] },
      'an ICE server must be like stun:host:3478 or turn:host:3478?transport=udp, got "a"',
    ],
  ])("refuses the option %o", (options, reason) => {
    expect(() => createWhipEndpoint({ onSession: () => undefined, ...options })).toThrow(reason);
  });
});
