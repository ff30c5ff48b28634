/** Recording sessions on the wire: what is answered, who is told of, what changes in the middle, what is left afterwards. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AudioSource, ParticipantInfo } from "../../../../src/core/audio-source.ts";
import { TonetapError } from "../../../../src/core/errors.ts";
import { PCMU } from "../../../../src/core/rtp.ts";
import { RtpStream } from "../../../../src/transport/index.ts";
import type { SipCallInfo, SipServerOptions } from "../../../../src/transport/sip/index.ts";
import { headerOf, headersOf, type SipResponse } from "../../../../src/transport/sip/sip-message.ts";
import { eventually, freePorts, Peer } from "../../loopback.ts";
import { type Bench, listen, NOTHING } from "../bench.ts";
import { offer } from "../messages.ts";
import { Phone, type RequestParts, sdpText, sendRtp, tagOf } from "../phone.ts";
import {
  ALICE,
  MIXED_TYPE,
  metadata,
  multipart,
  type OfferedStream,
  type Person,
  RFC_COMPLETE,
  RFC_HOLD,
  RFC_OFFER,
  RFC_RESUME,
  SESSION,
  streamsOffer,
  TRANSFER,
} from "./documents.ts";

interface Voice {
  readonly source: AudioSource;
  readonly call: SipCallInfo;
  packets: number;
  ended: boolean;
}

interface Recorder extends Bench {
  readonly voices: Voice[];
  readonly consents: ParticipantInfo[];
}

/** A server whose policy refuses agents. */
async function record(options: Partial<SipServerOptions> = {}): Promise<Recorder> {
  const voices: Voice[] = [];
  const consents: ParticipantInfo[] = [];
  const bench = await listen({
    onCall: (source, call) => {
      if (call.participant.role === "agent") throw new TonetapError("policy", "agents are not analysed");
      const voice: Voice = { source, call, packets: 0, ended: false };
      voices.push(voice);
      source.packets.subscribe({
        next: () => voice.packets++,
        complete: () => {
          voice.ended = true;
        },
      });
    },
    onConsent: (participant) => void consents.push(participant),
    ...options,
  });
  return Object.assign(bench, { voices, consents });
}

const SRC = ["Require: siprec", "Contact: <sip:2000@127.0.0.1>;+sip.src"];

const invite = (people: readonly Person[], streams: readonly OfferedStream[], headers: string[] = []) =>
  body(streamsOffer(streams), metadata(people), headers);

const body = (sdp: string, xml: string, headers: string[] = []): RequestParts => ({
  headers: ["Require: siprec", ...headers],
  type: MIXED_TYPE,
  body: multipart(sdp, xml),
});

/** Ports of the answer by the place of their sections. */
const portsOf = (ok: SipResponse): number[] =>
  [...sdpText(ok).matchAll(/^m=\S+ (\d+)/gm)].map(([, port]) => Number(port));
const linesOf = (ok: SipResponse, name: string): string[] =>
  [...sdpText(ok).matchAll(new RegExp(`^a=(${name}.*)\r$`, "gm"))].map(([, line = ""]) => line);
const names = ({ voices }: Recorder): string[] => voices.map(({ call }) => call.participant.participantId);
const anna: Person = { id: "anna", sends: ["1"] };
const ben: Person = { id: "ben", sends: ["2"] };
const TWO: readonly OfferedStream[] = [{ label: "1" }, { label: "2" }];

/** INVITE, 200, ACK. */
async function begin(phone: Phone, parts: RequestParts): Promise<{ ok: SipResponse; toTag: string }> {
  const ok = await phone.ask("INVITE", parts);
  expect(ok.status, headerOf(ok, "Warning")).toBe(200);
  await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
  await phone.settled();
  return { ok, toTag: tagOf(ok) };
}

async function change(phone: Phone, toTag: string, cseq: number, parts: RequestParts): Promise<SipResponse> {
  const ok = await phone.ask("INVITE", { ...parts, toTag, cseq });
  await phone.send(phone.compose("ACK", { toTag, cseq }));
  await phone.settled();
  return ok;
}

