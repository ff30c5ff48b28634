import { NEVER, of, Subject } from "rxjs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AudioSource } from "../../src/core/audio-source.ts";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { OPUS, type RtpPacket, type SenderReport } from "../../src/core/rtp.ts";
import { wallMs } from "../../src/core/units.ts";
import type { Engine } from "../../src/engine.ts";
import { createRtpSender, createUdpRtpSource } from "../../src/transport/index.ts";
import { fresh, openEngine, type Recorder, recordedFrames, upTo } from "./support.ts";

let engine: Engine;
let seen: Recorder;

beforeAll(async () => {
  ({ engine, seen } = await openEngine());
});
afterAll(() => engine.close());

/** Subject-fed source; what it is given replaces parts of it. */
function fed(parts: Partial<AudioSource> = {}): AudioSource & { readonly feed: Subject<RtpPacket> } {
  const feed = new Subject<RtpPacket>();
  return {
    kind: "test",
    codecs: new Map([[111, OPUS]]),
    packets: feed,
    feed,
    close: () => {
      feed.complete();
      return Promise.resolve();
    },
    ...parts,
  };
}

/** The first seconds of a voice as packets; `skip` leaves out one of them. */
async function speech(skip = -1): Promise<RtpPacket[]> {
  const packets: RtpPacket[] = [];
  let ticks = 0;
  for (const [sequence, { payload, durationTicks }] of upTo(await recordedFrames("anna"), 3_000).entries()) {
    if (sequence !== skip) {
      packets.push({
        sequence,
        timestamp: ticks,
        ssrc: 1,
        payloadType: 111,
        marker: false,
        payload,
        arrivalMs: systemClock.now(),
      });
    }
    ticks += durationTicks;
  }
  return packets;
}

const attach = (source: AudioSource, participantId: string) =>
  engine.attach(source, { callId: "failing", participantId, consent: "granted" });

const leaving = (participantId: string) =>
  seen.first("participant.left", ({ data }) => data.participantId === participantId);

test("1 source whose retransmission request throws loses its participant, not the process", async () => {
  const id = fresh("nack");
  const source = fed({
    requestRetransmission: () => {
      throw new RangeError("port 65536");
    },
  });
  await attach(source, id);

  for (const packet of await speech(5)) source.feed.next(packet);

  expect((await leaving(id)).data).toMatchObject({ reason: "failed", error: { message: "port 65536" } });
});

test("1 sender report without a time loses its participant, not the process", async () => {
  const id = fresh("no-time");
  const senderReports = new Subject<SenderReport>();
  const source = fed({ senderReports });
  await attach(source, id);
  const [first, ...rest] = await speech();
  if (first === undefined) throw new TonetapError("internal", "no packets");

  source.feed.next(first);
  senderReports.next({
    ssrc: 1,
    ntpWallMs: wallMs(Number.NaN),
    rtpTimestamp: 0,
    arrivalMs: systemClock.now(),
  });
  for (const packet of rest) source.feed.next(packet);

  expect((await leaving(id)).data).toMatchObject({ reason: "failed", error: { code: "internal" } });
});

test("a source that cannot close, in 2 ways, still leaves, and its name is free again", async () => {
  const stuck = fresh("stuck");
  const broken = fresh("broken");
  const rejecting = { ...fed(), packets: NEVER, close: () => Promise.reject(new RangeError("stuck")) };
  const throwing = {
    ...fed(),
    packets: of(),
    close: () => {
      throw new RangeError("broken");
    },
  };

  const rejected = await attach(rejecting, stuck);
  await rejected.close().catch(() => undefined);
  await attach(throwing, broken);

  expect((await leaving(stuck)).data).toMatchObject({ reason: "failed", error: { message: "stuck" } });
  expect((await leaving(broken)).data).toMatchObject({ reason: "failed", error: { message: "broken" } });
  await (await attach(fed(), stuck)).close();
});

test("a peer that goes without a word leaves as inactive after 1 s", async () => {
  const id = fresh("silent");
  const source = await createUdpRtpSource({ inactivityMs: 1_000 });
  await attach(source, id);
  const sender = await createRtpSender({
    clock: systemClock,
    codec: OPUS,
    payloadType: 111,
    host: "127.0.0.1",
    port: source.address.port,
  });
  await sender.play(upTo(await recordedFrames("anna"), 20));

  expect((await leaving(id)).data.reason).toBe("inactive");
  await sender.close();
});

test("3 s of Opus garbage are counted packet by packet, and the next call is not disturbed", async () => {
  const source = fed();
  const participant = await attach(source, fresh("garbage"));
  const packets = await speech();
  // A code 3 packet of no frames: RFC 6716 §3.2.5 [R7].
  for (const packet of packets) source.feed.next({ ...packet, payload: Uint8Array.of(3, 0) });
  // Its counters come with what is made of them: on a shard up to half a second later.
  await expect.poll(() => participant.takeQuality().packets.ignored).toBe(packets.length);

  await participant.close();
  const id = fresh("after-garbage");
  const next = fed();
  await attach(next, id);
  for (const packet of packets) next.feed.next(packet);
  next.feed.complete();
  expect((await leaving(id)).data).toMatchObject({ reason: "left", windows: { dropped: 0 } });
  expect(seen.of("emotion", id).length).toBeGreaterThan(0);
});
