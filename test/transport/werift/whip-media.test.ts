/** Media from a real peer (werift) over loopback: SRTP, RTCP and how sessions end. Browsers are whip-chromium.test.ts. */

import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  RTCPeerConnection,
  RTCRtpCodecParameters,
  RTCRtpHeaderExtensionParameters,
  type RtcpReceiverInfo,
  RtcpRrPacket,
  RtcpSenderInfo,
  RtcpSrPacket,
} from "werift";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import type { RtpPacket, SenderReport } from "../../../src/core/rtp.ts";
import { attachPeer, createWhipEndpoint, type WhipEndpoint } from "../../../src/transport/werift/index.ts";
import type { WeriftSource } from "../../../src/transport/werift/werift-source.ts";
import { AUDIO_LEVEL_URI } from "../../../src/transport/werift/whip-offer.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import {
  ask,
  createPublisher,
  detail,
  heldResources,
  LOOPBACK,
  OPUS_TYPE,
  type Publisher,
} from "./whip-peer.ts";

const INACTIVITY_MS = 10_000;
const payload = (id: number): Uint8Array => Uint8Array.of(9 << 3, id);

/** Machines may be busy: what comes, comes within 6 s. */
const eventually = <T>(read: () => T) => expect.poll(read);

/** Everything a source says. */
function listen(source: AudioSource) {
  const heard = { packets: [] as RtpPacket[], reports: [] as SenderReport[], end: "open" };
  source.packets.subscribe({
    next: (packet) => heard.packets.push(packet),
    error: (error: Error) => {
      heard.end = error.message;
    },
    complete: () => {
      heard.end = "complete";
    },
  });
  source.senderReports?.subscribe((report) => heard.reports.push(report));
  return heard;
}

/** Does something else with what the publisher sends; the returned function ends that. */
function tamper({ peer }: Publisher, handle: (datagram: Buffer, send: (datagram: Buffer) => void) => void) {
  const connection = peer.iceTransports[0]?.connection;
  if (connection === undefined) throw new Error("the publisher has no transport");
  const send = connection.send.bind(connection);
  connection.send = async (datagram) => handle(datagram, (one) => void send(one));
  return () => {
    connection.send = send;
  };
}

