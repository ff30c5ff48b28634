/** What the jitter buffer makes of loss, reordering, silence and new streams, one situation a test. */
import { Subject } from "rxjs";
import { expect, test } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import type { MediaUnit } from "../../src/core/media.ts";
import type { RtpPacket } from "../../src/core/rtp.ts";
import { monotonicMs } from "../../src/core/units.ts";
import { JitterBuffer, type JitterBufferOptions } from "../../src/transport/jitter-buffer.ts";
import { jitterBuffer } from "../../src/transport/jitter-buffer-operator.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { FRAME, opusPacket, opusPayload, payloadId, redPacket, redPayload, TEST_CODECS } from "./packets.ts";

/** A buffer on a manual clock, and what it emitted, one short word a unit: `p3`, `lost3`, `lost3+fec4`, `gap2.5` (frames). */
function setUp(options: Partial<JitterBufferOptions> = {}) {
  const clock = new ManualClock();
  const units: MediaUnit[] = [];
  const buffer = new JitterBuffer({ clock, codecs: TEST_CODECS, ...options }, (unit) => units.push(unit));
  /** Lets a packet arrive now. */
  const push = (packet: RtpPacket): void => buffer.push({ ...packet, arrivalMs: clock.now() });
  /** Lets packets arrive 20 ms apart, the first at once. */
  const play = (...packets: RtpPacket[]): void => {
    packets.forEach((packet, i) => {
      if (i > 0) clock.advance(20);
      push(packet);
    });
  };
  const words = (): string => units.map(wordOf).join(" ");
  return { clock, buffer, units, push, play, words, stats: buffer.stats };
}

function wordOf(unit: MediaUnit): string {
  switch (unit.kind) {
    case "packet":
      return `p${payloadId(unit.audio.payload)}`;
    case "lost": {
      const fec = unit.next === undefined ? "" : `+fec${payloadId(unit.next.payload)}`;
      const length = unit.durationTicks === FRAME ? "" : `×${unit.durationTicks / FRAME}`;
      return `lost${unit.ticks / FRAME}${length}${fec}`;
    }
    case "gap":
      return `gap${unit.ticks / FRAME}×${unit.durationTicks / FRAME}`;
    case "stalled":
      return "stalled";
    case "reset":
      return unit.reason;
  }
}

const packets = (...numbers: number[]): RtpPacket[] => numbers.map((n) => opusPacket(n));

test("100 packets in sequence are each passed on before push() returns, and no hole timer is armed", () => {
  const { clock, units, push } = setUp();
  for (let n = 0; n < 100; n++) {
    push(opusPacket(n));
    expect(units.length).toBe(n + 2);
    expect(clock.pending).toBe(1); // The stall timer alone.
    clock.advance(20);
  }
  expect(units.at(-1)).toMatchObject({
    kind: "packet",
    ticks: 99 * FRAME,
    arrivalMs: 1980,
    clockRateHz: 48_000,
  });
});

test("1 lost packet costs exactly 1 frame, after 40 ms, and offers the next packet for its FEC", () => {
  const { clock, push, words, stats } = setUp();
  push(opusPacket(0));
  push(opusPacket(2));
  clock.advance(38);
  expect(words()).toBe("start p0");
  clock.advance(2);
  expect(words()).toBe("start p0 lost1+fec2 p2");
  expect(stats).toMatchObject({ received: 2, lost: 1 });
});

test("3 lost packets are 3 frames, and only the last has FEC", () => {
  const { play, words, clock, stats } = setUp();
  play(...packets(0, 4));
  clock.advance(40);
  expect(words()).toBe("start p0 lost1 lost2 lost3+fec4 p4");
  expect(stats.lost).toBe(3);
});

test("a lost packet has the length of the one before it: 60 ms after a 60 ms packet", () => {
  const { clock, push, words } = setUp();
  const long = (n: number): Partial<RtpPacket> => ({
    timestamp: n * 3 * FRAME,
    payload: Uint8Array.of(11 << 3, 0, 0, n),
  });
  push(opusPacket(0, long(0)));
  push(opusPacket(2, long(2)));
  clock.advance(40);
  expect(words()).toBe("start p0 lost3×3+fec2 p2");
});

