/** The server as callers see it, over real sockets; its clock is moved by hand. */
import { describe, expect, test } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { AllowedPeers } from "../../../src/transport/sip/allowed-peers.ts";
import { createSipServer } from "../../../src/transport/sip/index.ts";
import { headerOf, headersOf } from "../../../src/transport/sip/sip-message.ts";
import { ACCEPT } from "../../../src/transport/sip/sip-response.ts";
import { SipSource } from "../../../src/transport/sip/sip-source.ts";
import { eventually, freePorts, Peer } from "../loopback.ts";
import { listen, NOTHING, one } from "./bench.ts";
import { message, offer } from "./messages.ts";
import { mediaOf, Phone, sdpText, sendRtp, tagOf } from "./phone.ts";

for (const transport of ["udp", "tcp"] as const) {
  test(`a call over ${transport}: INVITE, 200, ACK, 50 packets, BYE; after 32 s nothing is left of it`, async () => {
    const bench = await listen();
    {
      await using phone = transport === "udp" ? await Phone.udp(bench.udp) : await Phone.stream(bench.tcp);
      const { rtp, toTag } = await phone.call({ body: offer({ extra: ["a=rtcp-mux"] }) });
      expect(phone.received.map((heard) => heard.kind === "response" && heard.status)).toEqual([100, 200]);
      await sendRtp(rtp, 50);
      const taken = one(bench);
      await eventually(() => taken.packets.length === 50);
      expect(taken.source.codecs.get(0)?.mimeType).toBe("audio/PCMU");
      expect(bench.server.callCount).toBe(1);

      expect((await phone.ask("BYE", { cseq: 2, toTag })).status).toBe(200);

      await eventually(() => taken.ended !== "");
      expect(taken.ended).toBe("complete");
    }
    bench.clock.advance(32_000);
    await eventually(() => bench.server.held.connections === 0);
    expect(bench.server.held).toEqual(NOTHING);
    expect(bench.clock.pending).toBe(0);
  });
}

test("a server is closed when the sockets of calls that ended before are, and not earlier", async () => {
  const socketsClosed = Promise.withResolvers<void>();
  const bench = await listen({
    openReception: async (options, onEnd) => {
      const source = await SipSource.open({ ...options, clock: bench.clock, onEnd });
      const close = source.close.bind(source);
      source.close = () => close().then(() => socketsClosed.promise);
      return source;
    },
  });
  await using phone = await Phone.udp(bench.udp);
  const { toTag } = await phone.call({ body: offer() });
  expect((await phone.ask("BYE", { cseq: 2, toTag })).status).toBe(200);
  expect(bench.server.held).toMatchObject({ calls: 0, rtpPorts: 1 });

  let closed = false;
  const closing = bench.server.close().then(() => {
    closed = true;
  });
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(closed).toBe(false);
  socketsClosed.resolve();
  await closing;
  expect(bench.server.held).toEqual(NOTHING);
});

test("an INVITE that comes 4 times is 1 call, answered 200 once until T1 has passed", async () => {
  const bench = await listen();
  await using phone = await Phone.udp(bench.udp);
  const invite = phone.compose("INVITE", { body: offer() });
  for (let i = 0; i < 4; i++) await phone.send(invite);
  await phone.response("1 INVITE");
  await phone.ask("OPTIONS", { cseq: 9 });
  const count = (status: number): number =>
    phone.received.filter((heard) => heard.kind === "response" && heard.status === status).length;
  expect(bench.taken).toHaveLength(1);
  expect(count(200)).toBe(2);
  bench.clock.advance(500);
  await eventually(() => count(200) === 3);
});

test("a 200 without an ACK: after 32 s comes a BYE, and the source has completed", async () => {
  const bench = await listen();
  await using phone = await Phone.udp(bench.udp);
  await phone.ask("INVITE", { body: offer() });
  bench.clock.advance(32_000);
  const bye = await phone.request("BYE");
  await phone.answer(bye);
  await eventually(() => bench.server.callCount === 0);
  expect(one(bench).ended).toBe("complete");
});