async function sendTo(port: number, count: number): Promise<void> {
  await sendRtp({ host: "127.0.0.1", port }, count);
}

const phoneFor = (transport: "udp" | "tcp", bench: Bench): Promise<Phone> =>
  transport === "udp" ? Phone.udp(bench.udp) : Phone.stream(bench.tcp);

describe("a recording session", () => {
  for (const transport of ["udp", "tcp"] as const) {
    test(`over ${transport}: the RFCs' example is 2 voices of 2 ports, each with its 25 packets; BYE leaves nothing`, async () => {
      const bench = await record();
      await using phone = await phoneFor(transport, bench);
      const { ok, toTag } = await begin(phone, body(RFC_OFFER, RFC_COMPLETE));

      expect(headerOf(ok, "Contact")).toMatch(/;\+sip\.srs$/);
      expect(headerOf(ok, "Require")).toBe("siprec");
      const [first = 0, , second = 0] = portsOf(ok);
      expect(portsOf(ok)).toEqual([first, 0, second, 0]);
      expect(linesOf(ok, "recvonly")).toHaveLength(2);
      expect(linesOf(ok, "label:")).toEqual(["label:96", "label:98"]);
      expect(linesOf(ok, "record:")).toEqual(["record:on", "record:on"]);
      expect(bench.voices.map(({ call }) => call.participant)).toMatchObject([
        { callId: SESSION, participantId: "alice", displayName: "Alice", role: "guest", consent: "pending" },
        { callId: SESSION, participantId: "bob", displayName: "Bob" },
      ]);
      expect(bench.voices[0]?.call.recorded).toMatchObject({
        label: "96",
        mixed: false,
        people: [{ id: ALICE, aor: "sip:alice@atlanta.com" }],
      });

      await sendTo(first, 25);
      await sendTo(second, 20);
      await eventually(() => bench.voices[0]?.packets === 25 && bench.voices[1]?.packets === 20);
      expect(bench.server.held).toMatchObject({ calls: 1, rtpPorts: 2 });

      expect((await phone.ask("BYE", { toTag, cseq: 2 })).status).toBe(200);
      await eventually(() => bench.voices.every(({ ended }) => ended));
      bench.clock.advance(32_000);
      expect(bench.server.held).toEqual({ ...NOTHING, connections: transport === "udp" ? 0 : 1 });
      expect(bench.errors).toEqual([]);
    });
  }

  test("is known by any of 3 signs: Require, +sip.src, the metadata itself", async () => {
    const bench = await record();
    const { type, body: text = "" } = invite([anna], [{ label: "1" }]);
    const plain = { body: streamsOffer([{ label: "1" }]) };
    for (const parts of [
      { ...plain, headers: ["Require: siprec"] },
      { ...plain, headers: [SRC[1] ?? ""] },
      { type, body: text },
    ] as RequestParts[]) {
      await using phone = await Phone.udp(bench.udp);
      // The phone has a Contact of its own: a second one is not looked at, so that it is replaced.
      const request = phone.compose("INVITE", parts);
      const contact = parts.headers?.some((line) => line.startsWith("Contact")) === true;
      await phone.send(contact ? request.replace(/^Contact: .*anna.*\r\n/m, "") : request);
      const ok = await phone.response("1 INVITE");
      expect(headerOf(ok, "Contact")).toContain("+sip.srs");
      await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
      await phone.ask("BYE", { toTag: tagOf(ok), cseq: 2 });
    }
    expect(names(bench)).toEqual(["stream-1", "stream-1", "anna"]);
  });

  test("OPTIONS says siprec and the 4 bodies that are taken", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const ok = await phone.ask("OPTIONS");
    expect(headerOf(ok, "Supported")).toBe("timer, siprec");
    expect(headerOf(ok, "Accept")?.split(", ")).toHaveLength(4);
  });

  test("1 mixed stream is 1 participant, and the 200 says so", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const mixed = [
      { id: "anna", name: "Anna", sends: ["1"] },
      { id: "ben", name: "Ben", sends: ["1"] },
    ];
    const { ok } = await begin(phone, invite(mixed, [{ label: "1" }]));
    expect(bench.voices).toHaveLength(1);
    expect(bench.voices[0]?.call.participant).toMatchObject({
      participantId: "mixed",
      displayName: "Anna, Ben (mixed)",
    });
    expect(bench.voices[0]?.call.recorded).toMatchObject({
      mixed: true,
      people: [{ id: "anna" }, { id: "ben" }],
    });
    expect(headerOf(ok, "Warning")).toBe(
      '399 tonetap "stream 1 is a mix of 2 people: they are taken as one"',
    );
  });

  test("2 people and 1 stream that is nobody's by name are a mix; a mix of people who have 2 streams of their own is not wanted", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    await begin(phone, invite([{ id: "anna" }, { id: "ben" }], [{}]));
    expect(bench.voices[0]?.call.recorded).toMatchObject({ mixed: true });
    await using other = await Phone.udp(bench.udp);
    const three = [
      { id: "carol", sends: ["1", "3"] },
      { id: "dan", sends: ["2", "3"] },
    ];
    const { ok } = await begin(other, invite(three, [...TWO, { label: "3" }]));
    expect(names(bench).slice(1)).toEqual(["carol", "dan"]);
    expect(linesOf(ok, "record:")).toEqual(["record:on", "record:on", "record:off"]);
    expect(linesOf(ok, "inactive")).toHaveLength(1);
  });
});

