/** RTP over real loopback UDP into a source: whom it listens to, what it counts, how it ends. */
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import type { RtpPacket, SenderReport } from "../../src/core/rtp.ts";
import { wallMs } from "../../src/core/units.ts";
import { isRtcp, parseRtcp, serializeBye, serializeSenderReport } from "../../src/transport/rtcp.ts";
import { audioLevelExtension, serializeRtp } from "../../src/transport/rtp-packet.ts";
import { createSdes, SRTP_SUITES, SrtpReceiver, SrtpSender } from "../../src/transport/srtp/index.ts";
import {
  createUdpRtpSource,
  type UdpRtpSource,
  type UdpRtpSourceOptions,
} from "../../src/transport/udp-rtp-source.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { eventually, Peer } from "./loopback.ts";
import { FRAME, opusPayload, payloadId } from "./packets.ts";

const open: UdpRtpSource[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((source) => source.close()));
});

async function listen(options: Partial<UdpRtpSourceOptions> = {}) {
  const source = await createUdpRtpSource({ clock: systemClock, ...options });
  open.push(source);
  const packets: RtpPacket[] = [];
  const reports: SenderReport[] = [];
  const ends: string[] = [];
  source.packets.subscribe({
    next: (packet) => packets.push(packet),
    error: (error: unknown) => ends.push(String(error)),
    complete: () => ends.push("complete"),
  });
  source.senderReports.subscribe((report) => reports.push(report));
  return { source, to: source.address, packets, reports, ends };
}

const rtp = (n: number, ssrc = 1, payloadType = 111): Uint8Array =>
  serializeRtp({ sequence: n, timestamp: n * FRAME, ssrc, payloadType, payload: opusPayload(n) });

const senderReport = (ssrc: number, wall: number): Uint8Array =>
  serializeSenderReport({ ssrc, ntpWallMs: wallMs(wall), rtpTimestamp: 5, packets: 1, octets: 2 });

test("100 packets over loopback arrive with their fields, and their payloads stay intact afterwards", async () => {
  const { to, packets, source } = await listen({ audioLevelId: 1 });
  await using peer = await Peer.open();
  const extensions = [audioLevelExtension(1, { voice: true, level: 33 })];
  for (let n = 0; n < 100; n++) {
    const fields = { sequence: n, timestamp: n * FRAME, ssrc: 7, payloadType: 111, payload: opusPayload(n) };
    await peer.send(serializeRtp({ ...fields, extensions }), to);
  }
  await eventually(() => packets.length === 100);
  packets.forEach((packet, n) => {
    expect(packet).toMatchObject({ sequence: n, ssrc: 7, audioLevel: { voice: true, level: 33 } });
    expect(Uint8Array.from(packet.payload)).toEqual(opusPayload(n));
  });
  expect(source.stats.packets).toBe(100);
  expect(source.remote).toEqual({ host: "127.0.0.1", port: peer.port });
});

test("the first valid sender wins: 3 packets of another port are foreign, and so was 1 of an unknown type", async () => {
  const { to, packets, source } = await listen();
  await using peer = await Peer.open();
  await using stranger = await Peer.open();
  await stranger.send(rtp(0, 9, 77), to);
  await eventually(() => source.stats.foreign === 1);
  await peer.send(rtp(0), to);
  await eventually(() => packets.length === 1);
  for (let n = 0; n < 3; n++) await stranger.send(rtp(n, 9), to);
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 2);
  expect(source.stats.foreign).toBe(4);
  expect(packets.every(({ ssrc }) => ssrc === 1)).toBe(true);
});

test("an SSRC that changes at the same address is passed on: 2 streams, 1 source", async () => {
  const { to, packets } = await listen();
  await using peer = await Peer.open();
  await peer.send(rtp(0, 1), to);
  await peer.send(rtp(5, 2), to);
  await eventually(() => packets.length === 2);
  expect(packets.map(({ ssrc }) => ssrc)).toEqual([1, 2]);
});

test("6 malformed datagrams are counted by reason and harm nothing", async () => {
  const { to, packets, source } = await listen();
  await using peer = await Peer.open();
  const bad = [
    [1, 2, 3],
    [0x40, 111, ...new Array<number>(10).fill(0)],
    [0x8f, 111, ...new Array<number>(10).fill(0)],
    [0x90, 111, ...new Array<number>(10).fill(0)],
    [0xa0, 111, ...new Array<number>(10).fill(0)],
    [0x80, 200, 0, 99],
  ];
  for (const bytes of bad) await peer.send(Uint8Array.from(bytes), to);
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  expect(source.stats.malformed).toEqual({
    "too-short": 1,
    "wrong-version": 1,
    "truncated-csrc": 1,
    "truncated-extension": 1,
    "bad-padding": 1,
    rtcp: 1,
  });
});