test("CANCEL while the owner decides: 200 for it, 487 for the INVITE, and the source completes", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let ended = false;
  const bench = await listen({
    onCall: (source) => {
      source.packets.subscribe({
        complete: () => {
          ended = true;
        },
      });
      return promise;
    },
  });
  await using phone = await Phone.udp(bench.udp);
  await phone.send(phone.compose("INVITE", { body: offer(), branch: "z9hG4bKone" }));
  await eventually(() => bench.server.held.rtpPorts === 1);
  expect((await phone.ask("CANCEL", { branch: "z9hG4bKone" })).status).toBe(200);
  const terminated = await phone.response("1 INVITE");
  expect(terminated.status).toBe(487);
  await phone.send(phone.compose("ACK", { branch: "z9hG4bKone", toTag: tagOf(terminated) }));
  await eventually(() => ended);
  resolve();
  bench.clock.advance(40_000);
  expect(bench.server.held).toEqual(NOTHING);
});

test("an owner who never decides is given 32 s, then the caller gets 504", async () => {
  const bench = await listen({ onCall: () => new Promise(() => undefined) });
  await using phone = await Phone.udp(bench.udp);
  await phone.send(phone.compose("INVITE", { body: offer() }));
  await eventually(() => bench.server.held.rtpPorts === 1);
  bench.clock.advance(32_000);
  expect((await phone.response("1 INVITE")).status).toBe(504);
  expect(bench.server.callCount).toBe(0);
});

describe("refusals", () => {
  test.each([
    ["a method that is not served", 405, "MESSAGE", {}, "Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"],
    [
      "an extension that is required",
      420,
      "INVITE",
      { headers: ["Require: 100rel, replaces"], body: offer() },
      "Unsupported",
      "replaces",
    ],
    ["a body that is no SDP", 415, "INVITE", { body: "hi", type: "text/plain" }, "Accept", ACCEPT],
    [
      "a packed body",
      415,
      "INVITE",
      { body: "hi", headers: ["Content-Encoding: gzip"] },
      "Accept-Encoding",
      "identity",
    ],
    ["a BYE to no call", 481, "BYE", { toTag: "x" }, "Warning", /no such call/],
    ["a BYE without a tag", 481, "BYE", {}, "Warning", /no call/],
    ["an INVITE to no call", 481, "INVITE", { toTag: "x", body: offer() }, "Warning", /no such call/],
    ["a CANCEL of nothing", 481, "CANCEL", {}, "Warning", /nothing to cancel/],
    ["a scheme that is not served", 416, "OPTIONS", { uri: "http://x" }, "Warning", /scheme http/],
    [
      "another codec",
      488,
      "INVITE",
      { body: offer({ media: "RTP/AVP 18" }) },
      "Warning",
      /305 tonetap "no common codec/,
    ],
    [
      "SRTP without a key",
      488,
      "INVITE",
      { body: offer({ media: "RTP/SAVP 0" }) },
      "Warning",
      /302 tonetap .*SRTP is needed: no usable crypto line/,
    ],
    ["a broken SDP", 400, "INVITE", { body: "v=1" }, "Warning", /v=0/],
    [
      "a role that is none",
      400,
      "INVITE",
      { body: offer(), headers: ["X-Tonetap-Role: boss"] },
      "Warning",
      /X-Tonetap-Role must be one of/,
    ],
    [
      "a consent that stands there twice",
      400,
      "INVITE",
      { body: offer(), headers: ["X-Tonetap-Consent: pending", "X-Tonetap-Consent: granted"] },
      "Warning",
      /more than once/,
    ],
    [
      "a consent that is misspelt",
      400,
      "INVITE",
      { body: offer(), headers: ["X-Tonetap-Consent: given"] },
      "Warning",
      /X-Tonetap-Consent/,
    ],
  ] as const)("%s is refused with %i", async (_, status, method, parts, name, value) => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const response = await phone.ask(method, parts);
    expect(response.status).toBe(status);
    expect(headerOf(response, name)).toMatch(value);
    expect(tagOf(response)).not.toBe("");
    expect(bench.server.callCount).toBe(0);
  });

  test.each([
    [new TonetapError("policy", "not the agents"), 403, /not the agents/],
    [new TonetapError("conflict", "is in the call already"), 486, /already/],
    [new TonetapError("overloaded", "no room"), 503, /no room/],
    [new TonetapError("not-found", "no such tenant"), 404, /tenant/],
    [new RangeError("secret detail"), 500, /"internal error"/],
  ])("an owner who throws %s refuses with %i, and nothing stays open", async (error, status, warning) => {
    const bench = await listen({
      onCall: () => {
        throw error;
      },
    });
    await using phone = await Phone.udp(bench.udp);
    const response = await phone.ask("INVITE", { body: offer() });
    expect(response.status).toBe(status);
    expect(headerOf(response, "Warning")).toMatch(warning);
    expect(headerOf(response, "Retry-After")).toBe(status === 503 ? "5" : undefined);
    expect(bench.errors.map(({ message }) => message)).toEqual(status === 500 ? ["secret detail"] : []);
    await eventually(() => bench.server.held.rtpPorts === 0 && bench.server.callCount === 0);
  });

  test("a damaged request is told 400 or 505, an ACK and what has no Via nothing", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const options = phone.compose("OPTIONS");
    await phone.send(options.replace("Content-Length: 0", "Content-Length: 5"));
    expect((await phone.response("1 OPTIONS")).status).toBe(400);
    await phone.send(options.replace("SIP/2.0\r\n", "SIP/3.0\r\n"));
    await eventually(() => phone.received.length === 2);
    await phone.send(phone.compose("ACK", { toTag: "x" }).replace("CSeq: 1", "CSeq: x"));
    await phone.send(message("OPTIONS sip:a@b SIP/2.0", ["CSeq: 1 OPTIONS"]));
    await phone.ask("OPTIONS", { cseq: 2 });
    expect(phone.received.map((heard) => heard.kind === "response" && heard.status)).toEqual([400, 505, 200]);
  });
});

