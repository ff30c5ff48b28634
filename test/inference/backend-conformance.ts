/** What every backend must do, as one suite. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import {
  type InferenceBackend,
  loadModelPackage,
  type ModelPackage,
  type ModelShape,
  modelShape,
  WindowMemory,
} from "../../src/inference/index.ts";
import { TINY_MODEL_DIR } from "./fixtures.ts";

/** @param make a backend that is not loaded yet, with maxBatch 4 */
export function backendConformance(name: string, make: () => InferenceBackend): void {
  describe(`${name}, as every backend`, () => {
    let model: ModelPackage;
    let shape: ModelShape;
    let memory: WindowMemory;
    /** For the tests that leave it as it was. */
    let backend: InferenceBackend;
    const opened: InferenceBackend[] = [];

    beforeAll(async () => {
      model = await loadModelPackage(TINY_MODEL_DIR);
      shape = modelShape(model.manifest);
      memory = new WindowMemory(9, shape);
      const size = shape.channels * shape.frames;
      for (let row = 0; row < memory.rows; row++) {
        const frames = shape.frames - 20 * row;
        const features = new Float32Array(size);
        for (let i = 0; i < size; i++) {
          if (i % shape.frames < frames) features[i] = Math.sin((i + 1) * (row + 1) * 0.01);
        }
        memory.write(row, features, frames);
      }
      backend = make();
      await backend.load(model);
    });
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.close();
    });
    afterAll(() => backend.close());

    /** One of its own for a test: not loaded. */
    const another = (): InferenceBackend => {
      const made = make();
      opened.push(made);
      return made;
    };
    const run = async (rows: readonly number[], on = backend): Promise<number[][]> => {
      const out = new Float32Array(rows.length * shape.labels);
      const { inferenceMs } = await on.run({ memory, rows }, out);
      expect(inferenceMs).toBeGreaterThanOrEqual(0);
      return rows.map((_, i) => [...out.subarray(i * shape.labels, (i + 1) * shape.labels)]);
    };
    const close = (row: readonly number[] = []): unknown[] => row.map((value) => expect.closeTo(value, 4));

    it("gives a window the same logits alone and in a batch of 4", async () => {
      const together = await run([0, 1, 2, 3]);

      for (const row of [0, 1, 2, 3]) {
        expect((await run([row]))[0]).toEqual(close(together[row]));
      }
      expect(together[0]).not.toEqual(close(together[1]));
    });

    it("gives 3 scattered rows, in any order, the same logits as rows in sequence", async () => {
      const inSequence = [...(await run([5, 6, 7])), ...(await run([8]))];

      const scattered = await run([8, 5, 7]);

      expect(scattered).toEqual([close(inSequence[3]), close(inSequence[0]), close(inSequence[2])]);
    });

    it("answers 4 batches that are under way at once, scattered ones too, each with its own logits", async () => {
      const batches = [[0, 1], [6, 3], [2], [8, 4, 1]];
      const alone: number[][][] = [];
      for (const rows of batches) alone.push(await run(rows));

      const atOnce = await Promise.all(batches.map((rows) => run(rows)));

      expect(atOnce).toEqual(alone.map((rows) => rows.map((row) => close(row))));
    });

    it("does not count the wait for the 3 batches before it as time in the model", async () => {
      const out = Array.from({ length: 4 }, () => new Float32Array(4 * shape.labels));
      const startedMs = systemClock.now();

      const timings = await Promise.all(out.map((one) => backend.run({ memory, rows: [0, 1, 2, 3] }, one)));

      const together = timings.reduce((sum, { inferenceMs }) => sum + inferenceMs, 0);
      expect(together).toBeLessThanOrEqual(systemClock.now() - startedMs);
    });

    it("reads a second memory of 2 rows as well as the first", async () => {
      const [first] = await run([2]);
      const other = new WindowMemory(2, shape);
      const size = shape.channels * shape.frames;
      other.write(1, memory.features.slice(2 * size, 3 * size), shape.frames - 40);
      const out = new Float32Array(shape.labels);

      await backend.run({ memory: other, rows: [1] }, out);

      expect([...out]).toEqual(close(first));
    });

    it("refuses 5 windows of 4, no window, 6 of 7 logits, and windows of another size", async () => {
      const wrong = { code: "invalid-argument" };
      const out = new Float32Array(5 * shape.labels);
      const small = new WindowMemory(1, { ...shape, frames: shape.frames - 1 });

      await expect(backend.run({ memory, rows: [0, 1, 2, 3, 4] }, out)).rejects.toMatchObject(wrong);
      await expect(backend.run({ memory, rows: [] }, out)).rejects.toMatchObject(wrong);
      await expect(backend.run({ memory, rows: [0] }, new Float32Array(6))).rejects.toMatchObject(wrong);
      await expect(backend.run({ memory: small, rows: [0] }, out)).rejects.toMatchObject(wrong);
      expect(await run([0])).toHaveLength(1);
    });

    it("cannot run before load(), and loads 1 time only", async () => {
      const fresh = another();
      const out = new Float32Array(shape.labels);

      await expect(fresh.run({ memory, rows: [0] }, out)).rejects.toMatchObject({ code: "unavailable" });
      await expect(fresh.ready()).rejects.toMatchObject({ code: "unavailable" });
      await expect(backend.load(model)).rejects.toMatchObject({ code: "conflict" });
      await expect(backend.ready()).resolves.toBeUndefined();
    });

    it("says in 1 description what it is and what it runs", async () => {
      expect(another().describe()).toMatchObject({ state: "new", model: "" });

      const { engine, state, threads, model: id, restarts } = backend.describe();
      expect([state, id, restarts]).toEqual(["ready", model.id, 0]);
      expect(engine).not.toBe("");
      expect(threads).toBeGreaterThan(0);
    });

    it("heeds an aborted signal in load() and run(), 2 of 2", async () => {
      const signal = AbortSignal.abort();

      await expect(another().load(model, signal)).rejects.toMatchObject({ code: "closed" });
      await expect(
        backend.run({ memory, rows: [0] }, new Float32Array(shape.labels), signal),
      ).rejects.toMatchObject({ code: "closed" });
    });

    it("finishes 2 batches under way when it is closed, twice, and runs no more", async () => {
      const own = another();
      await own.load(model);
      const running = [run([0, 1, 2, 3], own), run([4], own)];

      await Promise.all([own.close(), own.close()]);

      expect((await Promise.all(running)).map((rows) => rows.length)).toEqual([4, 1]);
      expect(own.describe().state).toBe("closed");
      const out = new Float32Array(shape.labels);
      await expect(own.run({ memory, rows: [0] }, out)).rejects.toMatchObject({ code: "closed" });
    });

    it("closes without ever having been loaded, 1 time of 1", async () => {
      await expect(another().close()).resolves.toBeUndefined();
    });
  });
}