test("a sender report on the same port arrives with its NTP time, one of another SSRC does not", async () => {
  const { to, packets, reports } = await listen();
  await using peer = await Peer.open();
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  await peer.send(senderReport(99, 1e12), to);
  await peer.send(senderReport(1, 1_770_000_000_500), to);
  await eventually(() => reports.length === 1);
  expect(reports[0]).toMatchObject({ ssrc: 1, ntpWallMs: 1_770_000_000_500, rtpTimestamp: 5 });
});

test("a report right before the first packet is kept for it, 1 from another host or SSRC is not used", async () => {
  const { to, packets, reports, source } = await listen();
  await using peer = await Peer.open();
  await peer.send(senderReport(1, 1e12), to);
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  expect(reports).toMatchObject([{ ssrc: 1, ntpWallMs: 1e12 }]);
  const elsewhere = { address: "192.0.2.1", port: 9, family: "IPv4", size: 28 } as const;
  source.takeRtcp(parseRtcp(senderReport(1, 2e12), systemClock.now()), elsewhere);
  expect(source.stats.foreign).toBe(1);
  await peer.send(senderReport(2, 3e12), to);
  await peer.send(rtp(1, 2), to);
  await eventually(() => packets.length === 2);
  expect(reports).toMatchObject([{ ssrc: 1 }, { ssrc: 2, ntpWallMs: 3e12 }]);
});

test("with `next-port`, RTP is on an even port, RTCP comes in on the next, and a NACK goes out from there", async () => {
  const { to, packets, reports, source } = await listen({ rtcp: "next-port" });
  expect(to.port % 2).toBe(0);
  await using peer = await Peer.open();
  await using rtcpPeer = await Peer.open();
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  await rtcpPeer.send(senderReport(1, 1e12), { host: to.host, port: to.port + 1 });
  await eventually(() => reports.length === 1);
  source.requestRetransmission([2, 3, 9]);
  await eventually(() => rtcpPeer.received.length === 1);
  const [nack = new Uint8Array()] = rtcpPeer.received;
  expect(parseRtcp(nack, systemClock.now())).toMatchObject({
    nacks: [{ ssrc: 1, sequences: [2, 3, 9] }],
    malformed: false,
  });
  expect(peer.received).toEqual([]);
});

test("with 1 port for both, a NACK goes to where the packets come from, and before any it goes nowhere", async () => {
  const { to, packets, source } = await listen();
  source.requestRetransmission([1]);
  await using peer = await Peer.open();
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  source.requestRetransmission([65_535, 0]);
  await eventually(() => peer.received.length === 1);
  const [nack = new Uint8Array()] = peer.received;
  expect(isRtcp(nack)).toBe(true);
  expect(parseRtcp(nack, systemClock.now()).nacks).toEqual([{ ssrc: 1, sequences: [65_535, 0] }]);
});

test("a peer that says BYE and goes on with a new SSRC within 500 ms stays (RFC 3550 §8.2)", async () => {
  const clock = new ManualClock();
  const { to, packets, ends, source } = await listen({ clock });
  await using peer = await Peer.open();
  await peer.send(rtp(1, 1), to);
  await peer.send(serializeBye(1), to);
  await eventually(() => source.stats.rtcp === 1);
  clock.advance(300);
  await peer.send(rtp(1, 2), to);
  await eventually(() => packets.length === 2);
  clock.advance(29_000);
  expect(ends).toEqual([]);
  clock.advance(1000);
  await eventually(() => ends.length === 1); // Of inactivity, counted from the last packet.
  expect(clock.pending).toBe(0);
});

test("a peer that says BYE and falls silent has left 500 ms later", async () => {
  const clock = new ManualClock();
  const { to, packets, ends, source } = await listen({ clock });
  await using peer = await Peer.open();
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  clock.advance(20);
  await peer.send(serializeBye(1), to);
  await eventually(() => source.stats.rtcp === 1);
  clock.advance(499);
  expect(ends).toEqual([]);
  clock.advance(1);
  await eventually(() => ends.length === 1);
  expect(ends).toEqual(["complete"]);
  expect(clock.pending).toBe(0);
});