test("with maxCalls 1 a second call gets 503 with Retry-After, as does OPTIONS; after the BYE there is room", async () => {
  const told: string[] = [];
  const bench = await listen({ maxCalls: 1, onRefused: ({ message }) => told.push(message) });
  await using phone = await Phone.udp(bench.udp);
  await using other = await Phone.udp(bench.udp);
  const { toTag } = await phone.call();
  const full = await other.ask("INVITE", { body: offer() });
  expect([full.status, headerOf(full, "Retry-After")]).toEqual([503, "5"]);
  expect((await other.ask("OPTIONS", { cseq: 2 })).status).toBe(503);
  expect(told).toEqual(["all 1 calls are taken", "all 1 calls are taken"]);
  await phone.ask("BYE", { cseq: 2, toTag });
  const options = await other.ask("OPTIONS", { cseq: 3 });
  expect([options.status, headerOf(options, "Accept")]).toEqual([200, ACCEPT]);
  other.callId = "again";
  await other.call();
});

test("a range of 2 port pairs carries 2 calls; the third gets 503, and a pair that is free again is used", async () => {
  const low = await freePorts(4);
  const bench = await listen({ rtpPorts: [low, low + 3] });
  await using phone = await Phone.udp(bench.udp);
  const legs = [];
  for (const callId of ["a", "b"]) {
    phone.callId = callId;
    legs.push(await phone.call());
  }
  expect(legs.map(({ rtp }) => rtp.port).toSorted()).toEqual([low, low + 2]);
  phone.callId = "c";
  expect((await phone.ask("INVITE", { body: offer() })).status).toBe(503);
  phone.callId = "a";
  await phone.ask("BYE", { cseq: 2, toTag: legs[0]?.toTag ?? "" });
  await eventually(() => bench.server.held.rtpPorts === 1);
  phone.callId = "d";
  expect((await phone.call()).rtp.port).toBe(legs[0]?.rtp.port);
});