describe("roles and consent", () => {
  const agents = { recordingRoles: ["ben@*=agent"] };

  test("the agent of 2 is refused by policy: a=inactive and a Warning; the customer's 10 packets come", async () => {
    const bench = await record(agents);
    await using phone = await Phone.udp(bench.udp);
    const { ok } = await begin(phone, invite([anna, ben], TWO));
    expect(names(bench)).toEqual(["anna"]);
    expect(linesOf(ok, "(?:recvonly|inactive)")).toEqual(["recvonly", "inactive"]);
    expect(headersOf(ok, "Warning")).toEqual([
      '399 tonetap "stream 2 is not wanted: agents are not analysed"',
    ]);
    const [customer = 0, agent = 0] = portsOf(ok);
    await sendTo(agent, 10);
    await sendTo(customer, 10);
    await eventually(() => bench.voices[0]?.packets === 10);
  });

  test("a recording of 1 agent is 403 with the reason, a mix with 1 agent too", async () => {
    const bench = await record(agents);
    const mixed = [anna, { id: "ben", sends: ["1"] }];
    for (const parts of [invite([ben], [{ label: "2" }]), invite(mixed, [{ label: "1" }])]) {
      await using phone = await Phone.udp(bench.udp);
      const refused = await phone.ask("INVITE", parts);
      expect(refused.status).toBe(403);
      expect(headerOf(refused, "Warning")).toMatch(/agents are not analysed|mix of 2/);
    }
    expect(bench.server.held).toMatchObject({ calls: 0, rtpPorts: 0 });
  });

  test("4 sources of a role, the strongest first: the owner's rule, the metadata, the header, the default", async () => {
    const tag = (name: string, value: string) => `<${name} xmlns="urn:tonetap:siprec:1">${value}</${name}>`;
    const bench = await record({ recordingRoles: ["anna=patient"] });
    await using phone = await Phone.udp(bench.udp);
    const people = [
      { ...anna, extra: tag("role", "customer") + tag("consent", "granted") },
      { ...ben, extra: tag("role", "customer") },
      { id: "carol", sends: ["3"] },
    ];
    const headers = ["X-Tonetap-Role: speaker", "X-Tonetap-Call: pbx-7"];
    await begin(phone, invite(people, [...TWO, { label: "3" }], headers));
    expect(bench.voices.map(({ call }) => call.participant)).toMatchObject([
      { callId: "pbx-7", role: "patient", consent: "granted" },
      { role: "customer", consent: "pending" },
      { role: "speaker", consent: "pending" },
    ]);
  });

  test("an UPDATE of nothing but metadata grants 1 consent, and makes 1 customer an agent, who leaves", async () => {
    const tag = (name: string, value: string) => `<${name} xmlns="urn:tonetap:siprec:1">${value}</${name}>`;
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await begin(phone, invite([anna, ben], TWO));
    const partial = metadata(
      [
        { ...anna, extra: tag("consent", "granted") },
        { ...ben, extra: tag("role", "agent") },
      ],
      "partial",
    );
    const update = { type: "application/rs-metadata", body: partial, toTag, cseq: 2 };
    const ok = await phone.ask("UPDATE", update);
    expect([ok.status, ok.body.length]).toEqual([200, 0]);
    expect(bench.consents).toMatchObject([{ participantId: "anna", consent: "granted" }]);
    expect(bench.voices.map(({ ended }) => ended)).toEqual([false, true]);
  });
});