test("a BYE said again every 100 ms does not put off the end: the peer has left 500 ms after the first", async () => {
  const clock = new ManualClock();
  const { to, packets, ends, source } = await listen({ clock });
  await using peer = await Peer.open();
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  clock.advance(20);
  for (let n = 1; n <= 5; n++) {
    await peer.send(serializeBye(1), to);
    await eventually(() => source.stats.rtcp === n);
    clock.advance(n < 5 ? 100 : 99);
  }
  expect(ends).toEqual([]);
  clock.advance(1);
  await eventually(() => ends.length === 1);
  expect(clock.pending).toBe(0);
});

test("of 1,500 packets in no time 1,000 pass; a second later 1,000 more would", async () => {
  const clock = new ManualClock();
  const { to, packets, source } = await listen({ clock });
  await using peer = await Peer.open();
  for (let n = 0; n < 1_500; n++) await peer.send(rtp(n), to);
  await eventually(() => source.stats.overRate === 500);
  expect(packets).toHaveLength(1_000);
  expect(source.refused).toEqual({ "over-rate": 500 });
  clock.advance(100);
  for (let n = 0; n < 150; n++) await peer.send(rtp(n), to);
  await eventually(() => source.stats.overRate === 550);
  expect(packets).toHaveLength(1_100);
});

test("a port that nobody sends to fails after its 60 s, though 1 stranger tried", async () => {
  const clock = new ManualClock();
  const { to, ends, source } = await listen({ clock, armingMs: 60_000 });
  await using stranger = await Peer.open();
  await stranger.send(rtp(0, 9, 77), to);
  await eventually(() => source.stats.foreign === 1);
  clock.advance(59_999);
  expect(ends).toEqual([]);
  clock.advance(1);
  await eventually(() => ends.length === 1);
  expect(ends).toEqual([
    `TonetapError: no RTP of a known payload type came to 127.0.0.1:${to.port} within 60000 ms`,
  ]);
  expect(clock.pending).toBe(0);
});

test("a port that was sent to within its 60 s stays, and has 1 timer", async () => {
  const clock = new ManualClock();
  const { to, ends, packets } = await listen({ clock, armingMs: 60_000, inactivityMs: 100_000 });
  await using peer = await Peer.open();
  clock.advance(59_000);
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  clock.advance(50_000);
  expect(ends).toEqual([]);
  expect(clock.pending).toBe(1);
});

test("SRTP with 1 suite of 4 each: 3 packets and a report pass, plain RTP and a replay do not, a NACK comes back", async () => {
  for (const suite of SRTP_SUITES) {
    const remote = createSdes(1, suite);
    const local = createSdes(1, suite);
    const { to, packets, reports, source } = await listen({ srtp: { remote, local } });
    const sender = new SrtpSender(remote);
    await using peer = await Peer.open();
    await peer.send(sender.protectRtcp(senderReport(1, 1_000)), to);
    for (let n = 0; n < 3; n++) await peer.send(sender.protectRtp(rtp(n)), to);
    const replay = sender.protectRtp(rtp(3));
    await peer.send(replay, to);
    await peer.send(replay, to);
    await peer.send(rtp(4), to);
    await eventually(() => source.stats.srtp["not-authentic"] + source.stats.srtp["too-short"] === 1);

    expect(packets.map(({ payload }) => payloadId(payload))).toEqual([0, 1, 2, 3]);
    expect(reports.map(({ ntpWallMs }) => ntpWallMs)).toEqual([1_000]);
    expect(source.stats.srtp.replayed).toBe(1);
    expect(source.refused).toMatchObject({ "srtp-replayed": 1 });
    source.requestRetransmission([5]);
    await eventually(() => peer.received.length === 1);
    const feedback = new SrtpReceiver(local).unprotectRtcp(peer.received[0] ?? new Uint8Array());
    if (typeof feedback === "string") throw new TonetapError("protocol", feedback);
    expect(parseRtcp(feedback, systemClock.now()).nacks).toEqual([{ ssrc: 1, sequences: [5] }]);
  }
});