describe("within a call", () => {
  test("hold and resume: 5 packets on hold go nowhere, 5 after it arrive from a new address with a new codec", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    await using media = await Peer.open();
    const { rtp, toTag } = await phone.call({ body: offer({ port: media.port }) });
    await sendRtp(rtp, 5, media);
    const { packets, source } = one(bench);
    await eventually(() => packets.length === 5);

    const body = offer({ port: media.port, extra: ["a=inactive"] });
    const held = await phone.ask("INVITE", { cseq: 2, toTag, body });
    await phone.send(phone.compose("ACK", { cseq: 2, toTag }));
    expect(sdpText(held)).toContain("a=inactive");
    expect(sdpText(held)).toMatch(/^o=- \d+ 2 /m);
    await sendRtp(rtp, 5, media);
    await eventually(() => source.stats.held === 5);
    await phone.settled();
    bench.clock.advance(120_000);

    await using moved = await Peer.open();
    const wide = offer({ port: moved.port, media: "RTP/AVP 96 0", extra: ["a=rtpmap:96 opus/48000/2"] });
    const resumed = await phone.ask("INVITE", { cseq: 3, toTag, body: wide });
    await phone.send(phone.compose("ACK", { cseq: 3, toTag }));
    expect(mediaOf(resumed)).toEqual(rtp);
    expect(source.codecs.get(96)?.mimeType).toBe("audio/opus");
    await sendRtp(rtp, 5, moved);
    await eventually(() => packets.length === 10);
    expect(bench.server.callCount).toBe(1);
  });

  test("an offer of sendonly is no hold, c=0.0.0.0 is; the answer's version rises 1 a change and not for a refresh", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    await using media = await Peer.open();
    const { rtp, toTag } = await phone.call({ body: offer({ port: media.port }) });
    const versions: (string | undefined)[] = [];
    const again = async (cseq: number, body: string): Promise<void> => {
      const ok = await phone.ask("INVITE", { cseq, toTag, body });
      versions.push(/^o=- \d+ (\d+)/m.exec(sdpText(ok))?.[1]);
      await phone.send(phone.compose("ACK", { cseq, toTag }));
    };
    await again(2, offer({ port: media.port, extra: ["a=sendonly"] }));
    await sendRtp(rtp, 3, media);
    await eventually(() => one(bench).packets.length === 3);
    await again(3, offer({ host: "0.0.0.0", port: media.port, extra: ["a=inactive"] }));
    await again(4, offer({ port: media.port, media: "RTP/AVP 8" }));
    expect(versions).toEqual(["1", "2", "3"]);
  });

  test("a re-INVITE that cannot be agreed to gets 488 and 3 packets still arrive; one before the ACK gets 491", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const ok = await phone.ask("INVITE", { body: offer() });
    const toTag = tagOf(ok);
    expect((await phone.ask("INVITE", { cseq: 2, toTag, body: offer() })).status).toBe(491);
    await phone.send(phone.compose("ACK", { toTag }));
    const body = offer({ media: "RTP/AVP 18" });
    expect((await phone.ask("INVITE", { cseq: 3, toTag, body })).status).toBe(488);
    await sendRtp(mediaOf(ok), 3);
    await eventually(() => one(bench).packets.length === 3);
  });

  test("UPDATE without SDP is 200 without SDP, with SDP an answer; a CSeq of the past gets 500", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await phone.call();
    const bare = await phone.ask("UPDATE", { cseq: 5, toTag });
    expect([bare.status, bare.body.length]).toEqual([200, 0]);
    const held = await phone.ask("UPDATE", { cseq: 6, toTag, body: offer({ extra: ["a=inactive"] }) });
    expect(sdpText(held)).toContain("a=inactive");
    expect((await phone.ask("UPDATE", { cseq: 4, toTag })).status).toBe(500);
    expect((await phone.ask("OPTIONS", { cseq: 7, toTag })).status).toBe(200);
  });

  test("an INVITE without an offer gets ours; 4 packets of a type that it names arrive after the answer in the ACK", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const ok = await phone.ask("INVITE");
    expect(sdpText(ok)).toMatch(/m=audio \d+ RTP\/AVP 111 0 8 13 101/);
    const body = offer({ media: "RTP/AVP 0", extra: ["a=sendonly"] });
    await phone.send(phone.compose("ACK", { toTag: tagOf(ok), body }));
    await eventually(() => one(bench).source.codecs.has(0));
    await sendRtp(mediaOf(ok), 4);
    await eventually(() => one(bench).packets.length === 4);
  });

  test("an ACK without the answer that is due ends the call with 1 BYE", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const ok = await phone.ask("INVITE");
    await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
    await phone.answer(await phone.request("BYE"));
    await eventually(() => bench.server.callCount === 0);
  });

  test("closing the source says BYE along the route of 2 proxies; closed before the ACK, it waits for that", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const route = [`<sip:127.0.0.1:${phone.port};lr>`, "<sip:far.example;lr>"];
    const ok = await phone.ask("INVITE", { body: offer(), headers: [`Record-Route: ${route.join(", ")}`] });
    await one(bench).source.close();
    expect(one(bench).ended).toBe("complete");
    await phone.settled();
    expect(phone.received.some((heard) => heard.kind === "request")).toBe(false);
    await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));

    const bye = await phone.request("BYE");

    expect(bye.uri).toBe(`sip:anna@127.0.0.1:${phone.port};transport=udp`);
    expect(headersOf(bye, "Route")).toEqual(route);
    expect(headerOf(bye, "From")).toContain(`tag=${tagOf(ok)}`);
    expect(headerOf(bye, "To")).toContain("tag=phone");
    expect(headerOf(bye, "CSeq")).toBe("1 BYE");
    await phone.answer(bye);
    await eventually(() => bench.server.callCount === 0);
  });

  test("60 s without a packet end a call with BYE; RTCP alone keeps it", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    await using media = await Peer.open();
    const { rtp } = await phone.call({ body: offer({ port: media.port, extra: ["a=rtcp-mux"] }) });
    await phone.settled();
    bench.clock.advance(59_000);
    await media.send(Uint8Array.from([0x80, 201, 0, 1, 0, 0, 0, 1]), rtp);
    await eventually(() => one(bench).source.stats.rtcp === 1);
    bench.clock.advance(59_000);
    expect(one(bench).ended).toBe("");
    bench.clock.advance(1_000);
    await phone.request("BYE");
    expect(one(bench).ended).toBe("complete");
  });

  test("Require: 100rel is met by 100 and 200 without any ringing; a PRACK, which nothing asked for, is 405", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await phone.call({ headers: ["Require: 100rel"] });
    expect(phone.received.map((heard) => heard.kind === "response" && heard.status)).toEqual([100, 200]);
    const prack = await phone.ask("PRACK", { cseq: 2, toTag, headers: ["RAck: 1 1 INVITE"] });
    expect([prack.status, headerOf(prack, "Allow")]).toEqual([405, expect.not.stringContaining("PRACK")]);
    expect((await phone.ask("BYE", { cseq: 3, toTag })).status).toBe(200);
  });

  test("1 INVITE that comes by another way too is told 482", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    await phone.call();
    const before = phone.received.length;
    await phone.send(phone.compose("INVITE", { body: offer() }));
    expect((await phone.response("1 INVITE", before)).status).toBe(482);
    expect(bench.taken).toHaveLength(1);
  });

  test("a BYE that comes 2 times is answered 200 2 times", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await phone.call();
    const bye = phone.compose("BYE", { cseq: 2, toTag });
    await phone.send(bye);
    await phone.send(bye);
    await eventually(
      () => phone.received.filter((heard) => headerOf(heard, "CSeq") === "2 BYE").length === 2,
    );
    expect(phone.received.slice(-2).map((heard) => heard.kind === "response" && heard.status)).toEqual([
      200, 200,
    ]);
  });
});

