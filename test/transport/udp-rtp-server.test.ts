/** Many participants on one real UDP port: each gets its own packets, and only its own end. */
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { wallMs } from "../../src/core/units.ts";
import { serializeBye, serializeSenderReport } from "../../src/transport/rtcp.ts";
import { serializeRtp } from "../../src/transport/rtp-packet.ts";
import { createSdes, SrtpSender } from "../../src/transport/srtp/index.ts";
import {
  createUdpRtpServer,
  type UdpRtpServer,
  type UdpRtpServerOptions,
} from "../../src/transport/udp-rtp-server.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { eventually, Peer } from "./loopback.ts";
import { FRAME, opusPayload, payloadId } from "./packets.ts";

const open: UdpRtpServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function serve(options: Partial<UdpRtpServerOptions> = {}): Promise<UdpRtpServer> {
  const server = await createUdpRtpServer({ clock: systemClock, ...options });
  open.push(server);
  return server;
}

/** Subscribes to every newcomer; what each said, by SSRC. */
function collect(server: UdpRtpServer): Map<number, (number | "end")[]> {
  const heard = new Map<number, (number | "end")[]>();
  server.arrivals.subscribe(({ ssrc, source }) => {
    const said: (number | "end")[] = [];
    heard.set(ssrc, said);
    source.packets.subscribe({
      next: ({ payload }) => said.push(payloadId(payload)),
      complete: () => said.push("end"),
    });
  });
  return heard;
}

const rtp = (n: number, ssrc: number, payloadType = 111): Uint8Array =>
  serializeRtp({ sequence: n, timestamp: n * FRAME, ssrc, payloadType, payload: opusPayload(n) });

test("50 participants on 1 port from 1 peer are told apart from their first packet on", async () => {
  const server = await serve();
  const heard = collect(server);
  await using peer = await Peer.open();
  for (let n = 0; n < 10; n++) {
    for (let ssrc = 100; ssrc < 150; ssrc++) await peer.send(rtp(n, ssrc), server.address);
  }
  await eventually(() => server.stats.packets === 500);
  expect(server.size).toBe(50);
  for (const said of heard.values()) expect(said).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(heard.size).toBe(50);
});

test("a participant that was announced with source() needs no subscription to arrivals; 1 other SSRC is foreign", async () => {
  const server = await serve();
  const source = server.source(7);
  expect(server.source(7)).toBe(source);
  const said: number[] = [];
  source.packets.subscribe(({ payload }) => said.push(payloadId(payload)));
  await using peer = await Peer.open();
  await peer.send(rtp(1, 8), server.address);
  await peer.send(rtp(2, 7), server.address);
  await eventually(() => said.length === 1);
  expect(said).toEqual([2]);
  expect(server.stats.foreign).toBe(1);
});

test("an SSRC is bound to its first address: 1 packet of a hijacker is foreign", async () => {
  const server = await serve();
  const heard = collect(server);
  await using peer = await Peer.open();
  await using hijacker = await Peer.open();
  await peer.send(rtp(1, 5), server.address);
  await eventually(() => server.stats.packets === 1);
  await hijacker.send(rtp(2, 5), server.address);
  await peer.send(rtp(3, 5), server.address);
  await eventually(() => server.stats.packets === 2);
  expect(heard.get(5)).toEqual([1, 3]);
  expect(server.stats.foreign).toBe(1);
});

test("BYE and reports of 1 participant reach it alone; later its SSRC may come anew", async () => {
  const clock = new ManualClock();
  const server = await serve({ clock });
  const heard = collect(server);
  const walls: number[] = [];
  server.arrivals.subscribe(({ source }) => source.senderReports.subscribe((r) => walls.push(r.ntpWallMs)));
  await using peer = await Peer.open();
  for (const ssrc of [1, 2]) await peer.send(rtp(0, ssrc), server.address);
  await eventually(() => server.stats.packets === 2);
  const report = { ssrc: 2, ntpWallMs: wallMs(1e12), rtpTimestamp: 0, packets: 0, octets: 0 };
  await peer.send(serializeSenderReport(report), server.address);
  await peer.send(serializeBye(1), server.address);
  await eventually(() => server.stats.rtcp === 2);
  clock.advance(500);
  await eventually(() => server.size === 1);
  expect(heard.get(1)).toEqual([0, "end"]);
  expect(heard.get(2)).toEqual([0]);
  expect(walls).toEqual([1e12]);
  await peer.send(rtp(9, 1), server.address);
  await eventually(() => server.stats.packets === 3);
  expect(heard.get(1)).toEqual([9]);
});

test("a report that came before the first packet of 1 newcomer reaches it", async () => {
  const server = await serve();
  const walls: number[] = [];
  server.arrivals.subscribe(({ source }) => {
    source.senderReports.subscribe((report) => walls.push(report.ntpWallMs));
    source.packets.subscribe();
  });
  await using peer = await Peer.open();
  const report = { ssrc: 2, ntpWallMs: wallMs(1e12), rtpTimestamp: 0, packets: 0, octets: 0 };
  await peer.send(serializeSenderReport(report), server.address);
  for (const ssrc of [1, 2]) await peer.send(rtp(0, ssrc), server.address);
  await eventually(() => server.stats.packets === 2);
  expect(walls).toEqual([1e12]);
});

