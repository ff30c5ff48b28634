/** Media from a real peer (werift) over loopback: SRTP, RTCP and how sessions end. Browsers are whip-chromium.test.ts. */

import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  RTCPeerConnection,
  RTCRtpCodecParameters,
  RTCRtpHeaderExtensionParameters,
  RtcpSenderInfo,
  RtcpSrPacket,
} from "werift";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import type { RtpPacket, SenderReport } from "../../../src/core/rtp.ts";
import { attachPeer, createWhipEndpoint, type WhipEndpoint } from "../../../src/transport/werift/index.ts";
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
const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 6_000 });

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
    for (let tries = 0; tries < 150 && !isDeepStrictEqual(heldResources(), nothing); tries++) await sleep(20);
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

  it("asks for 3 packets again, and gets the 2 that the peer still has", async () => {
    const { answer } = await publish();
    await publisher.connect(answer);
    for (let i = 100; i < 110; i++) publisher.send(i, payload(i));
    await eventually(() => heard.packets.length).toBe(10);

    source.requestRetransmission?.([103, 105, 300]);
    await eventually(() => heard.packets.length).toBe(12);

    expect(publisher.nacked).toEqual([103, 105, 300]);
    expect(heard.packets.slice(10).map(({ sequence }) => sequence)).toEqual([103, 105]);
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

describe("attachPeer", () => {
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
