/**
 * A process that gives models up while their threads are in native code, where to terminate one would abort the process.
 * Started by onnx-backend.test.ts.
 */
import { sleep, systemClock } from "../../src/core/clock.ts";
import {
  defaultModelDir,
  loadModelPackage,
  modelShape,
  OnnxBackend,
  WindowMemory,
} from "../../src/inference/index.ts";
import { ManualClock } from "../support/manual-clock.ts";

const model = await loadModelPackage(defaultModelDir());
const shape = modelShape(model.manifest);
const memory = new WindowMemory(32, shape);
const rows = Array.from({ length: 32 }, (_, row) => row);

/** @returns whether that stopped it */
async function interruptStart(afterMs: number): Promise<boolean> {
  const backend = new OnnxBackend({ device: "cpu" });
  const abort = new AbortController();
  const loading = backend.load(model, abort.signal).then(
    () => false,
    () => true,
  );
  await sleep(systemClock, afterMs);
  abort.abort();
  const stopped = await loading;
  await backend.close();
  return stopped;
}

async function interruptBatch(afterMs: number): Promise<boolean> {
  const clock = new ManualClock();
  const backend = new OnnxBackend({ device: "cpu", clock, maxRestarts: 0 });
  await backend.load(model);
  const running = backend.run({ memory, rows }, new Float32Array(rows.length * shape.labels)).then(
    () => false,
    () => true,
  );
  await sleep(systemClock, afterMs);
  // Too late: the thread is given up.
  clock.advance(10_000);
  const stopped = await running;
  await backend.close();
  return stopped;
}

let starts = 0;
for (let i = 0; i < 12; i++) if (await interruptStart(25 * i)) starts++;
let batches = 0;
for (let i = 0; i < 4; i++) if (await interruptBatch(3 * i)) batches++;
console.log(`${starts} starts and ${batches} batches given up`);