test("2 packets that swap places within the wait are put back, and nothing is lost", () => {
  const { play, words, stats, clock } = setUp();
  play(...packets(0, 2, 1, 3));
  expect(words()).toBe("start p0 p1 p2 p3");
  expect(stats).toMatchObject({ reordered: 1, lost: 0, late: 0 });
  expect(clock.pending).toBe(1);
});

test("a packet that comes 5 ms after it was given up is counted as late and dropped", () => {
  const { clock, push, words, stats } = setUp();
  push(opusPacket(0));
  push(opusPacket(2));
  clock.advance(45);
  push(opusPacket(1));
  expect(words()).toBe("start p0 lost1+fec2 p2");
  expect(stats).toMatchObject({ lost: 1, late: 1 });
});

test("a packet from before the first one is late, and the second copy of it is 1 duplicate", () => {
  const { push, words, stats } = setUp();
  for (const packet of packets(5, 4, 4)) push(packet);
  expect(words()).toBe("start p5");
  expect(stats).toMatchObject({ late: 1, duplicate: 1 });
});

test("3 duplicates (of a packet emitted, waiting, and late) are counted and dropped", () => {
  const { clock, push, words, stats } = setUp();
  for (const packet of packets(0, 0, 2, 2)) push(packet);
  clock.advance(40);
  for (const packet of packets(1, 1, 3)) push(packet);
  expect(words()).toBe("start p0 lost1+fec2 p2 p3");
  expect(stats).toMatchObject({ received: 7, duplicate: 3, late: 1 });
});

test("silence of 19 frames between 2 packets in sequence is 1 gap and no loss", () => {
  const { clock, push, words, stats } = setUp();
  push(opusPacket(0));
  clock.advance(400);
  push(opusPacket(1, { timestamp: 20 * FRAME }));
  expect(words()).toBe("start p0 stalled gap1×19 p1");
  expect(stats.lost).toBe(0);
});

test("2 missing packets in 10 missing frames are 2 lost frames and a gap of 8", () => {
  const { clock, push, words } = setUp();
  push(opusPacket(0));
  clock.advance(190);
  push(opusPacket(3, { timestamp: 11 * FRAME }));
  clock.advance(40);
  expect(words()).toBe("start p0 lost1 lost2 gap3×8 p3");
});

test("3 missing packets in 1.5 missing frames are 1 lost frame and a half: time decides", () => {
  const { clock, push, words, stats } = setUp();
  push(opusPacket(0));
  push(opusPacket(4, { timestamp: 2.5 * FRAME }));
  clock.advance(40);
  expect(words()).toBe("start p0 lost1 lost2×0.5+fec4 p4");
  expect(stats.lost).toBe(3);
});

test("after 200 ms without audio there is 1 `stalled`, and the next packet goes on where it stopped", () => {
  const { clock, play, words } = setUp();
  play(...packets(0, 1, 2));
  clock.advance(199);
  expect(words()).toBe("start p0 p1 p2");
  clock.advance(1);
  expect(words()).toBe("start p0 p1 p2 stalled");
  clock.advance(5000);
  expect(clock.pending).toBe(0);
  play(...packets(3, 4));
  expect(words()).toBe("start p0 p1 p2 stalled p3 p4");
});

test("a tail that was lost before a pause shows as 2 lost frames when packets come again", () => {
  const { clock, play, words } = setUp();
  play(...packets(0, 1));
  clock.advance(300);
  play(opusPacket(4, { timestamp: 20 * FRAME }));
  clock.advance(40);
  expect(words()).toBe("start p0 p1 stalled lost2 lost3 gap4×16 p4");
});

test("the hole before a stall is settled first, even with a wait of 2,000 ms", () => {
  const { clock, push, words } = setUp({ minWaitMs: 1000, maxWaitMs: 2000 });
  push(opusPacket(0));
  push(opusPacket(2));
  clock.advance(200);
  expect(words()).toBe("start p0 lost1+fec2 p2 stalled");
});

