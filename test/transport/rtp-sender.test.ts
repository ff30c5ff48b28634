/** The sender's schedule, on a clock that we move, over real loopback sockets. */
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { OPUS, PCMU, type RtpPacket } from "../../src/core/rtp.ts";
import { isRtcp, parseRtcp } from "../../src/transport/rtcp.ts";
import { parseRtp } from "../../src/transport/rtp-packet.ts";
import { createRtpSender, type RtpSender, type RtpSenderOptions } from "../../src/transport/rtp-sender.ts";
import type { RtpFrame } from "../../src/transport/rtp-stream.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { eventually, freePorts, Peer } from "./loopback.ts";
import { FRAME, opusPayload, payloadId } from "./packets.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource[Symbol.asyncDispose]();
});

async function setUp(options: Partial<RtpSenderOptions> = {}, clock = new ManualClock()) {
  const receiver = await Peer.open();
  const sender = await createRtpSender({
    clock,
    host: "127.0.0.1",
    port: receiver.port,
    codec: OPUS,
    payloadType: 111,
    ...options,
  });
  open.push(receiver, sender);
  const packets = (): RtpPacket[] => receiver.received.filter((bytes) => !isRtcp(bytes)).map(parse);
  const reports = () => receiver.received.filter(isRtcp).map((bytes) => parseRtcp(bytes, clock.now()));
  return { clock, sender, receiver, packets, reports };
}

function parse(bytes: Uint8Array): RtpPacket {
  const packet = parseRtp(bytes, systemClock.now(), { audioLevelId: 3 });
  if (typeof packet === "string") expect.fail(packet);
  return packet;
}

/** Moves the clock by 1 ms at a time, letting promises run in between; notes when each packet left. */
async function run(clock: ManualClock, ms: number, sender?: RtpSender): Promise<number[]> {
  const leftAtMs: number[] = [];
  for (let i = 0; i <= ms; i++) {
    if (i > 0) clock.advance(1);
    await new Promise((resolve) => setImmediate(resolve));
    while (sender !== undefined && leftAtMs.length < sender.stream.packets) leftAtMs.push(clock.now());
  }
  return leftAtMs;
}

const frames = (count: number, from = 0): RtpFrame[] =>
  Array.from({ length: count }, (_, i) => ({ payload: opusPayload(from + i) }));

test("with timers that are 7 ms late each, packet 100 leaves 7 ms late and not 700", async () => {
  class LateClock extends ManualClock {
    override schedule(delayMs: number, task: () => void) {
      return super.schedule(delayMs + 7, task);
    }
  }
  const { clock, sender, packets } = await setUp({}, new LateClock());
  const playing = sender.play(frames(101));
  const leftAtMs = await run(clock, 2030, sender);
  await playing;
  expect(leftAtMs).toEqual(Array.from({ length: 101 }, (_, n) => (n === 0 ? 0 : n * 20 + 7)));
  await eventually(() => packets().length === 101);
  const [first] = packets();
  packets().forEach((packet, n) => {
    expect(packet.sequence).toBe(((first?.sequence ?? 0) + n) & 0xffff);
    expect(packet.timestamp).toBe(((first?.timestamp ?? 0) + n * FRAME) % 2 ** 32);
    expect(packet.marker).toBe(n === 0);
    expect(payloadId(packet.payload)).toBe(n);
  });
});

test("a frame with 200 ms of left-out silence behind it moves timestamp and schedule by as much", async () => {
  const { clock, sender, packets } = await setUp({ audioLevelId: 3, timestamp: 0xffff_ff00 });
  const level = { voice: false, level: 60 };
  const playing = sender.play([
    { payload: opusPayload(0), durationTicks: 10 * FRAME, audioLevel: level },
    { payload: opusPayload(1), marker: true },
  ]);
  expect(await run(clock, 220, sender)).toEqual([0, 200]);
  await playing;
  await eventually(() => packets().length === 2);
  expect(packets()[0]).toMatchObject({ timestamp: 0xffff_ff00, audioLevel: level });
  expect(packets()[1]).toMatchObject({ timestamp: 10 * FRAME - 256, marker: true });
});

test("a report leaves with the first packet and every 2 s, and says when a microphone heard its timestamp", async () => {
  const { clock, sender, reports } = await setUp({ timestamp: 1000, ssrc: 5, cname: "demo" });
  const startMs = clock.wall();
  const playing = sender.play(frames(210));
  await run(clock, 4200);
  await playing;
  await eventually(() => reports().length === 3);
  reports().forEach(({ senderReports, cnames }, i) => {
    // The first frame's audio began one frame before it left.
    const heardMs = startMs - 20 + ((senderReports[0]?.rtpTimestamp ?? 0) - 1000) / 48;
    expect(senderReports[0]?.ntpWallMs).toBeCloseTo(heardMs, 1);
    expect(senderReports[0]?.ntpWallMs).toBeCloseTo(startMs + i * 2000, 1);
    expect(cnames).toEqual([{ ssrc: 5, cname: "demo" }]);
  });
});