describe("in the middle of a recording", () => {
  test("hold and resume by 2 partial updates: Alice stays, her 5 packets in between are nobody's", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { ok, toTag } = await begin(phone, body(RFC_OFFER, RFC_COMPLETE));
    const [port = 0] = portsOf(ok);
    const held = await change(phone, toTag, 2, body(RFC_OFFER, RFC_HOLD));
    expect(linesOf(held, "record:")).toEqual(["record:paused", "record:on"]);
    const stream = new RtpStream({ codec: PCMU, payloadType: 0 });
    await sendRtp({ host: "127.0.0.1", port }, 5, undefined, stream);
    await eventually(() => bench.voices[0]?.source.refused?.["nobody-speaks"] === 5);
    const resumed = await change(phone, toTag, 3, body(RFC_OFFER, RFC_RESUME));
    expect(linesOf(resumed, "record:")).toEqual(["record:on", "record:on"]);
    await sendRtp({ host: "127.0.0.1", port }, 7, undefined, stream);
    await eventually(() => bench.voices[0]?.packets === 7);
    expect(names(bench)).toEqual(["alice", "bob"]);
    expect(portsOf(resumed)).toEqual(portsOf(ok));
  });

  test("a transfer: Bob has left, Carol is heard at his port, 3 packets each", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { ok, toTag } = await begin(phone, body(RFC_OFFER, RFC_COMPLETE));
    const port = portsOf(ok)[2] ?? 0;
    const stream = new RtpStream({ codec: PCMU, payloadType: 0 });
    await sendRtp({ host: "127.0.0.1", port }, 3, undefined, stream);
    await eventually(() => bench.voices[1]?.packets === 3);
    await change(phone, toTag, 2, body(RFC_OFFER, TRANSFER));
    await sendRtp({ host: "127.0.0.1", port }, 3, undefined, stream);
    await eventually(() => bench.voices[2]?.packets === 3);
    expect(names(bench)).toEqual(["alice", "bob", "carol"]);
    expect(bench.voices.map(({ ended }) => ended)).toEqual([false, true, false]);
  });

  test("pause by a=inactive holds both of 2 streams; a third is added, the first withdrawn with port 0", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await begin(phone, invite([anna, ben], TWO));
    const paused = TWO.map((stream) => ({ ...stream, direction: "inactive" }));
    const held = await change(phone, toTag, 2, { body: streamsOffer(paused) });
    expect(linesOf(held, "(?:inactive|record:.*)")).toEqual([
      "inactive",
      "record:paused",
      "inactive",
      "record:paused",
    ]);
    const carol = metadata([{ id: "carol", sends: ["3"] }], "partial");
    const streams = [{ label: "1", port: 0 }, { label: "2" }, { label: "3" }];
    const grown = await change(phone, toTag, 3, body(streamsOffer(streams), carol));
    expect(portsOf(grown).map((port) => port > 0)).toEqual([false, true, true]);
    expect(names(bench)).toEqual(["anna", "ben", "carol"]);
    expect(bench.voices.map(({ ended }) => ended)).toEqual([true, false, false]);
    expect(bench.server.held.rtpPorts).toBe(2);
  });

  test("metadata that comes late names 2 streams that were nobody's", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await begin(phone, { headers: ["Require: siprec"], body: streamsOffer(TWO) });
    expect(names(bench)).toEqual(["stream-1", "stream-2"]);
    const late = { type: "application/rs-metadata+xml", body: metadata([anna, ben]), toTag, cseq: 2 };
    expect((await phone.ask("UPDATE", late)).status).toBe(200);
    expect(names(bench).slice(2)).toEqual(["anna", "ben"]);
    expect(bench.voices.map(({ ended }) => ended)).toEqual([true, true, false, false]);
  });

  test("a re-INVITE without an offer gets what was agreed of 2 streams, and its answer is taken", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { ok, toTag } = await begin(phone, invite([anna, ben], TWO));
    const again = await phone.ask("INVITE", { toTag, cseq: 2 });
    expect(portsOf(again)).toEqual(portsOf(ok));
    await phone.send(phone.compose("ACK", { toTag, cseq: 2, body: streamsOffer(TWO) }));
    await phone.settled();
    expect([bench.server.callCount, phone.requests("BYE").length]).toEqual([1, 0]);
  });

  test("who listens is not dead: 1 stream of 2 is silent for 90 s; when both are for 60 s, both have timed out and BYE is said", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { ok } = await begin(phone, invite([anna, ben], TWO));
    const [first = 0] = portsOf(ok);
    const stream = new RtpStream({ codec: PCMU, payloadType: 0 });
    await using peer = await Peer.open();
    for (let i = 1; i <= 3; i++) {
      bench.clock.advance(30_000);
      await sendRtp({ host: "127.0.0.1", port: first }, 1, peer, stream);
      await eventually(() => bench.voices[0]?.packets === i);
    }
    expect(bench.voices.map(({ ended }) => ended)).toEqual([false, false]);
    bench.clock.advance(60_001);
    bench.clock.advance(60_001);
    await phone.answer(await phone.request("BYE"));
    await eventually(() => bench.server.callCount === 0);
    expect(bench.voices.map(({ source }) => source.timedOut)).toEqual([true, true]);
    expect(bench.server.held.rtpPorts).toBe(0);
  });

  test("the owner closes 1 of 2 voices: the other goes on; with the second the recording ends by BYE", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await begin(phone, invite([anna, ben], TWO));
    await bench.voices[0]?.source.close();
    await bench.voices[0]?.source.close();
    const ok = await change(phone, toTag, 2, { body: streamsOffer(TWO) });
    expect(linesOf(ok, "record:")).toEqual(["record:off", "record:on"]);
    expect(phone.requests("BYE")).toHaveLength(0);
    await bench.voices[1]?.source.close();
    await phone.answer(await phone.request("BYE"));
    await eventually(() => bench.server.held.rtpPorts === 0 && bench.server.callCount === 0);
  });
});