test("sequence and timestamp wrap at 2¹⁶ and 2³² without a seam, over a hole", () => {
  const { clock, push, units } = setUp();
  const at = (i: number): RtpPacket =>
    opusPacket(i, { sequence: (65_534 + i) & 0xffff, timestamp: (2 ** 32 - 2 * FRAME + i * FRAME) >>> 0 });
  for (const i of [0, 1, 3, 4]) push(at(i));
  clock.advance(40);
  const ticks = units.flatMap((unit) => ("ticks" in unit ? [unit.ticks] : []));
  expect(ticks).toEqual([0, 1, 2, 3, 4].map((i) => 2 ** 32 - 2 * FRAME + i * FRAME));
  expect(units[3]).toMatchObject({ kind: "lost", durationTicks: FRAME });
});

test("a new SSRC begins with its 2nd packet, after a flush of the old one", () => {
  const { push, words, stats } = setUp();
  const other = (n: number): RtpPacket => opusPacket(n, { ssrc: 2 });
  for (const packet of [opusPacket(0), opusPacket(2), other(900), other(901), other(902)]) push(packet);
  expect(words()).toBe("start p0 lost1+fec2 p2 ssrc p900 p901 p902");
  expect(stats.resets).toBe(1);
});

test("3 stragglers of the old SSRC do not bring it back, but 2 packets after 200 ms of silence do", () => {
  const { clock, push, words, stats } = setUp();
  const other = (n: number): RtpPacket => opusPacket(n, { ssrc: 2 });
  for (const packet of [opusPacket(0), other(50), other(51), ...packets(1, 2, 3)]) push(packet);
  expect(stats.ignored.oldSsrc).toBe(3);
  clock.advance(201);
  for (const packet of packets(4, 5)) push(packet);
  expect(words()).toBe("start p0 ssrc p50 p51 stalled ssrc p4 p5");
});

test("1 stray packet of another SSRC changes nothing", () => {
  const { push, buffer, words, stats } = setUp();
  for (const packet of [opusPacket(0), opusPacket(7, { ssrc: 99 }), opusPacket(1)]) push(packet);
  buffer.flush();
  expect(words()).toBe("start p0 p1");
  expect(stats.ignored.stray).toBe(1);
});

test("a jump of 501 is another stream after 2 packets, one of 500 is loss", () => {
  const jump = setUp();
  for (const packet of packets(0, 501, 502)) jump.push(packet);
  expect(jump.words()).toBe("start p0 jump p501 p502");

  const loss = setUp();
  for (const packet of packets(0, 500)) loss.push(packet);
  loss.clock.advance(200);
  expect(loss.stats).toMatchObject({ lost: 499, resets: 0 });
  expect(loss.units.filter((unit) => unit.kind === "lost")).toHaveLength(499);
});

test("a packet in the middle of a hole of 300 is put in its place", () => {
  const { clock, push, stats } = setUp();
  for (const packet of packets(0, 301, 150)) push(packet);
  clock.advance(40);
  expect(stats).toMatchObject({ reordered: 1, lost: 299, resets: 0 });
});

test("of 1,100 packets at once behind a hole, none is lost but the 1 that did not come", () => {
  const { push, units, stats } = setUp();
  push(opusPacket(0));
  for (let n = 2; n <= 1101; n++) push(opusPacket(n));
  expect(units.map(wordOf).slice(0, 4)).toEqual(["start", "p0", "lost1+fec2", "p2"]);
  expect(units).toHaveLength(1103);
  push(opusPacket(1002));
  expect(stats).toMatchObject({ lost: 1, duplicate: 1, late: 0 });
});

test("after a jump of 3,073 numbers nothing is remembered: a packet from just before it is late", () => {
  const { push, stats } = setUp();
  for (let n = 1000; n < 1024; n++) push(opusPacket(n));
  for (const packet of packets(4096, 4097, 4095)) push(packet);
  expect(stats).toMatchObject({ late: 1, duplicate: 0, resets: 1 });
});

test("1 packet with a wild sequence number is a stray, not a jump", () => {
  const { push, words, stats } = setUp();
  for (const packet of packets(0, 1, 30_000, 2, 40_000, 3)) push(packet);
  expect(words()).toBe("start p0 p1 p2 p3");
  expect(stats.ignored.stray).toBe(1); // The other is still held.
});

