/** Consent that comes by a participant's own line, through the service: SIP, WHIP, and media in messages. */
import { connect as connectTcp } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { PCMU } from "../../src/core/rtp.ts";
import { kindOf } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";
import { audioSocketFrame, FRAME } from "../../src/transport/audiosocket/audiosocket-framer.ts";
import { createRtpSender, RtpStream } from "../../src/transport/index.ts";
import { headerOf } from "../../src/transport/sip/sip-message.ts";
import { telephoneVoice } from "../support/pcmu.ts";
import { callScenario, runSipp } from "../support/sipp.ts";
import { hasPeer } from "../support/system-peers.ts";
import { eventually, Peer as UdpPeer } from "../transport/loopback.ts";
import { offer } from "../transport/sip/messages.ts";
import { Phone, tagOf } from "../transport/sip/phone.ts";
import { MIXED_TYPE, metadata, multipart, streamsOffer } from "../transport/sip/siprec/documents.ts";
import { Peer, twilio } from "../transport/websocket-media/support.ts";
import { createPublisher } from "../transport/werift/whip-peer.ts";
import { PATIENT_MODEL } from "./support.ts";

const INFO_TYPE = "application/tonetap-consent+json";
const PACKAGE = "Info-Package: tonetap-consent";

/** What follows in one go from a withdrawal that finds analysis running. */
const WITHDRAWN = ["consent withdrawn", "paused consent-withdrawn", "discarded consent-withdrawn"];
const GRANTED = ["consent granted", "resumed consent-granted"];