test("played again at once it goes on without a seam, after a pause of 500 ms with the pause in its timestamps", async () => {
  const { clock, sender, packets } = await setUp({ timestamp: 0 });
  const first = sender.play(frames(2));
  await run(clock, 40);
  await first;
  const second = sender.play(frames(2, 2));
  await run(clock, 40);
  await second;
  await run(clock, 500);
  const third = sender.play(frames(1, 4));
  await run(clock, 20);
  await third;
  await eventually(() => packets().length === 5);
  expect(packets().map(({ timestamp }) => timestamp / FRAME)).toEqual([0, 1, 2, 3, 29]);
});

test("a process held up for 5 s sends 1 packet then, not 250", async () => {
  const { clock, sender } = await setUp();
  void sender.play(frames(1000)).catch(() => undefined);
  await run(clock, 100);
  expect(sender.stream.packets).toBe(6);
  clock.advance(5000);
  await run(clock, 0);
  expect(sender.stream.packets).toBe(8); // The one whose timer was due, and the one that the schedule moved to.
  await run(clock, 100);
  expect(sender.stream.packets).toBe(13);
});

test("held up for 90 ms it catches up: 4 packets at once", async () => {
  const { clock, sender } = await setUp();
  void sender.play(frames(1000)).catch(() => undefined);
  await run(clock, 10);
  clock.advance(90);
  await run(clock, 0);
  expect(sender.stream.packets).toBe(6);
});

test("close() stops play() with `closed`, says BYE once, and leaves no timer", async () => {
  const { clock, sender, reports } = await setUp({ ssrc: 9 });
  const playing = sender.play(frames(100));
  await run(clock, 50);
  await expect(sender.play(frames(1))).rejects.toMatchObject({ code: "conflict" });
  const closing = sender.close();
  await expect(playing).rejects.toMatchObject({ code: "closed" });
  await closing;
  await sender.close();
  await eventually(() => reports().length === 2);
  expect(reports()[1]?.byes).toEqual([9]);
  expect(clock.pending).toBe(0);
  await expect(sender.play(frames(1))).rejects.toMatchObject({ code: "closed" });
});

test("an abort after 30 ms rejects with its reason; the stream can be played again", async () => {
  const { clock, sender } = await setUp();
  const controller = new AbortController();
  const reason = new TonetapError("timeout", "enough");
  const playing = sender.play(frames(100), { signal: controller.signal });
  await run(clock, 30);
  controller.abort(reason);
  await expect(playing).rejects.toBe(reason);
  expect(clock.pending).toBe(0);
  const again = sender.play(frames(1));
  await run(clock, 40);
  await again;
  expect(sender.stream.packets).toBe(3);
});

test("G.711 of 160 bytes is 20 ms, and frames may come from an async generator", async () => {
  const { clock, sender } = await setUp({ codec: PCMU, payloadType: 0 });
  async function* generate(): AsyncGenerator<RtpFrame> {
    for (let i = 0; i < 3; i++) yield { payload: new Uint8Array(160) };
  }
  const playing = sender.play(generate());
  expect(await run(clock, 60, sender)).toEqual([0, 20, 40]);
  await playing;
});

test("25 frames take 500 ms of real time", async () => {
  const { sender, packets } = await setUp({ clock: systemClock });
  const startMs = systemClock.now();
  await sender.play(frames(25));
  const tookMs = systemClock.now() - startMs;
  // Node's timers count whole milliseconds: each may be up to two early by a finer clock, never a frame.
  expect(tookMs).toBeGreaterThanOrEqual(495);
  expect(tookMs).toBeLessThan(5_000);
  await eventually(() => packets().length === 25);
});

test("where nobody listens, 5 packets are counted as unsent at most, and play() still resolves", async () => {
  const { sender } = await setUp({ clock: systemClock, port: await freePorts(1) });
  await sender.play(frames(5));
  expect(sender.unsent).toBeGreaterThan(0);
});

test("with `next-port` over IPv6, RTCP goes to the port above, 2 packets to the port itself", async () => {
  const port = await freePorts(2, "::1");
  const rtp = await Peer.open("::1", port);
  const rtcp = await Peer.open("::1", port + 1);
  open.push(rtp, rtcp);
  const { sender } = await setUp({ clock: systemClock, host: "::1", port, rtcp: "next-port" });
  await sender.play(frames(2));
  await eventually(() => rtp.received.length === 2 && rtcp.received.length === 1);
  expect(rtp.received.some(isRtcp)).toBe(false);
  expect(rtcp.received.every(isRtcp)).toBe(true);
});

test("3 options out of range are refused by name", async () => {
  const refused = (options: Partial<RtpSenderOptions>, message: string) =>
    expect(setUp(options)).rejects.toThrow(new TonetapError("invalid-argument", message));
  await refused({ port: 0 }, "port must be 1–65535, got 0");
  await refused({ payloadType: 200 }, "payloadType must be 0–127, got 200");
  await refused({ reportEveryMs: 1 }, "reportEveryMs must be 100–60000 ms, got 1");
});