test("a sender that restarts 1,000 numbers lower is a jump after 2 packets", () => {
  const { push, words } = setUp();
  for (const packet of packets(2000, 2001, 1000, 1001, 1002)) push(packet);
  expect(words()).toBe("start p2000 p2001 jump p1000 p1001 p1002");
});

test("a sender that restarts 2 numbers lower is known by its timestamps", () => {
  const { push, words, stats } = setUp();
  const again = (n: number): RtpPacket => opusPacket(n, { timestamp: 3_000_000_000 + n * FRAME });
  for (const packet of [...packets(10, 11), again(10), again(11), again(12)]) push(packet);
  expect(words()).toBe("start p10 p11 jump p10 p11 p12");
  expect(stats.duplicate).toBe(0);
});

test("a timestamp that goes back by 5 frames in sequence is a jump; one that stands still is dropped", () => {
  const { push, words, stats } = setUp();
  push(opusPacket(10));
  push(opusPacket(11, { timestamp: 10 * FRAME }));
  push(opusPacket(12, { timestamp: 5 * FRAME }));
  push(opusPacket(13, { timestamp: 6 * FRAME }));
  expect(words()).toBe("start p10 jump p12 p13");
  expect(stats).toMatchObject({ resets: 1, ignored: { repeatedTimestamp: 1 } });
});

test("a timestamp 61 s ahead at once is a jump, one 61 s ahead after 61 s is a gap", () => {
  const jump = setUp();
  jump.push(opusPacket(0));
  jump.push(opusPacket(1, { timestamp: 61 * 48_000 }));
  expect(jump.words()).toBe("start p0 jump p1");

  const gap = setUp();
  gap.push(opusPacket(0));
  gap.clock.advance(61_000);
  gap.push(opusPacket(1, { timestamp: 61 * 48_000 }));
  expect(gap.words()).toBe("start p0 stalled gap1×3049 p1");
});

test("5 empty packets of a bandwidth probe use up their numbers and nothing else", () => {
  const { push, words, stats } = setUp();
  push(opusPacket(0));
  for (let n = 1; n <= 5; n++) push(opusPacket(n, { payload: new Uint8Array(0), timestamp: 0 }));
  push(opusPacket(6, { timestamp: FRAME }));
  expect(words()).toBe("start p0 p6");
  expect(stats).toMatchObject({ lost: 0, ignored: { empty: 5 } });
});

test("a probe and an audio packet that are both lost cost the 1 frame that is missing", () => {
  const { clock, push, words, stats } = setUp();
  push(opusPacket(0));
  push(opusPacket(3, { timestamp: 2 * FRAME }));
  clock.advance(40);
  expect(words()).toBe("start p0 lost1+fec3 p3");
  expect(stats.lost).toBe(2);
});

test("a hole before a probe waits for the next audio packet to learn its length of 1 frame", () => {
  const { clock, push, words } = setUp();
  push(opusPacket(0));
  push(opusPacket(2, { payload: new Uint8Array(0), timestamp: FRAME }));
  clock.advance(60);
  expect(words()).toBe("start p0");
  push(opusPacket(3, { timestamp: 2 * FRAME }));
  expect(words()).toBe("start p0 lost1+fec3 p3");
});

test("4 packets of unknown type and 3 of a DTMF event are ignored by reason, without loss", () => {
  const { push, words, stats } = setUp();
  push(opusPacket(0));
  for (let n = 1; n <= 4; n++) push(opusPacket(n, { payloadType: 77 }));
  for (let n = 5; n <= 7; n++) push(opusPacket(n, { payloadType: 101, timestamp: 123 }));
  push(opusPacket(8, { timestamp: FRAME }));
  expect(words()).toBe("start p0 p8");
  expect(stats.ignored).toMatchObject({ unknownType: 4, telephoneEvent: 3 });
});