describe("who may call", () => {
  test("an address and 2 prefixes: who is in none of them gets 403, for damaged requests too", async () => {
    const here = await listen({ allowedPeers: ["192.0.2.7", "127.0.0.0/8"] });
    await using friend = await Phone.udp(here.udp);
    expect((await friend.ask("OPTIONS")).status).toBe(200);
    const told: string[] = [];
    const elsewhere = await listen({
      allowedPeers: ["192.0.2.0/24", "2001:db8::/32"],
      onRefused: ({ code, message }, host) => told.push(`${host} ${code}: ${message}`),
    });
    await using stranger = await Phone.stream(elsewhere.tcp);
    const refused = await stranger.ask("INVITE", { body: offer() });
    expect([refused.status, headerOf(refused, "Warning")]).toEqual([
      403,
      '399 tonetap "127.0.0.1 may not call here"',
    ]);
    await stranger.send(stranger.compose("OPTIONS", { cseq: 2 }).replace("SIP/2.0", "SIP/3.0"));
    expect((await stranger.response("2 OPTIONS")).status).toBe(403);
    expect(elsewhere.server.held.calls).toBe(0);
    expect(told).toEqual(Array(2).fill("127.0.0.1 policy: 127.0.0.1 may not call here"));
  });

  test("IPv6 within 1 prefix is let in, ::1 beside it is not", () => {
    const peers = new AllowedPeers(["2001:db8::/32"]);
    expect(["2001:db8:1::9", "::1", "127.0.0.1"].map((host) => peers.has(host))).toEqual([
      true,
      false,
      false,
    ]);
  });

  test.each(["localhost", "192.0.2.0/33", "192.0.2.0/", "::/129", "1.2.3.4/8/8", ""])(
    "%j is no prefix: 1 error that says what is",
    (peer) => {
      expect(() => new AllowedPeers([peer])).toThrow(
        `sip allowedPeers must be IP addresses or prefixes such as 192.0.2.0/24, got ${JSON.stringify(peer)}`,
      );
    },
  );

  test("without header fields the 2 defaults of the server's owner count, with them they do not", async () => {
    const bench = await listen({ participantDefaults: { role: "customer", consent: "granted" } });
    await using phone = await Phone.udp(bench.udp);
    await phone.call();
    phone.callId = "another";
    await phone.call({ headers: ["X-Tonetap-Role: patient", "X-Tonetap-Consent: withdrawn"] });
    expect(bench.taken.map(({ call }) => [call.participant.role, call.participant.consent])).toEqual([
      ["customer", "granted"],
      ["patient", "withdrawn"],
    ]);
  });
});