describe("A WHIP session with a real peer", () => {
  let clock: ManualClock;
  let endpoint: WhipEndpoint;
  let source: AudioSource;
  let heard: ReturnType<typeof listen>;
  let publisher: Publisher;

  const publish = async (change: (offer: string) => string = (offer) => offer) => {
    const response = await ask(endpoint, "POST", "/whip", { body: change(publisher.offer) });
    expect(response.status).toBe(201);
    return {
      path: response.headers.location ?? "",
      etag: response.headers.etag ?? "",
      answer: response.body,
    };
  };

  beforeEach(async () => {
    clock = new ManualClock(5_000);
    endpoint = createWhipEndpoint({
      ...LOOPBACK,
      clock,
      inactivityMs: INACTIVITY_MS,
      onSession: (opened) => {
        source = opened;
        heard = listen(opened);
      },
    });
    publisher = await createPublisher();
  });
  /** Every test ends here: whatever happened, nothing is left. */
  afterEach(async () => {
    await endpoint.close();
    await publisher.close();
    expect(clock.pending).toBe(0);
    const nothing = { sockets: 0, timers: 0 };
    for (let tries = 0; tries < 1_000 && !isDeepStrictEqual(heldResources(), nothing); tries++)
      await sleep(20);
    expect(heldResources()).toEqual(nothing);
  });

  it("gives 20 packets as sent: sequence across the wrap, timestamp, payload, level and arrival", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    for (let i = 0; i < 20; i++)
      publisher.send((65_530 + i) & 0xffff, payload(i), { voice: i % 2 === 0, level: i });
    await eventually(() => heard.packets.length).toBe(20);

    expect(heard.packets.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 20 }, (_, i) => (65_530 + i) & 0xffff),
    );
    expect(heard.packets[3]).toMatchObject({
      payloadType: OPUS_TYPE,
      timestamp: (65_533 * 960) >>> 0,
      audioLevel: { voice: false, level: 3 },
      arrivalMs: 5_000,
    });
    expect([...(heard.packets[3]?.payload ?? [])]).toEqual([...payload(3)]);
    expect(new Set(heard.packets.map(({ ssrc }) => ssrc)).size).toBe(1);
  });

  it("reads a sender report's 32.32 fixed-point time as ms, and skips the 1 report of a sender without clock", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    const report = (ssrc: number, ntpTimestamp: bigint): RtcpSrPacket =>
      new RtcpSrPacket({
        ssrc,
        senderInfo: new RtcpSenderInfo({
          ntpTimestamp,
          rtpTimestamp: 0xffff_fff0,
          packetCount: 1,
          octetCount: 1,
        }),
      });
    // 2026-01-01T00:00:00.250Z: 3,976,214,400 s after 1900.
    await publisher.peer.dtlsTransports[0]?.sendRtcp([
      report(7, 0n),
      report(8, (3_976_214_400n << 32n) | (1n << 30n)),
    ]);
    await eventually(() => heard.reports.length).toBe(1);

    expect(heard.reports).toEqual([
      { ssrc: 8, ntpWallMs: Date.UTC(2026, 0, 1) + 250, rtpTimestamp: 0xffff_fff0, arrivalMs: 5_000 },
    ]);
  });

  it("asks for 3 packets again, and gets the 2 that were lost and that the peer still has", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    const heal = tamper(publisher, (datagram, send) => {
      if (![103, 105].includes(datagram.readUInt16BE(2))) send(datagram);
    });
    for (let i = 100; i < 110; i++) publisher.send(i, payload(i));
    await eventually(() => heard.packets.length).toBe(8);
    heal();

    source.requestRetransmission?.([103, 105, 300]);
    await eventually(() => heard.packets.length).toBe(10);

    expect(publisher.nacked).toEqual([103, 105, 300]);
    expect(heard.packets.slice(8).map(({ sequence }) => sequence)).toEqual([103, 105]);
  });

  it("reads all by its own SRTP: of 10 packets sent 3 times, each also forged, 10 pass", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    tamper(publisher, (datagram, send) => {
      const forged = Buffer.from(datagram);
      forged.writeUInt8(forged.readUInt8(20) ^ 1, 20);
      for (const one of [forged, datagram, datagram, datagram]) send(one);
    });
    for (let i = 0; i < 10; i++) publisher.send(i, payload(i));
    await eventually(() => source.refused).toEqual({ "srtp-not-authentic": 10, "srtp-replayed": 20 });

    expect(heard.packets).toHaveLength(10);
    const { srtp } = source as WeriftSource;
    expect(srtp?.suite).toBe("AEAD_AES_128_GCM");
    expect(srtp?.stats).toMatchObject({ rtp: 10 });
  });

  it("tells the peer once a second how its packets arrive: 2 of 10 lost, and when it last reported", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    const blocks: RtcpReceiverInfo[] = [];
    publisher.peer.dtlsTransports[0]?.onRtcp.subscribe((packet) => {
      if (packet instanceof RtcpRrPacket) blocks.push(...packet.reports);
    });
    publisher.send(0, payload(0));
    await eventually(() => heard.packets.length).toBe(1);
    const [{ ssrc } = { ssrc: 0 }] = heard.packets;
    await publisher.peer.dtlsTransports[0]?.sendRtcp([
      new RtcpSrPacket({
        ssrc,
        senderInfo: new RtcpSenderInfo({
          ntpTimestamp: (3_976_214_400n << 32n) | (1n << 30n),
          rtpTimestamp: 0,
          packetCount: 1,
          octetCount: 1,
        }),
      }),
    ]);
    await eventually(() => heard.reports.length).toBe(1);
    for (let i = 1; i < 10; i++) if (i !== 4 && i !== 6) publisher.send(i, payload(i));
    await eventually(() => heard.packets.length).toBe(8);
    clock.advance(1_000);
    await eventually(() => blocks.length).toBe(1);

    expect(blocks[0]).toMatchObject({
      ssrc,
      packetsLost: 2,
      fractionLost: Math.floor((256 * 2) / 10),
      highestSequence: 9,
      lsr: Number(((3_976_214_400n & 0xffffn) << 16n) | 0x4000n),
      dlsr: 65_536,
    });
  });

  it("takes 1,000 packets a second of one publisher, and counts the other 200", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    const came = (): number => heard.packets.length + (source.refused?.["over-rate"] ?? 0);
    for (let i = 0; i < 1_200; i++) {
      publisher.send(i, payload(i));
      // No more at once than a socket holds.
      if (i % 100 === 99) await eventually(came).toBe(i + 1);
    }
    expect(source.refused).toEqual({ "over-rate": 200 });

    expect(heard.packets).toHaveLength(1_000);
  });

  it("passes a padding-only packet on as an empty payload, since it takes a sequence number", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    for (const [sequence, body] of [payload(1), new Uint8Array(0), payload(3)].entries()) {
      publisher.send(sequence, body);
    }
    await eventually(() => heard.packets.length).toBe(3);

    expect(heard.packets.map((packet) => packet.payload.length)).toEqual([2, 0, 2]);
  });

  it("is the passive side for an active peer: 1 packet comes through", async () => {
    const { answer } = await publish((offer) => offer.replace("a=setup:actpass", "a=setup:active"));
    expect(answer).toContain("a=setup:passive\r\n");
    await publisher.connect(answer);

    publisher.send(1, payload(1));
    await eventually(() => heard.packets.length).toBe(1);
  });

  it("completes on DELETE while 1 peer goes on sending, and gives back every socket and timer", async () => {
    const { path, answer } = await publish();
    await publisher.connect(answer);
    publisher.send(1, payload(1));
    await eventually(() => heard.packets.length).toBe(1);

    const { status } = await ask(endpoint, "DELETE", path);
    publisher.send(2, payload(2));

    expect(status).toBe(200);
    expect(heard.end).toBe("complete");
    expect(heard.packets).toHaveLength(1);
  });

  it(`completes ${INACTIVITY_MS} ms after the last packet, no sooner`, async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    clock.advance(INACTIVITY_MS - 1);
    publisher.send(1, payload(1));
    await eventually(() => heard.packets.length).toBe(1);
    await publisher.close();

    clock.advance(INACTIVITY_MS - 1);
    await new Promise(setImmediate);
    expect(heard.end).toBe("open");
    clock.advance(1);
    await eventually(() => heard.end).toBe("complete");
    expect(endpoint.sessionCount).toBe(0);
  });

  it(`ends a session whose peer never connects after ${INACTIVITY_MS} ms`, async () => {
    await publish();
    clock.advance(INACTIVITY_MS);

    await eventually(() => heard.end).toBe("complete");
    expect(endpoint.sessionCount).toBe(0);
  });

  it("errors when the certificate is not the 1 announced by fingerprint", async () => {
    const { answer } = await publish((offer) =>
      offer.replace(
        /(a=fingerprint:sha-256 )(..)/,
        (_, head: string, byte: string) => head + (byte === "00" ? "01" : "00"),
      ),
    );
    await publisher.connect(answer);

    await eventually(() => heard.end).toBe("ICE or DTLS with the WHIP publisher failed");
    expect(endpoint.sessionCount).toBe(0);
  });

  it("restarts ICE 2 times: new credentials and ETag, the same DTLS, every packet before, between and after", async () => {
    const { path, answer, etag } = await publish();
    await publisher.connect(answer);
    publisher.send(1, payload(1));
    await eventually(() => heard.packets.length).toBe(1);
    const seen = new Set([etag]);
    const ufrags = new Set([/a=ice-ufrag:(\S+)/.exec(answer)?.[1]]);

    for (const round of [1, 2]) {
      const { fragment, take } = await publisher.restartIce();
      const { status, headers, body } = await ask(endpoint, "PATCH", path, {
        headers: { "if-match": "*" },
        body: fragment,
      });
      expect([status, headers["content-type"]]).toEqual([200, "application/trickle-ice-sdpfrag"]);
      seen.add(headers.etag ?? "");
      ufrags.add(/a=ice-ufrag:(\S+)/.exec(body)?.[1]);
      expect(body).toMatch(/^a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 \d+ typ host/m);
      await take(body);
      publisher.send(1 + round, payload(1 + round));
      await eventually(() => heard.packets.length).toBe(1 + round);
      // Our own packets take the new path as well.
      source.requestRetransmission?.([round]);
      await eventually(() => publisher.nacked.length).toBe(round);
    }

    expect([seen.size, ufrags.size]).toEqual([3, 3]);
    expect(publisher.peer.connectionState).toBe("connected");
    expect(endpoint.sessionCount).toBe(1);
  });

  it("refuses 5 wrong ICE restarts, after which the session goes on as it was", async () => {
    const { path, answer, etag } = await publish();
    const patch = async (body: string, match = "*") => {
      const response = await ask(endpoint, "PATCH", path, { headers: { "if-match": match }, body });
      return [response.status, response.status === 204 ? "" : detail(response)];
    };
    const fresh = "a=ice-ufrag:new4\r\na=ice-pwd:0123456789012345678901\r\n";

    expect(await patch(fresh)).toEqual([409, expect.stringContaining("no connection whose ICE could be")]);
    await publisher.connect(answer);
    expect(await patch(fresh, '"other"')).toEqual([412, "If-Match names another ICE session"]);
    expect(await patch("a=ice-ufrag:new4\r\n")).toEqual([
      400,
      "an ICE restart needs a=ice-ufrag and a=ice-pwd",
    ]);
    expect(await patch("a=ice-ufrag:no\r\n")).toEqual([400, "a=ice-ufrag must be 4–256 ice-chars"]);
    expect(await patch("a=ice-ufrag:new4\r\na=ice-pwd:short\r\n")).toEqual([
      400,
      "a=ice-pwd must be 22–256 ice-chars",
    ]);
    expect(await patch("a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n", etag)).toEqual([204, ""]);
    publisher.send(1, payload(1));
    await eventually(() => heard.packets.length).toBe(1);
  });

  it("takes packets by the old path while an ICE restart finds none, and refuses the 65th and old credentials", async () => {
    const { path, answer } = await publish();
    await publisher.connect(answer);
    publisher.send(0, payload(0));
    await eventually(() => heard.packets.length).toBe(1);
    const patch = (ufrag: string) =>
      ask(endpoint, "PATCH", path, {
        headers: { "if-match": "*" },
        body: `a=ice-ufrag:${ufrag}\r\na=ice-pwd:0123456789012345678901\r\n`,
      });

    const statuses = await Promise.all(
      Array.from({ length: 64 }, async (_, i) => (await patch(`gone${i}`)).status),
    );
    publisher.send(1, payload(1));
    await eventually(() => heard.packets.length).toBe(2);
    const [again, another] = [await patch("gone0"), await patch("gone64")];

    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(detail(again)).toBe("these ICE credentials are of an earlier ICE session");
    expect(detail(another)).toBe("after 64 ICE restarts, publish anew");
    expect([again.status, another.status]).toEqual([409, 409]);
    // Nothing comes any more: the session ends as every other does.
    clock.advance(INACTIVITY_MS);
    await eventually(() => heard.end).toBe("complete");
  });

  it("survives 500 datagrams of noise on its port: the next packet comes through", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    publisher.send(1, payload(1));
    await eventually(() => heard.packets.length).toBe(1);

    const { connection } = publisher.peer.iceTransports[0] ?? {};
    for (let i = 0; i < 500; i++) {
      const noise = Buffer.alloc(1 + (i % 97), i * 37);
      // First byte by turns: RTP, RTCP, DTLS, STUN, anything (RFC 7983 §7).
      noise[0] = [0x80, 0xbf, 0x16, 0x00, i & 0xff][i % 5] ?? 0;
      if (i % 10 === 1 && noise.length > 1) noise[1] = 200;
      await connection?.send(noise);
      // More would overflow the socket's buffer, and packet 2 with it.
      if (i % 50 === 0) await sleep(1);
    }
    await sleep(10);
    publisher.send(2, payload(2));
    await eventually(() => heard.packets.map(({ sequence }) => sequence)).toEqual([1, 2]);
  });
});