test("20 packets under another key are counted, and said when the port gives up after 1 s", async () => {
  const clock = new ManualClock();
  const remote = createSdes(1, "AEAD_AES_128_GCM");
  const { to, ends, packets, source } = await listen({ clock, srtp: { remote }, armingMs: 1_000 });
  const sender = new SrtpSender(createSdes(1, "AEAD_AES_128_GCM"));
  await using peer = await Peer.open();
  for (let n = 0; n < 20; n++) await peer.send(sender.protectRtp(rtp(n)), to);
  await eventually(() => source.stats.srtp["not-authentic"] === 20);
  clock.advance(1_000);
  await eventually(() => ends.length === 1);
  expect(packets).toEqual([]);
  expect(ends).toEqual([
    `TonetapError: nothing authentic came to 127.0.0.1:${to.port} within 1000 ms: 20 packets were not protected with the AEAD_AES_128_GCM key given`,
  ]);
});

test("without a key for feedback a NACK under SRTP is 1 unsent, never plain", async () => {
  const remote = createSdes(1, "AES_CM_128_HMAC_SHA1_80");
  const { to, packets, source } = await listen({ srtp: { remote } });
  await using peer = await Peer.open();
  await peer.send(new SrtpSender(remote).protectRtp(rtp(1)), to);
  await eventually(() => packets.length === 1);
  source.requestRetransmission([2]);
  expect(source.stats.unsent).toBe(1);
});

test("30 s without a packet end the source; before the first packet it waits without limit", async () => {
  const clock = new ManualClock();
  const { to, packets, ends } = await listen({ clock });
  clock.advance(3_600_000);
  await using peer = await Peer.open();
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  clock.advance(20_000);
  await peer.send(rtp(2), to);
  await eventually(() => packets.length === 2);
  clock.advance(29_999);
  expect(ends).toEqual([]);
  clock.advance(1);
  await eventually(() => ends.length === 1);
  expect(clock.pending).toBe(0);
});

test("close() twice completes `packets` once, and the port is free again", async () => {
  const { source, to, ends } = await listen();
  await Promise.all([source.close(), source.close()]);
  expect(ends).toEqual(["complete"]);
  const again = await listen({ port: to.port });
  expect(again.to).toEqual(to);
});

test("1 abort signal closes every source it was given to, before and after it fires, and is let go on close", async () => {
  const controller = new AbortController();
  const first = await listen({ signal: controller.signal });
  controller.abort();
  await eventually(() => first.ends.length === 1);
  const second = await listen({ signal: controller.signal });
  await eventually(() => second.ends.length === 1);
  expect([...first.ends, ...second.ends]).toEqual(["complete", "complete"]);
});

test("a port in use is `unavailable`, and 3 options out of range are refused by name", async () => {
  const { to } = await listen();
  await expect(createUdpRtpSource({ clock: systemClock, port: to.port })).rejects.toMatchObject({
    code: "unavailable",
    retryable: true,
  });
  const refused = (options: Partial<UdpRtpSourceOptions>, message: string) =>
    expect(createUdpRtpSource({ clock: systemClock, ...options })).rejects.toThrow(
      new TonetapError("invalid-argument", message),
    );
  await refused({ port: 70_000 }, "port must be 0–65535, got 70000");
  await refused({ inactivityMs: 5 }, "inactivityMs must be 100–3600000 ms, got 5");
  await refused({ audioLevelId: 0 }, "audioLevelId must be 1–255, got 0");
});

test("2 packets before anybody subscribes are counted as unread and lock nothing", async () => {
  const source = await createUdpRtpSource({ clock: systemClock });
  open.push(source);
  await using peer = await Peer.open();
  await peer.send(rtp(1), source.address);
  await peer.send(rtp(2), source.address);
  await eventually(() => source.stats.unread === 2);
  expect(source.remote).toBeUndefined();
});

test("IPv6 works: 1 packet to ::1, and a NACK back", async () => {
  const { to, packets, source } = await listen({ host: "::1" });
  await using peer = await Peer.open("::1");
  await peer.send(rtp(1), to);
  await eventually(() => packets.length === 1);
  expect(source.remote).toEqual({ host: "::1", port: peer.port });
  source.requestRetransmission([2]);
  await eventually(() => peer.received.length === 1);
});

test("a peer on port 65535, whose RTCP port would be 65536, costs 1 unsent request and nothing else", async () => {
  const { source, to, packets } = await listen({ rtcp: "next-port" });
  await using peer = await Peer.open("127.0.0.1", 65_535);
  await peer.send(rtp(0), to);
  await eventually(() => packets.length === 1);

  source.requestRetransmission([1]);

  expect(source.stats.unsent).toBe(1);
});