describe("whose media is taken", () => {
  test("a stranger's host is foreign; the signalled host may send from any port, until the exact address sends", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    await using named = await Peer.open();
    await using translated = await Peer.open();
    await using stranger = await Peer.open("127.0.0.2");
    const { rtp } = await phone.call({ body: offer({ port: named.port }) });
    const { source, packets } = one(bench);
    await sendRtp(rtp, 2, stranger);
    await sendRtp(rtp, 3, translated);
    await eventually(() => packets.length === 3);
    await sendRtp(rtp, 4, named);
    await eventually(() => packets.length === 7);
    await sendRtp(rtp, 5, translated);
    await eventually(() => source.stats.foreign === 7);
    expect(packets).toHaveLength(7);
  });

  test("with mediaPeer any, 3 packets of a relay that nobody named arrive", async () => {
    const bench = await listen({ mediaPeer: "any" });
    await using phone = await Phone.udp(bench.udp);
    await using relay = await Peer.open("127.0.0.2");
    const { rtp } = await phone.call();
    await sendRtp(rtp, 3, relay);
    await eventually(() => one(bench).packets.length === 3);
  });
});

test("who speaks comes from 4 header fields, else from Call-ID and From", async () => {
  const bench = await listen();
  await using phone = await Phone.udp(bench.udp);
  await phone.call({
    headers: [
      "X-Tonetap-Call: support-4711",
      "X-Tonetap-Participant: caller",
      "x-tonetap-role: Customer",
      "X-Tonetap-Consent: granted",
      "X-Queue: gold",
    ],
  });
  phone.callId = "plain@host";
  await phone.call();
  const [told, plain] = bench.taken.map(({ call }) => call);
  expect(told?.participant).toEqual({
    callId: "support-4711",
    participantId: "caller",
    role: "customer",
    consent: "granted",
    displayName: "Anna",
  });
  expect(told?.headers.get("x-queue")).toEqual(["gold"]);
  expect(told?.from).toEqual({ uri: "sip:anna@example.com", user: "anna", displayName: "Anna" });
  expect(told?.origin).toEqual({ transport: "udp", host: "127.0.0.1", port: phone.port });
  expect(plain?.participant).toMatchObject({
    callId: "plain@host",
    participantId: "anna",
    role: "guest",
    consent: "pending",
  });
});