describe("WHIP by werift's own SRTP", () => {
  it("gives the same 5 packets, levels and report", async () => {
    let heard: ReturnType<typeof listen> | undefined;
    let source: AudioSource | undefined;
    await using endpoint = createWhipEndpoint({
      ...LOOPBACK,
      ownSrtp: false,
      onSession: (opened) => {
        source = opened;
        heard = listen(opened);
      },
    });
    const publisher = await createPublisher();
    const { body } = await ask(endpoint, "POST", "/whip", { body: publisher.offer });
    await publisher.connect(body);
    for (let i = 0; i < 5; i++) publisher.send(i, payload(i), { voice: true, level: i });
    await eventually(() => heard?.packets.length).toBe(5);

    expect(heard?.packets.map(({ audioLevel }) => audioLevel?.level)).toEqual([0, 1, 2, 3, 4]);
    expect((source as WeriftSource).srtp).toBeUndefined();
    await publisher.close();
  });
});

/** A program's own connection, which answers `publisher`. */
async function answering(publisher: Publisher): Promise<RTCPeerConnection> {
  const peer = new RTCPeerConnection({
    iceServers: [],
    ...LOOPBACK,
    codecs: {
      audio: [new RTCRtpCodecParameters({ mimeType: "audio/opus", clockRate: 48_000, channels: 2 })],
      video: [],
    },
  });
  for (const { connection } of peer.iceTransports) delete connection.stunServer;
  await peer.setRemoteDescription({ type: "offer", sdp: publisher.offer });
  await peer.setLocalDescription(await peer.createAnswer());
  return peer;
}

