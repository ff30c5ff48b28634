import { describe, expect, it } from "vitest";
import type { PcmUnit } from "../../../src/core/media.ts";
import type { RtpPacket } from "../../../src/core/rtp.ts";
import { wallMs } from "../../../src/core/units.ts";
import { VirtualClock } from "../../../src/core/virtual-clock.ts";
import { FilePcm, FileSource } from "../../../src/transport/file/file-source.ts";
import { tone, wav } from "../../support/wav.ts";

const clockAtZero = (): VirtualClock => new VirtualClock(wallMs(0));

/** What a source emits, with the clock's time at each. */
function collect(source: FileSource, clock: VirtualClock): { packets: RtpPacket[]; timesMs: number[] } {
  const packets: RtpPacket[] = [];
  const timesMs: number[] = [];
  source.packets.subscribe((packet) => {
    packets.push(packet);
    timesMs.push(clock.now());
  });
  return { packets, timesMs };
}

describe("FileSource", () => {
  it("plays 1.01 s of 44.1 kHz as 51 packets, each when its 20 ms are over", async () => {
    const clock = clockAtZero();
    const source = new FileSource(wav([tone(300, 44_100, 1.01)], 44_100, 16), { clock });
    const { packets, timesMs } = collect(source, clock);

    await source.play();

    expect(packets.length).toBe(51);
    expect(timesMs).toEqual(Array.from({ length: 51 }, (_, i) => 20 * (i + 1)));
    expect(packets.map((packet) => packet.arrivalMs)).toEqual(timesMs);
    expect(packets.map((packet) => packet.sequence)).toEqual(packets.map((_, i) => i));
    expect(packets[50]).toMatchObject({ timestamp: 50 * 960, payloadType: 111 });
    expect(source.codecs.get(111)?.mimeType).toBe("audio/opus");
  });

  it("stands still after the 7th packet until there is room again", async () => {
    const clock = clockAtZero();
    const { promise, resolve } = Promise.withResolvers<void>();
    const source = new FileSource(wav([tone(300, 16_000, 1)], 16_000, 16), {
      clock,
      ready: () => (packets.length === 7 ? promise : undefined),
    });
    const { packets } = collect(source, clock);

    const playing = source.play();
    for (let turn = 0; turn < 50; turn++) await new Promise((done) => setImmediate(done));
    expect(packets.length).toBe(7);
    expect(clock.now()).toBe(140);
    resolve();
    await playing;

    expect(packets.length).toBe(50);
  });

  it("lets others run at least 9 times within 10 s of audio", async () => {
    const clock = clockAtZero();
    const source = new FileSource(wav([new Float32Array(160_000)], 16_000, 16), { clock });
    let turns = 0;
    let playing = true;
    const count = (): void => {
      turns++;
      if (playing) setImmediate(count);
    };
    setImmediate(count);

    await source.play();
    playing = false;

    expect(turns).toBeGreaterThanOrEqual(9);
  });

  it("gives the 25 packets of a WAV cut at 0.5 s, completes, then says what is wrong", async () => {
    const clock = clockAtZero();
    const source = new FileSource(wav([tone(300, 16_000, 1)], 16_000, 16).subarray(0, 44 + 16_000), {
      clock,
    });
    const { packets } = collect(source, clock);
    let completed = false;
    source.packets.subscribe({
      complete: () => {
        completed = true;
      },
    });

    await expect(source.play()).rejects.toThrow(/is damaged or cut off: 0.50 s of 1.00 s/);

    expect(packets.length).toBe(25);
    expect(completed).toBe(true);
  });

  it("stops within 1 packet when closed, twice without harm", async () => {
    const clock = clockAtZero();
    const source = new FileSource(wav([tone(300, 16_000, 1)], 16_000, 16), { clock });
    const { packets } = collect(source, clock);
    source.packets.subscribe(() => {
      if (packets.length === 5) void source.close();
    });

    await source.play();
    await source.close();

    expect(packets.length).toBe(5);
    expect(clock.now()).toBeLessThanOrEqual(120);
  });

  it("says nothing for most of 2 s of silence when DTX is asked for", async () => {
    const clock = clockAtZero();
    const silence = new Float32Array(48_000);
    silence.set(tone(300, 16_000, 1));
    const source = new FileSource(wav([silence], 16_000, 16), { clock, dtx: true });
    const { packets } = collect(source, clock);

    await source.play();

    expect(packets.length).toBeLessThan(90);
    expect(clock.now()).toBe(3_000);
  });
});

describe("FilePcm", () => {
  it("gives the file's own 16,160 samples after 1 reset, without a codec", async () => {
    const clock = clockAtZero();
    const truth = tone(300, 16_000, 1.01);
    const source = new FilePcm(wav([truth], 16_000, "float"), { clock });
    const samples: number[] = [];
    const kinds: PcmUnit["kind"][] = [];
    source.pcm.subscribe((unit) => {
      kinds.push(unit.kind);
      if (unit.kind !== "pcm") return;
      expect(unit.start).toBe(samples.length);
      expect(unit.arrivalMs).toBe(clock.now());
      samples.push(...unit.samples);
    });

    await source.play();

    expect(kinds).toEqual(["reset", ...Array.from({ length: 51 }, () => "pcm")]);
    expect(Float32Array.from(samples)).toEqual(truth);
  });
});