describe("what cannot be taken leaves nothing", () => {
  const good = multipart(streamsOffer(TWO), metadata([anna, ben]));
  test.each([
    ["a body that is cut off", 400, { type: MIXED_TYPE, body: good.replace("--foobar--", "") }, /cut off/],
    ["another boundary", 400, { type: "multipart/mixed;boundary=x", body: good }, /does not stand in it/],
    ["no boundary", 400, { type: "multipart/mixed", body: good }, /names no boundary/],
    ["SDP twice", 400, { type: MIXED_TYPE, body: good.replace("rs-metadata+xml", "sdp") }, /has sdp twice/],
    [
      "a part of another kind",
      415,
      { type: MIXED_TYPE, body: good.replace("rs-metadata+xml", "isup") },
      /isup/,
    ],
    [
      "a part in base64",
      415,
      {
        type: MIXED_TYPE,
        body: good.replace("Content-Disposition: recording-session", "Content-Transfer-Encoding: base64"),
      },
      /base64/,
    ],
    [
      "no SDP",
      488,
      {
        type: MIXED_TYPE,
        body: good.replace(
          /Content-Type: application\/sdp[\s\S]*?--foobar/,
          "Content-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\nx\r\n--foobar",
        ),
      },
      /begins with an offer/,
    ],
    ["broken XML", 400, { type: MIXED_TYPE, body: good.replace("</recording>", "") }, /no XML that is taken/],
    [
      "an entity",
      400,
      { type: MIXED_TYPE, body: good.replace("<recording", "<!DOCTYPE x [<!ENTITY a 'b'>]><recording") },
      /DTD/,
    ],
    ["no common codec", 488, invite([anna], [{ label: "1", media: "RTP/AVP 18" }]), /no common codec/],
    ["no audio", 488, invite([anna], [{ label: "1", kind: "video" }]), /no audio/],
    [
      "17 streams",
      488,
      invite(
        [anna],
        Array.from({ length: 17 }, () => ({})),
      ),
      /17 audio streams/,
    ],
  ] as [string, number, RequestParts, RegExp][])("%s: %i in words", async (_, status, parts, words) => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const refused = await phone.ask("INVITE", { headers: ["Require: siprec"], ...parts });
    expect([refused.status, headerOf(refused, "Warning")]).toEqual([status, expect.stringMatching(words)]);
    await phone.send(phone.compose("ACK", { toTag: tagOf(refused) }));
    bench.clock.advance(32_000);
    await eventually(() => bench.server.held.rtpPorts === 0);
    expect(bench.server.held).toEqual(NOTHING);
    expect([bench.voices.length, bench.errors.length]).toEqual([0, 0]);
  });

  test("1 stream of 2 without a common codec is refused with port 0, and that is said", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { ok } = await begin(
      phone,
      invite([anna, ben], [{ label: "1" }, { label: "2", media: "RTP/AVP 18" }]),
    );
    expect(portsOf(ok)[1]).toBe(0);
    expect(headerOf(ok, "Warning")).toContain("no common codec");
    expect(names(bench)).toEqual(["anna"]);
  });

  test("the owner has room for 1 of 2: 503, and the first has left", async () => {
    let room = 1;
    const ended: string[] = [];
    const bench = await record({
      onCall: (source, { participant }) => {
        if (room-- === 0) throw new TonetapError("overloaded", "there is no room");
        source.packets.subscribe({ complete: () => ended.push(participant.participantId) });
      },
    });
    await using phone = await Phone.udp(bench.udp);
    const refused = await phone.ask("INVITE", invite([anna, ben], TWO));
    expect([refused.status, headerOf(refused, "Retry-After")]).toEqual([503, "5"]);
    await eventually(() => ended.length === 1 && bench.server.held.rtpPorts === 0);
  });

  test("a bad update, of 3 kinds, changes nothing: 2 voices go on", async () => {
    const bench = await record();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await begin(phone, invite([anna, ben], TWO));
    const bad: [RequestParts, number][] = [
      [{ type: "application/rs-metadata+xml", body: "<recording" }, 400],
      [{ type: MIXED_TYPE, body: good.replace("--foobar--", "") }, 400],
      [{ body: streamsOffer([{ label: "1", media: "RTP/AVP 18" }]) }, 488],
    ];
    let cseq = 2;
    for (const [parts, status] of bad) {
      expect((await phone.ask("UPDATE", { ...parts, toTag, cseq: cseq++ })).status).toBe(status);
    }
    expect(bench.voices.map(({ ended }) => ended)).toEqual([false, false]);
  });

  test("2 further streams where there are ports for 1: 503, and the 2 that there were go on at their ports", async () => {
    const first = await freePorts(6);
    const bench = await record({ rtpPorts: [first, first + 5] });
    await using phone = await Phone.udp(bench.udp);
    const { ok, toTag } = await begin(phone, invite([anna, ben], TWO));
    const four = body(streamsOffer([...TWO, { label: "3" }, { label: "4" }]), metadata([anna, ben]));
    const full = await change(phone, toTag, 2, four);
    expect([full.status, headerOf(full, "Retry-After")]).toEqual([503, "5"]);
    expect(bench.server.held.rtpPorts).toBe(2);
    expect(portsOf(await change(phone, toTag, 3, { body: streamsOffer(TWO) }))).toEqual(portsOf(ok));
    expect(bench.voices.map(({ ended }) => ended)).toEqual([false, false]);
  });

  test("BYE while a re-INVITE waits for its owner: 487, and nothing is left of 3 streams", async () => {
    const slow = Promise.withResolvers<void>();
    const bench = await record({
      onCall: (source, { participant }) => {
        source.packets.subscribe();
        return participant.participantId === "carol" ? slow.promise : undefined;
      },
    });
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await begin(phone, invite([anna, ben], TWO));
    const carol = metadata([{ id: "carol", sends: ["3"] }], "partial");
    const third = body(streamsOffer([...TWO, { label: "3" }]), carol);
    await phone.send(phone.compose("INVITE", { ...third, toTag, cseq: 2 }));
    await eventually(() => bench.server.held.rtpPorts === 3);
    expect((await phone.ask("UPDATE", { body: streamsOffer(TWO), toTag, cseq: 3 })).status).toBe(491);
    expect((await phone.ask("BYE", { toTag, cseq: 4 })).status).toBe(200);
    slow.resolve();
    expect((await phone.response("2 INVITE")).status).toBe(487);
    await eventually(() => bench.server.held.rtpPorts === 0 && bench.server.held.calls === 0);
  });

  test("60 damaged INVITEs are answered each, and after 32 s nothing is kept; then a call of 2 voices works", async () => {
    const bench = await record();
    // Over TCP, where refusals are not repeated.
    await using phone = await Phone.stream(bench.tcp);
    const damage = fc.record({
      at: fc.nat(good.length),
      cut: fc.nat(60),
      put: fc.constantFrom(
        "",
        "\r\n",
        "--foobar\r\n",
        "--foobar--\r\n",
        "<!DOCTYPE a>",
        "m=audio 1 RTP/AVP 0\r\n",
        "\0",
      ),
    });
    for (const { at, cut, put } of fc.sample(damage, { numRuns: 60, seed: 7866 })) {
      phone.callId = `damaged-${at}-${cut}-${put.length}`;
      const broken = good.slice(0, at) + put + good.slice(at + cut);
      const answer = await phone.ask("INVITE", {
        headers: ["Require: siprec"],
        type: MIXED_TYPE,
        body: broken,
      });
      expect([200, 400, 403, 415, 486, 488]).toContain(answer.status);
      const toTag = tagOf(answer);
      await phone.send(phone.compose("ACK", { toTag }));
      if (answer.status === 200) await phone.ask("BYE", { toTag, cseq: 2 });
    }
    bench.clock.advance(32_000);
    await eventually(() => bench.server.held.rtpPorts === 0);
    expect(bench.server.held).toEqual({ ...NOTHING, connections: 1 });
    expect(bench.errors).toEqual([]);
    const before = bench.voices.length;
    phone.callId = "after";
    await begin(phone, invite([anna, ben], TWO));
    expect(bench.voices.length - before).toBe(2);
  });

  test("an ordinary call is none: 1 leg, no +sip.srs", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const ok = await phone.ask("INVITE", { body: offer() });
    expect([headerOf(ok, "Contact")?.includes("srs"), headerOf(ok, "Require")]).toEqual([false, undefined]);
    expect(bench.taken).toHaveLength(1);
  });
});