describe("attachPeer", () => {
  it("joins after a wrap: the program had 20 packets by werift's SRTP, both have 5 more by ours", async () => {
    const publisher = await createPublisher();
    const peer = await answering(publisher);
    const program: number[] = [];
    peer
      .getTransceivers()[0]
      ?.receiver.tracks[0]?.onReceiveRtp.subscribe(({ header }) => program.push(header.sequenceNumber));
    await publisher.connect(peer.localDescription?.sdp ?? "");
    for (let i = 0; i < 20; i++) publisher.send((65_530 + i) & 0xffff, payload(i));
    await eventually(() => program.length).toBe(20);

    const source = attachPeer(peer);
    const heard = listen(source);
    for (let i = 20; i < 25; i++) publisher.send((65_530 + i) & 0xffff, payload(i));
    await eventually(() => program.length).toBe(25);

    expect(heard.packets.map(({ sequence }) => sequence)).toEqual([14, 15, 16, 17, 18]);
    expect((source as WeriftSource).srtp?.stats).toMatchObject({ rtp: 5, rejected: { "not-authentic": 0 } });
    await source.close();
    publisher.send(19, payload(25));
    await eventually(() => program.length).toBe(26);
    await peer.close();
    await publisher.close();
  });

  it("warns once and leaves 5 packets to werift's SRTP where werift is not as expected", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    const publisher = await createPublisher();
    const peer = await answering(publisher);
    const [transport] = peer.dtlsTransports;
    const update = transport?.updateSrtpSession.bind(transport);
    if (transport !== undefined && update !== undefined) {
      transport.updateSrtpSession = () => {
        update();
        transport.srtp.config = { ...transport.srtp.config, profile: 0x99 };
      };
    }
    const sources = [attachPeer(peer), attachPeer(peer)];
    const [heard] = sources.map(listen);
    await publisher.connect(peer.localDescription?.sdp ?? "");
    for (let i = 0; i < 5; i++) publisher.send(i, payload(i));
    await eventually(() => heard?.packets.length).toBe(5);
    await eventually(() => warnings.length).toBe(1);
    process.off("warning", onWarning);

    expect(warnings[0]).toMatchObject({
      code: "TONETAP_WERIFT_SRTP",
      message:
        "werift is not as expected (SRTP profile 153 is unknown): its own SRTP is used, which is slower",
    });
    expect(sources.map((source) => (source as WeriftSource).srtp)).toEqual([undefined, undefined]);
    await peer.close();
    await publisher.close();
  });

  it("gives the packets of 1 audio track of the program's own connection, and leaves the connection open", async () => {
    const clock = new ManualClock();
    const publisher = await createPublisher();
    const peer = new RTCPeerConnection({
      iceServers: [],
      ...LOOPBACK,
      codecs: {
        audio: [new RTCRtpCodecParameters({ mimeType: "audio/opus", clockRate: 48_000, channels: 2 })],
        video: [],
      },
      headerExtensions: { audio: [new RTCRtpHeaderExtensionParameters({ uri: AUDIO_LEVEL_URI })] },
    });
    expect(() => attachPeer(peer)).toThrow("the peer connection receives no audio track");
    await peer.setRemoteDescription({ type: "offer", sdp: publisher.offer });
    await peer.setLocalDescription(await peer.createAnswer());
    const first = attachPeer(peer, { clock });
    const second = attachPeer(peer, { clock });
    const [heard, heardToo] = [listen(first), listen(second)];
    await publisher.connect(peer.localDescription?.sdp ?? "");

    publisher.send(7, payload(7), { voice: true, level: 33 });
    await eventually(() => heard.packets.length).toBe(1);
    await first.close();
    publisher.send(8, payload(8));
    await eventually(() => heardToo.packets.length).toBe(2);

    expect([...first.codecs]).toEqual([
      [OPUS_TYPE, { mimeType: "audio/opus", clockRateHz: 48_000, channels: 2 }],
    ]);
    expect(heard.packets[0]?.audioLevel).toEqual({ voice: true, level: 33 });
    expect([heard.packets.length, heard.end, heardToo.end]).toEqual([1, "complete", "open"]);
    expect(peer.connectionState).toBe("connected");
    await peer.close();
    await eventually(() => heardToo.end).toBe("complete");
    expect(clock.pending).toBe(0);
    await publisher.close();
  });
});
