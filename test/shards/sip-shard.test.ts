/** SIP calls and recordings, by a phone of bare sockets over loopback, whose audio a shard's thread receives. */
import { afterEach, describe, expect, test } from "vitest";
import type { ConfigInput } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { PCMU } from "../../src/core/rtp.ts";
import type { Engine } from "../../src/engine.ts";
import type { ShardPool } from "../../src/shards/shard-pool.ts";
import { ShardSource } from "../../src/shards/shard-source.ts";
import { createRtpSender, RtpStream } from "../../src/transport/index.ts";
import { createSipServer, type SipServer, type SipServerOptions } from "../../src/transport/sip/index.ts";
import { createSdes, formatSdes, SrtpSender } from "../../src/transport/srtp/index.ts";
import { openEngine, type Recorder } from "../engine/support.ts";
import { pcmuFrames, telephoneVoice } from "../support/pcmu.ts";
import { freePorts, Peer } from "../transport/loopback.ts";
import { offer } from "../transport/sip/messages.ts";
import { type Leg, Phone, sdpText, sendRtp, type Target, tagOf } from "../transport/sip/phone.ts";
import { MIXED_TYPE, metadata, multipart, streamsOffer } from "../transport/sip/siprec/documents.ts";

const PATIENT = { timeout: 15_000 };
const GRANTED = ["X-Tonetap-Call: test", "X-Tonetap-Participant: ada", "X-Tonetap-Consent: granted"];