describe("the network", () => {
  test("with rport the answer goes to the port that asked, though Via names port 9", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    await phone.send(phone.compose("OPTIONS").replace(`:${phone.port};branch`, ":9;rport;branch"));
    const ok = await phone.response("1 OPTIONS");
    expect(headerOf(ok, "Via")).toContain(`127.0.0.1:9;rport=${phone.port};branch=`);
    expect(headerOf(ok, "Via")).toContain(";received=127.0.0.1");
  });

  test("over TCP 2 requests in one piece are answered, 1 ping is, and nonsense costs only its own connection", async () => {
    const bench = await listen();
    await using phone = await Phone.stream(bench.tcp);
    await using other = await Phone.stream(bench.tcp);
    await phone.send(phone.compose("OPTIONS") + phone.compose("OPTIONS", { cseq: 2 }));
    await phone.response("1 OPTIONS");
    await phone.response("2 OPTIONS");
    const before = phone.raw.length;
    await phone.send("\r\n\r\n");
    await eventually(() => phone.raw.slice(before).join("") === "\r\n");
    await other.send("x".repeat(20_000));
    await eventually(() => other.closed);
    expect((await phone.ask("OPTIONS", { cseq: 3 })).status).toBe(200);
    expect(bench.server.stats.lostConnections).toBe(1);
  });

  test("a head of 17 kB and a body of 65 kB are told 513 over UDP and TCP, and cost the TCP connection", async () => {
    const bench = await listen();
    const head = [`Subject: ${"long".repeat(4_250)}`];
    const body = `${offer()}a=${"long".repeat(16_500)}\r\n`;
    await using udp = await Phone.udp(bench.udp);
    expect((await udp.ask("INVITE", { headers: head, body: offer() })).status).toBe(513);
    for (const parts of [{ headers: head, body: offer() }, { body }]) {
      await using tcp = await Phone.stream(bench.tcp);
      expect((await tcp.ask("INVITE", parts)).status).toBe(513);
      await eventually(() => tcp.closed);
    }
    expect(bench.server.stats).toMatchObject({ malformed: 3, calls: 0 });
    expect(bench.server.held).toMatchObject({ calls: 0, transactions: 0, rtpPorts: 0 });
  });

  test("a message that is begun over TCP and never ended costs the connection after 32 s", async () => {
    const bench = await listen();
    await using phone = await Phone.stream(bench.tcp);
    await phone.send("OPTIONS sip:a@b SIP/2.0\r\n");
    await eventually(() => bench.clock.pending === 1);
    bench.clock.advance(32_000);
    await eventually(() => phone.closed);
    expect(bench.server.held.connections).toBe(0);
  });

  test("a call over IPv6: 5 packets to ::1", async () => {
    const bench = await listen({ host: "::1" });
    await using phone = await Phone.udp(bench.udp);
    const { rtp, toTag } = await phone.call({ body: offer({ host: "::1" }) });
    expect(rtp.host).toBe("::1");
    await sendRtp(rtp, 5);
    await eventually(() => one(bench).packets.length === 5);
    expect((await phone.ask("BYE", { cseq: 2, toTag })).status).toBe(200);
  });

  test("600 hostile datagrams later a call of 5 packets works as ever", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const invite = phone.compose("INVITE", { body: offer() });
    for (let i = 0; i < 200; i++) {
      const noise = Array.from({ length: 60 }, (_, k) => String.fromCharCode((i * 7 + k * 13) % 256)).join(
        "",
      );
      await phone.send(noise);
      await phone.send(invite.slice(0, (i * invite.length) / 200));
      await phone.send(invite.replaceAll(":", i % 2 === 0 ? "" : ";").replace("Call-ID", noise));
    }
    phone.callId = "after";
    const { rtp } = await phone.call();
    await sendRtp(rtp, 5);
    await eventually(() => bench.taken.at(-1)?.packets.length === 5);
    expect(bench.server.stats.defects).toBe(0);
  });

  test("close() says BYE to 2 calls and leaves nothing open, answered or not", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    await using silent = await Phone.stream(bench.tcp);
    await phone.call();
    await silent.call();
    const closing = bench.server.close();
    await phone.answer(await phone.request("BYE"));
    await silent.request("BYE");
    expect((await phone.ask("OPTIONS", { cseq: 5 })).status).toBe(503);
    bench.clock.advance(2_000);
    await closing;
    expect(bench.taken.map(({ ended }) => ended)).toEqual(["complete", "complete"]);
    expect(bench.server.held).toEqual(NOTHING);
    expect(bench.clock.pending).toBe(0);
  });
});

test.each([
  [{ host: "localhost" }, /host must be an IP address/],
  [{ host: "0.0.0.0" }, /announcedHost must be given/],
  [{ port: 65_536 }, /port must be 0–65535/],
  [{ maxCalls: 0 }, /maxCalls must be 1–100000/],
  [{ rtpPorts: [40_001, 40_002] as const }, /rtpPorts\[1\] must be 40003/],
  [{ transports: ["tls" as const] }, /tls must be given/],
  [{ inactivityMs: 1 }, /inactivityMs must be 1000–3600000 ms/],
])("%j is refused in words", async (options, words) => {
  await expect(createSipServer({ onCall: () => undefined, ...options })).rejects.toThrow(words);
});

test("a port that is taken is told as unavailable, 1 error, and nothing stays bound", async () => {
  const bench = await listen();
  const again = createSipServer({ port: bench.udp.port, onCall: () => undefined });
  await expect(again).rejects.toMatchObject({ code: "unavailable" });
});