test("G.711 with 2 packets of comfort noise is packets and gaps of 8 kHz ticks", () => {
  const { clock, push, units, stats } = setUp();
  const g711 = (n: number, timestamp: number): RtpPacket =>
    opusPacket(n, { payloadType: 0, timestamp, payload: new Uint8Array(160) });
  const noise = (n: number, timestamp: number): RtpPacket =>
    opusPacket(n, { payloadType: 13, timestamp, payload: Uint8Array.of(40) });
  push(g711(0, 1000));
  push(noise(1, 1160));
  clock.advance(100);
  push(noise(2, 1960));
  clock.advance(20);
  push(g711(3, 2120));
  const spans = units.flatMap((unit) =>
    unit.kind === "gap" ? [[unit.ticks, unit.durationTicks]] : unit.kind === "packet" ? [unit.ticks] : [],
  );
  expect(spans).toEqual([1000, [1160, 800], [1960, 160], 2120]);
  expect(units.at(-1)).toMatchObject({ clockRateHz: 8000 });
  expect(stats).toMatchObject({ lost: 0, ignored: { comfortNoise: 2 } });
});

test("comfort noise 1 s ago counts for how long a silence can have been", () => {
  const { clock, push, units } = setUp();
  const at = (n: number, seconds: number, payloadType: number): RtpPacket =>
    opusPacket(n, { payloadType, timestamp: seconds * 8000, payload: new Uint8Array(160) });
  push(at(0, 0, 0));
  clock.advance(100_000);
  push(at(1, 100, 13));
  clock.advance(1000);
  push(at(2, 170, 0));
  expect(units.at(-2)).toMatchObject({ kind: "reset", reason: "jump" });
});

test("a change from Opus at 48 kHz to G.711 at 8 kHz is a jump: the clocks cannot be compared", () => {
  const { push, units, words } = setUp();
  push(opusPacket(0));
  push(opusPacket(1, { payloadType: 0, payload: opusPayload(1) }));
  expect(words()).toBe("start p0 jump p1");
  expect(units.at(-1)).toMatchObject({ clockRateHz: 8000, audio: { payloadType: 0 } });
});

test("a RED stream without loss gives its primaries, 1 a packet", () => {
  const { push, units, words } = setUp();
  for (let n = 2; n < 6; n++) push(redPacket(n, 2));
  expect(words()).toBe("start p2 p3 p4 p5");
  expect(units.at(-1)).toMatchObject({ audio: { payloadType: 111, payload: opusPayload(5) } });
});

test("a hole of 2 that RED covers is filled at once, without waiting and without a request", () => {
  const asked: number[] = [];
  const { push, words, stats, clock } = setUp({ requestRetransmission: (list) => asked.push(...list) });
  push(redPacket(2, 2));
  push(redPacket(5, 2));
  expect(words()).toBe("start p2 p3 p4 p5");
  expect(stats).toMatchObject({ recovered: 2, lost: 0 });
  expect(asked).toEqual([]);
  expect(clock.pending).toBe(1);
});

test("a hole of 2 with 1 RED copy waits 40 ms for the rest, then is 1 lost frame and 1 copy", () => {
  const { push, words, stats, clock } = setUp();
  push(redPacket(1));
  push(redPacket(4));
  expect(words()).toBe("start p1");
  clock.advance(40);
  expect(words()).toBe("start p1 lost2+fec3 p3 p4");
  expect(stats).toMatchObject({ recovered: 1, lost: 1 });
});

test("a copy in the packet after the next fills the hole 20 ms later", () => {
  const { push, words, clock } = setUp();
  const older = (n: number): RtpPacket =>
    opusPacket(n, {
      payloadType: 63,
      payload: redPayload({ payloadType: 111, payload: opusPayload(n) }, [
        { payloadType: 111, offsetTicks: 2 * FRAME, payload: opusPayload(n - 2) },
      ]),
    });
  push(older(2));
  push(older(4));
  expect(words()).toBe("start p2");
  clock.advance(20);
  push(older(5));
  expect(words()).toBe("start p2 p3 p4 p5");
});

test("a RED copy of a packet on the far side of a silence leaves a gap of 4 frames where it belongs", () => {
  const { push, words } = setUp();
  push(opusPacket(0));
  push(
    opusPacket(2, {
      timestamp: 7 * FRAME,
      payloadType: 63,
      payload: redPayload({ payloadType: 111, payload: opusPayload(2) }, [
        { payloadType: 111, offsetTicks: 2 * FRAME, payload: opusPayload(1) },
      ]),
    }),
  );
  expect(words()).toBe("start p0 gap1×4 p1 gap6×1 p2");
});

