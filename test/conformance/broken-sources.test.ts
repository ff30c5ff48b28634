/** A source that keeps every promise, and 14 that break one each: the check that is for it says so. */
import { Observable } from "rxjs";
import { afterAll, describe, expect, test } from "vitest";
import { checkAudioSource, type SourceUnderTest } from "../../src/conformance/index.ts";
import type { AudioSource } from "../../src/core/audio-source.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { OPUS, PCMU, type RtpPacket } from "../../src/core/rtp.ts";
import { monotonicMs } from "../../src/core/units.ts";
import { MessageSource, oneCodec } from "../../src/transport/message-source.ts";
import { TurningClock } from "../support/turning-clock.ts";

const clock = new TurningClock();
afterAll(() => clock[Symbol.dispose]());

const options = { clock, timeoutMs: 60, quietMs: 5 };

/** 200 ms of PCMU, each packet changed on its way. */
function subject(change: (packet: RtpPacket) => RtpPacket = (packet) => packet): SourceUnderTest {
  const source = new MessageSource({ clock, kind: "good", codecs: oneCodec(0, PCMU) });
  let sent = 0;
  const changed: AudioSource = Object.create(source, {
    packets: {
      value: new Observable<RtpPacket>((subscriber) =>
        source.packets.subscribe({
          next: (packet) => subscriber.next(change(packet)),
          error: (error) => subscriber.error(error),
          complete: () => subscriber.complete(),
        }),
      ),
    },
    close: { value: () => source.close() },
    kind: { value: source.kind },
    codecs: { value: source.codecs },
  });
  return {
    source: changed,
    send: async () => {
      for (let i = 0; i < 10; i++, sent++)
        source.take(0, 65_530 + sent, sent * 160, new Uint8Array(160).fill(sent));
    },
    leave: async () => source.end(),
    fail: async () => source.fail(new TonetapError("unavailable", "gone")),
  };
}

const failed = async (create: () => SourceUnderTest): Promise<string[]> => {
  const report = await checkAudioSource(async () => create(), options);
  expect(report.passed).toBe(report.checks.every(({ outcome }) => outcome !== "failed"));
  return report.checks
    .filter(({ outcome }) => outcome === "failed")
    .map(({ name, reason }) => `${name}: ${reason}`);
};

const withSource = (base: SourceUnderTest, change: Partial<AudioSource>): SourceUnderTest => ({
  ...base,
  source: Object.create(
    base.source,
    Object.fromEntries(Object.entries(change).map(([name, value]) => [name, { value }])),
  ),
});

test("a source that keeps the contract passes 13 checks of 13", async () => {
  const report = await checkAudioSource(async () => subject(), options);

  expect(report.checks.filter(({ outcome }) => outcome === "passed")).toHaveLength(13);
  expect(report.text.split("\n")).toHaveLength(13);
  expect(report.passed).toBe(true);
});

test("without leave() and fail() 2 checks are skipped, and said to be", async () => {
  const report = await checkAudioSource(async () => {
    const { leave: _, fail: __, ...rest } = subject();
    return rest;
  }, options);

  expect(report.passed).toBe(true);
  expect(report.checks.filter(({ outcome }) => outcome === "skipped").map(({ reason }) => reason)).toEqual([
    "leave() is not given",
    "fail() is not given",
  ]);
});

describe("each of 14 faults is found by the check that is for it", () => {
  test.each<[string, (packet: RtpPacket) => RtpPacket, string]>([
    ["timestamps in ms", (p) => ({ ...p, timestamp: p.timestamp / 8 }), "is 20 ticks after packet"],
    [
      "timestamps at 16 kHz half as fast",
      (p) => ({ ...p, timestamp: p.timestamp / 2 }),
      "which holds 160 ticks of audio/PCMU",
    ],
    ["a sequence of 17 bits", (p) => ({ ...p, sequence: p.sequence + 65_536 }), "sequence must be 16 bits"],
    ["a signed timestamp", (p) => ({ ...p, timestamp: -1 - p.timestamp }), "timestamp must be 32 bits"],
    [
      "time of day as arrival",
      (p) => ({ ...p, arrivalMs: monotonicMs(Date.now()) }),
      "ms after the packet came: use clock.now()",
    ],
    [
      "a payload type nobody knows",
      (p) => ({ ...p, payloadType: 99 }),
      "no packet has a payload of a type that is in codecs",
    ],
    [
      "text as payload",
      (p) => ({ ...p, payload: "audio" as unknown as Uint8Array }),
      "payload must be a Uint8Array",
    ],
  ])("%s", async (_, change, words) => {
    expect((await failed(() => subject(change))).join("\n")).toContain(words);
  });

  test("one buffer for all payloads", async () => {
    const faults = await failed(() => {
      const shared = new Uint8Array(160);
      return subject((packet) => {
        shared.set(packet.payload);
        return { ...packet, payload: shared };
      });
    });

    expect(faults).toEqual([expect.stringMatching(/^leaves a payload to its receiver: a payload changed/)]);
  });

  test("a peer that leaves without an end", async () => {
    const faults = await failed(() => ({ ...subject(), leave: async () => undefined }));

    expect(faults).toEqual(["completes when the peer leaves: packets did not complete after the peer left"]);
  });

  test("a failure that looks like leaving", async () => {
    const faults = await failed(() => {
      const good = subject();
      return { ...good, fail: good.leave ?? good.send };
    });

    expect(faults).toEqual([expect.stringContaining("packets completed as if the peer had left")]);
  });

  test("close() that does not complete, that never resolves, that throws the second time", async () => {
    const deaf = await failed(() => withSource(subject(), { close: async () => undefined }));
    const hanging = await failed(() => withSource(subject(), { close: () => new Promise(() => undefined) }));
    const once = await failed(() => {
      const good = subject();
      let closed = false;
      return withSource(good, {
        close: async () => {
          if (closed) throw new RangeError("closed already");
          closed = true;
          await good.source.close();
        },
      });
    });

    expect(deaf).toContain(
      "close() completes packets, however often it is called: packets did not complete after close()",
    );
    expect(deaf.join("\n")).toContain("packets came after close()");
    expect(hanging).toContain("close() completes packets before anything came: close() took more than 60 ms");
    expect(once).toEqual([expect.stringContaining("closed already")]);
  });

  test("Opus with a clock of 16 kHz, and a kind with a space", async () => {
    const opus = await failed(() =>
      withSource(subject(), { codecs: new Map([[111, { ...OPUS, clockRateHz: 16_000 }]]) }),
    );
    const kind = await failed(() => withSource(subject(), { kind: "My Source" }));

    expect(opus.join("\n")).toContain("payload type 111: Opus has a clock of 48000 Hz, got 16000");
    expect(kind).toEqual([expect.stringContaining('kind must be 1–32 of a–z 0–9 -, got "My Source"')]);
  });

  test("a subscription after the end that never ends", async () => {
    const faults = await failed(() => {
      const good = subject();
      let closed = false;
      return withSource(good, {
        packets: new Observable((subscriber) =>
          closed ? undefined : good.source.packets.subscribe(subscriber),
        ),
        close: async () => {
          closed = true;
          await good.source.close();
        },
      });
    });

    expect(faults).toEqual([expect.stringContaining("who comes later gets an end")]);
  });
});
