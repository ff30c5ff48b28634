/** A service's own chain on a streaming model, in the caller's thread and on a shard. */
import { expect, it } from "vitest";
import { TINY_STREAMING_DIR } from "../inference/tiny-network.ts";
import { sendImpaired } from "./impaired-sender.ts";
import { attachUdp, openEngine, recordedFrames, upTo } from "./support.ts";

it.each([0, 1])(
  "with %i shards, live speech is judged by its new frames, and nothing is carried of who withdraws or leaves",
  async (count) => {
    const { engine, seen } = await openEngine({
      shards: { count },
      overload: { control: "off" },
      model: { package: TINY_STREAMING_DIR, device: "cpu" },
      window: { hopMs: 100 },
    });
    // Of her first words, again and again: a sender that stalls on a busy machine begins another talk-spurt.
    const recorded = await recordedFrames("anna");
    const words = upTo(recorded, 2_300).slice(upTo(recorded, 500).length);
    const frames = [words, words, words].flat();
    const names = ["withdraws", "leaves"];
    const sending: Promise<unknown>[] = [];
    for (const participantId of names) {
      const source = await attachUdp(engine, participantId);
      sending.push(sendImpaired(frames, source.address.port, { loss: 0, duplicate: 0, reorder: 0 }));
    }
    for (const name of names) {
      await expect.poll(() => seen.of("emotion", name).length).toBeGreaterThan(5);
    }
    const { steps = 0, held } = engine.batcherStats.streams ?? {};
    expect([steps > 5, held]).toEqual([true, 2]);

    await engine.participant("test", "withdraws").setConsent("withdrawn");
    await engine.participant("test", "leaves").close();

    await expect.poll(() => engine.batcherStats.streams?.held).toBe(0);
    await Promise.all(sending);
    await engine.close();
  },
);