describe("consent by the line", { concurrent: true }, () => {
  let service: Service;
  const told = new Map<string, string[]>();
  const by = new Map<string, string[]>();

  beforeAll(async () => {
    service = await Service.open({
      service: { port: 0 },
      model: PATIENT_MODEL,
      sip: { transports: ["udp", "tcp"], port: 0 },
      // The publisher sends no media, and this machine may be slow.
      whip: { inactivityMs: 600_000 },
      audioSocket: { listen: "tcp", port: 0, defaultConsent: "granted" },
      consent: { grantKeys: "*1", withdrawKeys: "*9" },
    });
    service.engine.events$.subscribe((event) => {
      const { data } = event;
      if (!("participantId" in data) || !/participant\.(consent|paused|resumed|discarded)/.test(event.type))
        return;
      const detail = "consent" in data ? data.consent : "reason" in data ? data.reason : "";
      const of = (map: Map<string, string[]>): string[] => {
        const key = `${data.callId} ${data.participantId}`;
        const list = map.get(key) ?? [];
        map.set(key, list);
        return list;
      };
      of(told).push(`${kindOf(event).replace("participant.", "")} ${String(detail)}`);
      if (event.type === "tonetap.participant.consent") of(by).push(event.data.by);
    });
  });
  afterAll(() => service.close());

  const udp = () => service.sip?.addresses.get("udp") ?? expect.unreachable("no SIP");
  const toldOf = (call: string, participant = "anna") => told.get(`${call} ${participant}`) ?? [];
  const byOf = (call: string, participant = "anna") => by.get(`${call} ${participant}`) ?? [];
  const media = () => new URL("/v1/media/", service.url).href.replace(/^http/, "ws");
  const sipHeaders = (call: string, consent = "granted") => [
    `X-Tonetap-Call: ${call}`,
    `X-Tonetap-Consent: ${consent}`,
  ];

  test("SIP INFO of our package takes it back and gives it again; a header that is repeated 2 times cannot undo the withdrawal", async () => {
    await using phone = await Phone.udp(udp());
    const body = offer();
    const ok = await phone.ask("INVITE", { headers: sipHeaders("info"), body });
    expect([headerOf(ok, "Recv-Info"), headerOf(ok, "Allow")]).toEqual([
      "tonetap-consent",
      expect.stringContaining("INFO"),
    ]);
    const toTag = tagOf(ok);
    await phone.send(phone.compose("ACK", { toTag }));
    const withdrawn = '{"consent": "withdrawn"}';
    const info = await phone.ask("INFO", {
      toTag,
      cseq: 2,
      headers: [PACKAGE],
      type: INFO_TYPE,
      body: withdrawn,
    });
    expect(info.status).toBe(200);
    expect(toldOf("info")).toEqual(WITHDRAWN);
    // As a session refresh repeats it, and as a proxy adds it: said before, and said anew.
    for (const [cseq, method, consent] of [
      [3, "UPDATE", "granted"],
      [4, "UPDATE", "withdrawn"],
      [5, "UPDATE", "granted"],
    ] as const) {
      const update = await phone.ask(method, { toTag, cseq, headers: sipHeaders("info", consent) });
      expect(update.status).toBe(200);
    }
    expect(toldOf("info")).toEqual(WITHDRAWN);
    const headers = [PACKAGE, "X-Tonetap-Consent: granted"];
    expect((await phone.ask("INFO", { toTag, cseq: 6, headers })).status).toBe(200);
    await eventually(() => toldOf("info").includes("resumed consent-granted"));
    expect(toldOf("info")).toEqual([...WITHDRAWN, ...GRANTED]);
    expect(byOf("info")).toEqual(["SIP INFO", "SIP INFO"]);
    await phone.ask("BYE", { toTag, cseq: 7 });
  });

  test("what a header took back a header gives again, in UPDATE and re-INVITE; a wrong value is 400", async () => {
    await using phone = await Phone.udp(udp());
    const { toTag } = await phone.call({ headers: sipHeaders("header") });
    const wrong = await phone.ask("UPDATE", { toTag, cseq: 2, headers: ["X-Tonetap-Consent: perhaps"] });
    const update = await phone.ask("UPDATE", { toTag, cseq: 3, headers: sipHeaders("header", "withdrawn") });
    expect([wrong.status, update.status]).toEqual([400, 200]);
    expect(toldOf("header")).toEqual(WITHDRAWN);
    const again = await phone.ask("INVITE", { toTag, cseq: 4, headers: sipHeaders("header"), body: offer() });
    expect(again.status).toBe(200);
    await phone.send(phone.compose("ACK", { toTag, cseq: 4 }));
    await eventually(() => toldOf("header").includes("resumed consent-granted"));
    expect(byOf("header")).toEqual(["SIP header", "SIP header"]);
    await phone.ask("BYE", { toTag, cseq: 5 });
  });

  test("7 INFOs that cannot be taken, or say nothing, are answered as RFC 6086 has it", async () => {
    await using phone = await Phone.udp(udp());
    const { toTag } = await phone.call({ headers: sipHeaders("wrong") });
    const asked: [number, Parameters<Phone["ask"]>[1], number][] = [
      [2, { headers: ["Info-Package: conference"] }, 469],
      [3, { headers: [PACKAGE] }, 400],
      [4, { headers: [PACKAGE], type: INFO_TYPE, body: '{"consent": "perhaps"}' }, 400],
      [
        5,
        { headers: [PACKAGE], type: INFO_TYPE, body: '{"consent": "withdrawn", "participant": "bob"}' },
        400,
      ],
      [6, { type: "text/plain", body: "hello" }, 415],
      [7, {}, 200],
      [8, { type: "application/dtmf-relay", body: "Signal=flash\r\n" }, 200],
    ];
    for (const [cseq, parts, status] of asked) {
      const response = await phone.ask("INFO", { ...parts, toTag, cseq });
      expect([cseq, response.status]).toEqual([cseq, status]);
      if (status === 469) expect(headerOf(response, "Recv-Info")).toBe("tonetap-consent");
    }
    expect((await phone.ask("INFO", { toTag: "another", cseq: 9 })).status).toBe(481);
    expect(toldOf("wrong")).toEqual([]);
    await phone.ask("BYE", { toTag, cseq: 10 });
  });

  test("keys: *9 as RFC 4733 events among PCMU, with 2 of 3 packets lost, and *1 as INFO of a gateway", async () => {
    await using phone = await Phone.udp(udp());
    const { toTag, rtp } = await phone.call({
      headers: sipHeaders("keys"),
      body: offer({ media: "RTP/AVP 0 101", extra: ["a=rtpmap:101 telephone-event/8000", "a=rtcp-mux"] }),
    });
    await using peer = await UdpPeer.open();
    const voice = new RtpStream({ codec: PCMU, payloadType: 0 });
    const speak = async () => peer.send(voice.packet({ payload: new Uint8Array(160).fill(0xd5) }), rtp);
    const key = async (event: number, number: number) => {
      const packet = voice.packet({ payload: Uint8Array.of(event, 0x0a, 0, 160) });
      packet[1] = 0x80 | 101;
      // One timestamp a press.
      Buffer.from(packet.buffer, packet.byteOffset).writeUInt32BE(80_000 + number * 1_600, 4);
      await peer.send(packet, rtp);
    };
    for (let i = 0; i < 5; i++) await speak();
    await key(10, 0);
    await speak();
    await key(9, 1);
    await key(9, 1);
    await eventually(() => toldOf("keys").length === 3);
    expect(toldOf("keys")).toEqual(WITHDRAWN);
    for (const [cseq, signal] of [
      [2, "*"],
      [3, "1"],
    ] as const) {
      const body = `Signal=${signal}\r\nDuration=160\r\n`;
      expect((await phone.ask("INFO", { toTag, cseq, type: "application/dtmf-relay", body })).status).toBe(
        200,
      );
    }
    await eventually(() => toldOf("keys").includes("resumed consent-granted"));
    expect(byOf("keys")).toEqual(["keys", "keys"]);
    await phone.ask("BYE", { toTag, cseq: 4 });
  });

  test("of a recording of 2 an INFO names who withdraws; who names nobody withdraws for both, and agrees for none", async () => {
    await using phone = await Phone.stream(service.sip?.addresses.get("tcp") ?? expect.unreachable());
    const granted = '<consent xmlns="urn:tonetap:siprec:1">granted</consent>';
    const people = [
      { id: "anna", sends: ["1"], extra: granted },
      { id: "ben", sends: ["2"], extra: granted },
    ];
    const streams = streamsOffer([{ label: "1" }, { label: "2" }]);
    const headers = ["Require: siprec", "X-Tonetap-Call: rec"];
    const ok = await phone.ask("INVITE", {
      headers,
      type: MIXED_TYPE,
      body: multipart(streams, metadata(people)),
    });
    const toTag = tagOf(ok);
    await phone.send(phone.compose("ACK", { toTag }));
    const say = async (cseq: number, json: object) =>
      (
        await phone.ask("INFO", {
          ...{ toTag, cseq, headers: [PACKAGE], type: INFO_TYPE },
          body: JSON.stringify(json),
        })
      ).status;
    expect(await say(2, { consent: "withdrawn", participant: "ben" })).toBe(200);
    expect([toldOf("rec"), toldOf("rec", "ben")]).toEqual([[], WITHDRAWN]);
    expect(await say(3, { consent: "granted" })).toBe(400);
    expect(await say(4, { consent: "withdrawn" })).toBe(200);
    expect([toldOf("rec"), toldOf("rec", "ben")]).toEqual([WITHDRAWN, WITHDRAWN]);
    // The metadata, said again, undoes none of it.
    const update = metadata([{ id: "anna", extra: granted }], "partial");
    await phone.ask("UPDATE", { type: "application/rs-metadata+xml", body: update, toTag, cseq: 5 });
    expect(service.engine.participant("rec", "anna").consent).toBe("withdrawn");
    await phone.ask("BYE", { toTag, cseq: 6 });
  });

  test.skipIf(!hasPeer("sipp"))(
    "sipp sends an INFO in mid-call: its caller has withdrawn, and hears 200",
    async () => {
      const voice = await telephoneVoice("anna", 0, 1_500);
      const scenario = callScenario({ headers: sipHeaders("sipp"), plays: true, lengthMs: 1_000 })
        .replace(
          '<pause milliseconds="1000"/>',
          `<pause milliseconds="500"/>
      <send retrans="500"><![CDATA[
        INFO [next_url] SIP/2.0
        Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
        From: Anna <sip:anna@[local_ip]:[local_port]>;tag=[pid]t[call_number]
        [last_To:]
        [last_Call-ID:]
        CSeq: 77 INFO
        Contact: <sip:anna@[local_ip]:[local_port]>
        Info-Package: tonetap-consent
        X-Tonetap-Consent: withdrawn
        Content-Length: 0

      ]]></send>
      <recv response="200"/>`,
        )
        .replace(/CSeq: \[cseq\] BYE/, "CSeq: 78 BYE");
      const { code, log } = await runSipp({ scenario, transport: "u1", port: udp().port, voice: voice.pcmu });
      expect(code, log).toBe(0);
      expect(toldOf("sipp").slice(0, 3)).toEqual(WITHDRAWN);
    },
  );

  test("WHIP: the answer links to our extension; a PUT there withdraws and grants, 5 others are refused", async () => {
    const publisher = await createPublisher();
    const session = new URL("/whip?call=whip&participant=anna&consent=granted", service.url);
    const created = await fetch(session, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: publisher.offer,
    });
    await publisher.connect(await created.text());
    const [, path = ""] =
      /<([^>]+)>; rel="urn:tonetap:whip:ext:consent"/.exec(created.headers.get("link") ?? "") ?? [];
    const put = async (body: string, type = "application/json", method = "PUT") =>
      (await fetch(new URL(path, service.url), { method, headers: { "content-type": type }, body })).status;
    expect(await put('{"consent": "withdrawn"}')).toBe(204);
    expect(toldOf("whip")).toEqual(WITHDRAWN);
    expect(await put('{"consent": "granted"}')).toBe(204);
    await eventually(() => toldOf("whip").length === 5);
    expect(toldOf("whip")).toEqual([...WITHDRAWN, ...GRANTED]);
    expect(byOf("whip")).toEqual(["WHIP", "WHIP"]);
    expect([
      await put('{"consent": "pending"}'),
      await put("hello"),
      await put('{"consent": "granted"}', "text/plain"),
      await put('{"consent": "granted"}', "application/json", "POST"),
    ]).toEqual([400, 400, 415, 405]);
    await fetch(new URL(created.headers.get("location") ?? "", service.url), { method: "DELETE" });
    expect(await put('{"consent": "granted"}')).toBe(404);
    await publisher.close();
  });

  test("Media Streams: 2 dtmf messages take it back, our own consent message gives it again, of its track only", async () => {
    const peer = await Peer.open(`${media()}twilio`, {});
    peer.send(
      twilio.connected,
      twilio.start({ call: "twilio", consent: "granted", outboundConsent: "granted" }, [
        "inbound",
        "outbound",
      ]),
    );
    const digit = (digit: string) => ({ ...twilio.dtmf, dtmf: { track: "inbound_track", digit } });
    peer.send(digit("*"), digit("9"));
    await eventually(() => toldOf("twilio", "inbound").length === 3);
    expect(toldOf("twilio", "inbound")).toEqual(WITHDRAWN);
    peer.send({ event: "consent", track: "inbound", consent: "granted" });
    await eventually(() => toldOf("twilio", "inbound").length === 5);
    expect([byOf("twilio", "inbound"), toldOf("twilio", "outbound")]).toEqual([["keys", "message"], []]);
    peer.send(twilio.stop);
    await peer.closed;
  });

  test("AudioHook: 2 keys of the customer take back what was granted", async () => {
    const peer = await Peer.open(`${media()}audiohook?call=hook&participant=anna&consent=granted`, {});
    const id = "e160e428-53e2-487c-977d-96989bf5c99d";
    let seq = 0;
    const say = (type: string, parameters: object = {}) =>
      peer.send({ version: "2", id, type, seq: ++seq, serverseq: 0, position: "PT0S", parameters });
    say("open", {
      organizationId: "d7934305-0972-4844-938e-9060eef73d05",
      conversationId: "090eaa2f-72fa-480a-83e0-8667ff89c0ec",
      participant: {
        id: "883efee8-3d6c-4537-b500-6d7ca4b92fa0",
        ani: "+1-555-555-1234",
        aniName: "Anna",
        dnis: "1",
      },
      media: [{ type: "audio", format: "PCMU", channels: ["external"], rate: 8000 }],
    });
    await peer.said("opened");
    say("dtmf", { digit: "*" });
    say("dtmf", { digit: "9" });
    await eventually(() => toldOf("hook").length === 3);
    expect([toldOf("hook"), byOf("hook")]).toEqual([WITHDRAWN, ["keys"]]);
    peer.socket.terminate();
  });

  test("AudioSocket: 2 frames of keys take back what was granted", async () => {
    const uuid = "0f0e0d0c-0b0a-0908-0706-050403020100";
    const { host, port } = service.audioSocket?.address ?? expect.unreachable("no AudioSocket");
    const call = connectTcp(port, host).resume();
    call.write(
      Buffer.concat([
        audioSocketFrame(FRAME.uuid, Buffer.from(uuid.replaceAll("-", ""), "hex")),
        ...["*", "9"].map((key) => audioSocketFrame(FRAME.dtmf, Buffer.from(key))),
      ]),
    );
    await eventually(() => toldOf(uuid, "caller").length === 3);
    expect(toldOf(uuid, "caller")).toEqual(WITHDRAWN);
    call.destroy();
  });

  test("speech that runs: withdrawn by INFO, no emotion follows within 1.5 s, and windows that waited are discarded", async () => {
    await using phone = await Phone.udp(udp());
    const { toTag, rtp } = await phone.call({ headers: sipHeaders("speech") });
    const emotions: number[] = [];
    const watching = service.engine.events$.subscribe((event) => {
      if (event.type === "tonetap.emotion" && event.data.callId === "speech")
        emotions.push(performance.now());
    });
    const sender = await createRtpSender({ clock: systemClock, codec: PCMU, payloadType: 0, ...rtp });
    const voice = await telephoneVoice("anna", 500, 8_000);
    const frames = Array.from({ length: 400 }, (_, i) => ({
      payload: voice.pcmu.subarray(i * 160, i * 160 + 160),
      durationTicks: 160,
    }));
    const playing = sender.play(frames);
    await eventually(() => emotions.length > 0);
    await phone.ask("INFO", { toTag, cseq: 2, headers: [PACKAGE, "X-Tonetap-Consent: withdrawn"] });
    const heard = emotions.length;
    expect(toldOf("speech")).toEqual(WITHDRAWN);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(emotions.length).toBe(heard);
    watching.unsubscribe();
    await phone.ask("BYE", { toTag, cseq: 3 });
    await playing.catch(() => "its receiver has gone");
    await sender.close();
  });
});