test("100 holes, one after the other, are all filled by RED", () => {
  const { push, clock, stats, units } = setUp();
  for (let n = 1; n < 300; n++) {
    if (n % 3 !== 0) push(redPacket(n, 1));
    clock.advance(20);
  }
  expect(stats).toMatchObject({ recovered: 99, lost: 0 });
  expect(units.filter((unit) => unit.kind === "packet")).toHaveLength(299);
});

test("of 3 RED copies for 1 hole, the one that overlaps another and the one of a known packet are left out", () => {
  const { push, words, stats } = setUp();
  const copy = (id: number, frames: number) => ({
    payloadType: 111,
    offsetTicks: frames * FRAME,
    payload: opusPayload(id),
  });
  push(opusPacket(1));
  push(
    opusPacket(3, {
      payloadType: 63,
      payload: redPayload({ payloadType: 111, payload: opusPayload(3) }, [
        copy(1, 2),
        copy(2, 1),
        copy(77, 0.5),
      ]),
    }),
  );
  expect(words()).toBe("start p1 p2 p3");
  expect(stats).toMatchObject({ recovered: 1, lost: 0 });
});

test("a hole that was given up before a probe is still filled by the RED packet 40 ms later", () => {
  const { push, clock, words, stats } = setUp();
  push(redPacket(1));
  push(opusPacket(3, { payload: new Uint8Array(0), timestamp: 2 * FRAME }));
  clock.advance(40);
  push(redPacket(3, 1, { sequence: 4 }));
  expect(words()).toBe("start p1 p2 p3");
  expect(stats).toMatchObject({ recovered: 1, lost: 0 });
});

test("2 damaged RED packets are counted and cost no frame of others", () => {
  const { push, words, stats } = setUp();
  push(redPacket(0, 0));
  push(opusPacket(1, { payloadType: 63, payload: Uint8Array.of(0x80 | 111, 0, 0) }));
  push(opusPacket(2, { payloadType: 63, payload: Uint8Array.of(63, 1, 2, 3) }));
  push(redPacket(3, 0));
  expect(words()).toBe("start p0 gap1×2 p3");
  expect(stats).toMatchObject({ lost: 0, ignored: { malformedRed: 2 } });
});

test("a hole of 3 is asked for once, in 16-bit numbers, and each that comes back in time is used", () => {
  const asked: (readonly number[])[] = [];
  const { play, words, stats, clock, push } = setUp({ requestRetransmission: (list) => asked.push(list) });
  play(...packets(65_534, 65_538, 65_539));
  expect(asked).toEqual([[65_535, 0, 1]]);
  push(opusPacket(65_536));
  clock.advance(40);
  expect(words()).toBe("start p65534 lost65535+fec65536 p65536 lost65537+fec65538 p65538 p65539");
  expect(stats).toMatchObject({ reordered: 1, lost: 2 });
});

test("after a packet that came 90 ms late the wait is 112.5 ms, and halves in 10 s down to its minimum of 40", () => {
  const { play, push, clock, stats } = setUp();
  play(...packets(0, 2, 3, 4, 5));
  clock.advance(30);
  push(opusPacket(1)); // 90 ms after packet 2.
  expect(stats).toMatchObject({ late: 1, lost: 1 });
  clock.advance(10);
  push(opusPacket(7));
  expect(stats.waitMs).toBeCloseTo(1.25 * 90, 0);
  clock.advance(90);
  push(opusPacket(6)); // As late again: now in time.
  expect(stats).toMatchObject({ reordered: 1, lost: 1 });
  clock.advance(10_000);
  push(opusPacket(9, { timestamp: 48 * clock.now() }));
  expect(stats.waitMs).toBeCloseTo((1.25 * 90) / 2, 0);
  clock.advance(60_000);
  push(opusPacket(11, { timestamp: 48 * clock.now() }));
  expect(stats.waitMs).toBe(40);
});

test("alternating delays of 0 and 30 ms are 30 ms of jitter (RFC 3550 A.8), and the wait is 3 times that", () => {
  const { buffer, stats, clock } = setUp();
  for (let n = 0; n < 400; n++) buffer.push(opusPacket(n, { arrivalMs: monotonicMs(n * 20 + (n % 2) * 30) }));
  expect(stats.jitterMs).toBeCloseTo(30, 6);
  clock.advance(8000);
  buffer.push(opusPacket(402, { arrivalMs: monotonicMs(402 * 20) }));
  expect(stats.waitMs).toBeCloseTo(90, 0);
});