test("a participant that we closed stays out while its sender goes on, until source() asks for it", async () => {
  const server = await serve();
  const heard = collect(server);
  await using peer = await Peer.open();
  await peer.send(rtp(1, 5), server.address);
  await eventually(() => server.size === 1);
  await server.source(5).close();
  for (let n = 2; n < 5; n++) await peer.send(rtp(n, 5), server.address);
  await eventually(() => server.stats.foreign === 3);
  expect(heard.get(5)).toEqual([1, "end"]);
  const said: number[] = [];
  server.source(5).packets.subscribe(({ payload }) => said.push(payloadId(payload)));
  await peer.send(rtp(6, 5), server.address);
  await eventually(() => said.length === 1);
  expect(said).toEqual([6]);
});

test("beyond 3 participants newcomers are refused and counted, and source() is overloaded", async () => {
  const server = await serve({ maxSources: 3 });
  const heard = collect(server);
  await using peer = await Peer.open();
  for (let ssrc = 1; ssrc <= 5; ssrc++) await peer.send(rtp(0, ssrc), server.address);
  await eventually(() => server.refused === 2);
  expect([...heard.keys()]).toEqual([1, 2, 3]);
  expect(() => server.source(4)).toThrow("the RTP server has 3 sources already");
});

test("close() ends all 4 participants and leaves no timer", async () => {
  const clock = new ManualClock();
  const server = await serve({ clock });
  const heard = collect(server);
  await using peer = await Peer.open();
  for (let ssrc = 1; ssrc <= 4; ssrc++) await peer.send(rtp(0, ssrc), server.address);
  await eventually(() => server.size === 4);
  await server.close();
  await server.close();
  for (const said of heard.values()) expect(said).toEqual([0, "end"]);
  expect(clock.pending).toBe(0);
  expect(() => server.source(1)).toThrow("the RTP server is closed");
});

test("strangers of another host fill nothing: 300 made-up SSRCs are foreign, and a 2nd voice of the 1st host joins", async () => {
  const server = await serve({ host: "0.0.0.0", maxSources: 100 });
  const heard = collect(server);
  const to = { host: "127.0.0.1", port: server.address.port };
  await using peer = await Peer.open();
  await using stranger = await Peer.open("127.0.0.2");
  await peer.send(rtp(1, 5), to);
  await eventually(() => server.size === 1);
  for (let ssrc = 1_000; ssrc < 1_300; ssrc++) await stranger.send(rtp(1, ssrc), to);
  await eventually(() => server.stats.foreign === 300);
  await peer.send(rtp(1, 6), to);
  await eventually(() => server.size === 2);
  expect([...heard.keys()]).toEqual([5, 6]);
  expect(server.refused).toBe(0);
});

test("when its last participant has left, the port takes a new 1st host", async () => {
  const server = await serve({ host: "0.0.0.0" });
  const heard = collect(server);
  const to = { host: "127.0.0.1", port: server.address.port };
  await using former = await Peer.open();
  await using moved = await Peer.open("127.0.0.2");
  await former.send(rtp(1, 5), to);
  await eventually(() => server.size === 1);
  await server.source(5).close();
  await moved.send(rtp(1, 6), to);
  await eventually(() => server.size === 1);
  expect([...heard.keys()]).toEqual([5, 6]);
});

test("any host may come, but none with more than 2 participants; a listed host is the only one", async () => {
  const shared = await serve({ host: "0.0.0.0", hosts: "any", maxSourcesPerHost: 2 });
  collect(shared);
  await using first = await Peer.open();
  await using second = await Peer.open("127.0.0.2");
  const to = { host: "127.0.0.1", port: shared.address.port };
  for (let ssrc = 0; ssrc < 5; ssrc++) await first.send(rtp(1, ssrc), to);
  await eventually(() => shared.refused === 3);
  await second.send(rtp(1, 9), to);
  await eventually(() => shared.size === 3);

  const listed = await serve({ host: "0.0.0.0", hosts: ["127.0.0.2"] });
  collect(listed);
  const there = { host: "127.0.0.1", port: listed.address.port };
  await first.send(rtp(1, 1), there);
  await eventually(() => listed.stats.foreign === 1);
  await second.send(rtp(1, 2), there);
  await eventually(() => listed.size === 1);
});

test("a port under SRTP outlives 300 participants one after the other", async () => {
  const remote = createSdes(1, "AEAD_AES_128_GCM");
  const server = await serve({ srtp: { remote } });
  const heard = collect(server);
  const sender = new SrtpSender(remote);
  await using peer = await Peer.open();
  for (let ssrc = 0; ssrc < 300; ssrc++) {
    await peer.send(sender.protectRtp(rtp(1, ssrc)), server.address);
    await peer.send(sender.protectRtcp(serializeBye(ssrc)), server.address);
    await eventually(() => heard.size === ssrc + 1);
  }
  expect(server.stats.srtp["too-many-sources"]).toBe(0);
});