describe("a SIP call on a shard", () => {
  let engine: Engine;
  let seen: Recorder;
  let server: SipServer;
  const defects: unknown[] = [];

  const open = async (options: Partial<SipServerOptions> = {}, config: ConfigInput = {}) => {
    ({ engine, seen } = await openEngine({ shards: { count: 1 }, overload: { control: "off" }, ...config }));
    server = await createSipServer({
      port: 0,
      openReception: engine.media.openSip,
      onError: (error) => defects.push(error),
      onCall: (source, { participant }) => engine.attach(source, participant),
      ...options,
    });
  };
  const udp = (): Target => server.addresses.get("udp") ?? expect.unreachable("no UDP");
  const pool = (): ShardPool => engine.media as ShardPool;
  const present = (): number => pool().shards.reduce((sum, { participants }) => sum + participants, 0);
  const received = (id = "ada"): number => engine.participant("test", id).jitterStats.received;
  const refused = (id = "ada") => engine.participant("test", id).takeQuality().refused ?? {};

  /** Every test ends here: whatever happened, nothing is left, and nothing was a defect. */
  afterEach(async () => {
    await server.close();
    expect(server.held).toEqual({ calls: 0, transactions: 0, connections: 0, rtpPorts: 0 });
    await expect.poll(present).toBe(0);
    expect(pool().windowsUnderWay).toBe(0);
    expect(pool().isWiped()).toBe(true);
    await engine.close();
    expect(defects.splice(0)).toEqual([]);
  });

  /** Nobody else has the port. */
  const expectFree = async ({ host, port }: Target): Promise<void> => {
    for (const each of [port, port + 1]) await (await Peer.open(host, each))[Symbol.asyncDispose]();
  };

  test("4 s of speech become emotions; a re-INVITE takes another payload type, hold counts music, INFO withdraws consent, and BYE frees both ports", async () => {
    await open();
    await using phone = await Phone.udp(udp());
    const { rtp, toTag } = await phone.call({ headers: GRANTED });
    expect(engine.participant("test", "ada").source).toBeInstanceOf(ShardSource);
    const { pcmu } = await telephoneVoice("anna", 0, 4_000);
    const sender = await createRtpSender({ clock: systemClock, codec: PCMU, payloadType: 0, ...rtp });
    await sender.play(pcmuFrames(pcmu));
    await sender.close();
    await seen.first("emotion");
    await expect.poll(() => received(), PATIENT).toBe(200);

    const reinvite = async (cseq: number, body: string): Promise<void> => {
      expect((await phone.ask("INVITE", { cseq, toTag, body })).status).toBe(200);
      await phone.send(phone.compose("ACK", { cseq, toTag }));
    };
    await reinvite(2, offer({ media: "RTP/AVP 8" }));
    await sendRtp(rtp, 30, undefined, new RtpStream({ codec: PCMU, payloadType: 8 }));
    await expect.poll(() => received(), PATIENT).toBe(230);
    expect(engine.participant("test", "ada").codec).toBe("audio/PCMA");
    await reinvite(3, offer({ media: "RTP/AVP 8", extra: ["a=inactive"] }));
    await sendRtp(rtp, 7, undefined, new RtpStream({ codec: PCMU, payloadType: 8 }));
    await expect.poll(() => refused(), PATIENT).toMatchObject({ "on-hold": 7 });

    await phone.ask("INFO", {
      ...{ toTag, cseq: 4, headers: ["Info-Package: tonetap-consent"] },
      ...{ type: "application/tonetap-consent+json", body: '{"consent": "withdrawn"}' },
    });
    await seen.first("participant.discarded");
    expect(pool().isWiped()).toBe(true);
    await phone.ask("BYE", { cseq: 5, toTag });
    const { data } = await seen.first("participant.left");
    expect(data).toMatchObject({ participantId: "ada", reason: "left" });
    await expect.poll(() => server.held.rtpPorts).toBe(0);
    await expectFree(rtp);
  });

  test("whose shard breaks down keeps its call and its 2 ports, and is heard by the next; silence for 4 s ends it there", async () => {
    await open({ inactivityMs: 4_000 });
    await using phone = await Phone.udp(udp());
    const { rtp } = await phone.call({ headers: GRANTED });
    const speaking = await Speaker.begin(rtp);
    await expect.poll(() => received(), PATIENT).toBeGreaterThan(0);

    await pool().replace(0);
    await seen.first("participant.recovered");
    const before = received();
    await expect.poll(() => received(), PATIENT).toBeGreaterThan(before);
    await speaking.end();
    expect([server.callCount, phone.requests("BYE").length]).toEqual([1, 0]);

    // Nothing comes any more.
    await phone.answer(await phone.request("BYE"));
    expect((await seen.first("participant.left")).data.reason).toBe("inactive");
    await expect.poll(() => server.callCount).toBe(0);
  });

  test("an SRTP call on a shard that breaks down fails, 1 BYE ends it, and its ports are free", async () => {
    await open();
    await using phone = await Phone.udp(udp());
    const crypto = createSdes(1, "AES_CM_128_HMAC_SHA1_80");
    const secured = { media: "RTP/SAVP 0", extra: ["a=rtcp-mux", `a=crypto:${formatSdes(crypto)}`] };
    const { rtp } = await phone.call({ headers: GRANTED, body: offer(secured) });
    await using media = await Peer.open();
    const sender = new SrtpSender(crypto);
    const stream = new RtpStream({ codec: PCMU, payloadType: 0 });
    const packet = () => stream.packet({ payload: new Uint8Array(160) });
    for (let i = 0; i < 10; i++) await media.send(sender.protectRtp(packet()), rtp);
    for (let i = 0; i < 3; i++) await media.send(packet(), rtp);
    await expect.poll(() => received(), PATIENT).toBe(10);
    await expect.poll(() => refused(), PATIENT).toEqual({ "srtp-not-authentic": 3 });

    await pool().replace(0);

    await phone.answer(await phone.request("BYE"));
    expect((await seen.first("participant.left")).data).toMatchObject({
      reason: "failed",
      error: { code: "unavailable", message: expect.stringContaining("a shard ended") },
    });
    expect(phone.requests("BYE")).toHaveLength(1);
    await expect.poll(() => server.held.rtpPorts).toBe(0);
    await expectFree(rtp);
  });

  test("of a range of 1 pair the second call gets 503, as does the first where another program has it; after BYE it is free again", async () => {
    const first = await freePorts(2);
    await open({ rtpPorts: [first, first + 1] });
    await using phone = await Phone.udp(udp());
    const invite = (callId: string) => {
      phone.callId = callId;
      return phone.ask("INVITE", { body: offer(), headers: [`X-Tonetap-Call: ${callId}`] });
    };
    const taken = await Peer.open("127.0.0.1", first + 1);
    expect((await invite("other-program")).status).toBe(503);
    await taken[Symbol.asyncDispose]();
    const ok = await invite("mine");
    expect(sdpText(ok)).toContain(`m=audio ${first} RTP/AVP`);
    await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
    expect((await invite("one-more")).status).toBe(503);
    phone.callId = "mine";
    await phone.ask("BYE", { cseq: 2, toTag: tagOf(ok) });

    let again = ok;
    const statusOf = async (): Promise<number> => {
      again = await invite(`again-${phone.received.length}`);
      return again.status;
    };
    await expect.poll(statusOf, PATIENT).toBe(200);
    await phone.send(phone.compose("ACK", { toTag: tagOf(again) }));
    await phone.ask("BYE", { cseq: 2, toTag: tagOf(again) });
  });

  test("5 calls that are cancelled while their ports are being opened leave none of them bound", async () => {
    const first = await freePorts(10);
    await open({ rtpPorts: [first, first + 9] });
    await using phone = await Phone.udp(udp());
    for (let i = 0; i < 5; i++) {
      phone.callId = `cancelled-${i}`;
      const branch = `z9hG4bKcancel${i}`;
      await phone.send(
        phone.compose("INVITE", { branch, body: offer(), headers: [`X-Tonetap-Call: c${i}`] }),
      );
      await phone.send(phone.compose("CANCEL", { branch }));
      const { status } = await phone.response("1 INVITE");
      await phone.send(phone.compose("ACK", { branch }));
      expect(status).toBe(487);
    }
    await expect.poll(() => server.held).toMatchObject({ calls: 0, rtpPorts: 0 });
    for (let port = first; port < first + 10; port += 2) await expectFree({ host: "127.0.0.1", port });
  });

  test("a server that is closed while a port is being opened has closed that port when it is closed: 0 are held", async () => {
    const first = await freePorts(2);
    await open({ rtpPorts: [first, first + 1] });
    await using phone = await Phone.udp(udp());
    await phone.send(phone.compose("INVITE", { body: offer() }));
    while (server.callCount === 0) await new Promise((resolve) => setImmediate(resolve));

    await server.close();

    expect(server.held).toMatchObject({ calls: 0, rtpPorts: 0 });
    await expectFree({ host: "127.0.0.1", port: first });
  });

  test("a recording of 2 lives in 2 shards: each is heard, one shard's end moves its own, silence of one stream ends nobody, and BYE ends both", async () => {
    await open(
      { participantDefaults: { role: "customer", consent: "granted" }, inactivityMs: 3_000 },
      { shards: { count: 2 } },
    );
    // That they started says nothing of their load.
    await expect
      .poll(() => Math.max(...pool().shards.map(({ utilization }) => utilization)))
      .toBeLessThan(0.02);
    await using phone = await Phone.stream(server.addresses.get("tcp") ?? expect.unreachable("no TCP"));
    const pcmu = { media: "RTP/AVP 0", lines: [] };
    const people = [
      { id: "ada", name: "Ada", sends: ["1"] },
      { id: "ben", name: "Ben", sends: ["2"] },
    ];
    const streams = streamsOffer([
      { label: "1", ...pcmu },
      { label: "2", ...pcmu },
    ]);
    const headers = ["Require: siprec", "X-Tonetap-Call: test"];
    const body = multipart(streams, metadata(people));
    const ok = await phone.ask("INVITE", { headers, type: MIXED_TYPE, body });
    expect(ok.status).toBe(200);
    const leg: Leg = { toTag: tagOf(ok), rtp: { host: "127.0.0.1", port: 0 } };
    await phone.send(phone.compose("ACK", { toTag: leg.toTag }));
    const [one = 0, two = 0] = [...sdpText(ok).matchAll(/^m=audio (\d+)/gm)].map(([, port]) => Number(port));
    expect(pool().shards.map(({ participants }) => participants)).toEqual([1, 1]);
    const at = (port: number): Target => ({ host: "127.0.0.1", port });
    const speakers = { ada: await Speaker.begin(at(one)), ben: await Speaker.begin(at(two)) };
    await expect.poll(() => Math.min(received("ada"), received("ben")), PATIENT).toBeGreaterThan(0);

    await pool().replace(0);
    const { data } = await seen.first("participant.recovered");
    const moved = data.participantId === "ada" ? "ada" : "ben";
    const before = received(moved);
    await expect.poll(() => received(moved), PATIENT).toBeGreaterThan(before);
    // The other is silent for longer than a recording may be.
    await speakers[moved === "ada" ? "ben" : "ada"].end();
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(seen.of("participant.left")).toEqual([]);
    expect(seen.of("participant.recovered")).toHaveLength(1);

    await speakers[moved].end();
    await phone.ask("BYE", { toTag: leg.toTag, cseq: 2 });
    expect((await seen.first("call.ended")).data).toMatchObject({ callId: "test", participants: 2 });
    await expect.poll(() => server.held.rtpPorts).toBe(0);
    await expectFree(at(one));
    await expectFree(at(two));
  });
});

/** Says something every 50 ms. */
class Speaker {
  readonly #peer: Peer;
  readonly #timer: NodeJS.Timeout;

  private constructor(peer: Peer, to: Target) {
    const stream = new RtpStream({ codec: PCMU, payloadType: 0 });
    this.#peer = peer;
    this.#timer = setInterval(
      () => void peer.send(stream.packet({ payload: new Uint8Array(160) }), to).catch(() => undefined),
      50,
    );
  }

  static async begin(to: Target): Promise<Speaker> {
    return new Speaker(await Peer.open(), to);
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#peer[Symbol.asyncDispose]();
  }
}