test("a new SSRC whose timestamps are 900 ms elsewhere is no jitter", () => {
  const { play, stats } = setUp();
  const other = (n: number): RtpPacket => opusPacket(n + 45, { ssrc: 2 });
  play(opusPacket(0), opusPacket(1), other(2), other(3), other(4));
  expect(stats.jitterMs).toBeLessThan(2); // The packet that was held came with the next one.
});

test("a hole timer that fires 300 ms late lets the socket be read once before it gives up", () => {
  /** A process that was busy when its timers were due. */
  class BusyClock extends ManualClock {
    busyMs = 0;
    override now() {
      return monotonicMs(super.now() + this.busyMs);
    }
  }
  const clock = new BusyClock();
  const { buffer, words } = setUp({ clock });
  for (const packet of packets(0, 2)) buffer.push(packet);
  clock.schedule(40, () => buffer.push(opusPacket(1))); // What the socket has, read after the timers.
  clock.busyMs = 300;
  clock.advance(40);
  expect(words()).toBe("start p0 p1 p2");
});

test("3 options out of range are refused by name", () => {
  const clock = new ManualClock();
  const build = (options: Partial<JitterBufferOptions>) => () =>
    new JitterBuffer({ clock, codecs: TEST_CODECS, ...options }, () => undefined);
  const refusal = (message: string) => new TonetapError("invalid-argument", message);
  expect(build({ minWaitMs: -1 })).toThrow(refusal("minWaitMs must be 0–1000 ms, got -1"));
  expect(build({ maxWaitMs: 30 })).toThrow(refusal("maxWaitMs must be 40–2000 ms, got 30"));
  expect(build({ stallMs: 5 })).toThrow(refusal("stallMs must be 20–60000 ms, got 5"));
});

test("the operator flushes 2 waiting packets on completion and on error, and leaves no timer", () => {
  for (const error of [undefined, new TonetapError("protocol", "gone")]) {
    const clock = new ManualClock();
    const source = new Subject<RtpPacket>();
    const seen: string[] = [];
    source.pipe(jitterBuffer({ clock, codecs: TEST_CODECS })).subscribe({
      next: (unit) => seen.push(wordOf(unit)),
      error: (reason: unknown) => seen.push(String(reason)),
      complete: () => seen.push("complete"),
    });
    for (const packet of packets(0, 2, 3)) source.next(packet);
    if (error === undefined) source.complete();
    else source.error(error);
    const end = error === undefined ? "complete" : "TonetapError: gone";
    expect(seen.join(" ")).toBe(`start p0 lost1+fec2 p2 p3 ${end}`);
    expect(clock.pending).toBe(0);
  }
});

test("unsubscribing at any of the first 6 units stops everything at once", () => {
  for (let stopAt = 1; stopAt <= 6; stopAt++) {
    const clock = new ManualClock();
    const source = new Subject<RtpPacket>();
    let seen = 0;
    const subscription = source.pipe(jitterBuffer({ clock, codecs: TEST_CODECS })).subscribe(() => {
      if (++seen === stopAt) subscription.unsubscribe();
    });
    for (const packet of packets(0, 2, 3, 1, 700, 701, 702)) source.next(packet);
    clock.advance(1000);
    expect(seen).toBe(stopAt);
    expect(source.observed).toBe(false);
    expect(clock.pending).toBe(0);
  }
});

test("a sender that claims 10 s of loss with each of 500 packets in 10 s gets 70 s of it in all", () => {
  const { units, play } = setUp();
  const claims = Array.from({ length: 500 }, (_, i) => opusPacket(i * 499));

  play(...claims);

  const claimedTicks = units.reduce(
    (sum, unit) => sum + (unit.kind === "lost" || unit.kind === "gap" ? unit.durationTicks : 0),
    0,
  );
  expect(claimedTicks / 48_000).toBeGreaterThan(50);
  expect(claimedTicks / 48_000).toBeLessThanOrEqual(70);
});
