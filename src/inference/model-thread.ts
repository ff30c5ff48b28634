/**
 * A thread that runs a model: takes batches one after the other, finds their windows in shared memory and writes the
 * logits back. Which engine computes is the caller's: onnx-worker.ts, tfjs-worker.ts. The main side is worker-backend.ts.
 */
import { parentPort } from "node:worker_threads";
import { systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { stepsFrom } from "./held-steps.ts";
import { holding, letGo } from "./native-hold.ts";
import type { StreamMemoryView } from "./stream-memory.ts";
import { type StreamModel, StreamRunner, type StreamWindow } from "./stream-runner.ts";
import type { ModelShape, WindowMemoryView } from "./window-memory.ts";
import type { FromWorker, LoadRequest, OpenedReply, RunRequest, ToWorker } from "./worker-protocol.ts";

/** A model that is open in this thread. */
export interface ThreadModel {
  /** What to tell of it. */
  readonly opened: Omit<OpenedReply, "kind">;
  /** Runs `count` rows from `first`. @returns their logits, [count, L]; valid until the next call */
  infer(view: WindowMemoryView, first: number, count: number): Promise<Float32Array>;
  /** Its two parts, where they were asked for. */
  readonly streams?: StreamModel | undefined;
  release(): Promise<void>;
}

interface Loaded {
  readonly model: ThreadModel;
  readonly request: LoadRequest;
  readonly streams: StreamRunner | undefined;
  /** Where scattered rows are brought together; made when first needed. */
  gathered: WindowMemoryView | undefined;
}

/** Serves the main side until it says close. @param open opens the model and warms it up */
export function runModelThread(open: (request: LoadRequest) => Promise<ThreadModel>): void {
  if (parentPort === null) throw new TonetapError("internal", "this script runs as a worker thread only");
  const port = parentPort;
  const memories = new Map<number, WindowMemoryView>();
  const streamMemories = new Map<number, StreamMemoryView>();
  let loaded: Loaded | undefined;
  let isClosing = false;
  /** The last thing taken on. One runs after the other: they share `gathered`, and a batch's time is its own. */
  let last: Promise<void> = Promise.resolve();
  const reply = (message: FromWorker): void => port.postMessage(message);

  const load = async (request: LoadRequest): Promise<void> => {
    const model = await open(request).finally(() => letGo(request.hold));
    const { shape, maxBatch, streaming } = request;
    const streams =
      streaming && model.streams && new StreamRunner(model.streams, shape, streaming.shape, maxBatch);
    loaded = { model, request, streams, gathered: undefined };
    reply({ kind: "opened", ...model.opened });
  };
  port.on("message", (message: ToWorker) => {
    switch (message.kind) {
      case "load":
        last = load(message).catch((error: unknown) => {
          const { code, message: text } = TonetapError.from(error, "unavailable");
          reply({ kind: "refused", code, message: text });
        });
        return;
      case "memory":
        memories.set(message.memory, message.view);
        return;
      case "streams":
        streamMemories.set(message.memory, message.view);
        return;
      case "run":
        last = last
          .then(() => {
            const streams = message.streams && streamMemories.get(message.streams.memory);
            return run(isClosing ? undefined : loaded, memories.get(message.memory), streams, message);
          })
          .then(
            (inferenceMs) => reply({ kind: "done", slot: message.slot, inferenceMs }),
            (error: unknown) =>
              reply({ kind: "failed", slot: message.slot, message: TonetapError.from(error).message }),
          );
        return;
      case "close":
        isClosing = true;
        void last.then(() => release(loaded)).finally(() => port.close());
        return;
      default:
        message satisfies never;
    }
  });
}

const release = async (loaded: Loaded | undefined): Promise<void> => {
  if (loaded !== undefined) await holding(loaded.request.hold, () => loaded.model.release());
};

/** @returns time in the model, ms */
async function run(
  loaded: Loaded | undefined,
  view: WindowMemoryView | undefined,
  streamView: StreamMemoryView | undefined,
  { slot, memory, rows, streams }: RunRequest,
): Promise<number> {
  if (loaded === undefined || view === undefined) {
    throw new TonetapError("internal", `slot ${slot}: no model or memory ${memory}`);
  }
  const { maxBatch, shape, logits, hold } = loaded.request;
  const startedMs = systemClock.now();
  const results = logits.subarray(slot * maxBatch * shape.labels, (slot + 1) * maxBatch * shape.labels);
  if (streams === undefined) results.set(await inferRows(loaded, view, rows));
  else {
    const { streaming } = loaded.request;
    const windows: StreamWindow[] = [];
    const alone: { readonly index: number; readonly row: number }[] = [];
    for (const [index, row] of rows.entries()) {
      const part = streams.parts[index];
      if (part === undefined) alone.push({ index, row });
      else windows.push({ index, row, part });
    }
    if (alone.length > 0) {
      const rowsAlone = alone.map(({ row }) => row);
      const output = await inferRows(loaded, view, rowsAlone);
      for (const [i, { index }] of alone.entries()) {
        results.set(output.subarray(i * shape.labels, (i + 1) * shape.labels), index * shape.labels);
      }
    }
    if (windows.length > 0) {
      if (loaded.streams === undefined || streamView === undefined || streaming === undefined) {
        throw new TonetapError("internal", `slot ${slot}: no streaming model or memory`);
      }
      const { stateSize, steps } = streaming.shape;
      const first = slot * maxBatch;
      const given = {
        logits: results,
        states: streaming.states.subarray(first * stateSize),
        embeddings: stepsFrom(streaming.embeddings, first * steps),
      };
      const runner = loaded.streams;
      await holding(hold, () => runner.run(windows, view, streamView, given));
    }
  }
  return systemClock.now() - startedMs;
}

/** Judges windows whole. @returns [rows.length, L] */
async function inferRows(
  loaded: Loaded,
  view: WindowMemoryView,
  rows: readonly number[],
): Promise<Float32Array> {
  const { model, request } = loaded;
  const { shape, hold } = request;
  const first = rows[0] ?? 0;
  const together = rows.every((row, i) => row === first + i);
  const output = await holding(hold, () =>
    together
      ? model.infer(view, first, rows.length)
      : model.infer(gather(loaded, view, rows), 0, rows.length),
  );
  // The batcher wipes the rows; this copy of them is ours to wipe.
  if (!together) loaded.gathered?.features.fill(0, 0, rows.length * shape.channels * shape.frames);
  if (output.length !== rows.length * shape.labels) {
    throw new TonetapError(
      "internal",
      `the model gave ${output.length} logits for ${rows.length} × ${shape.labels}`,
    );
  }
  return output;
}

/** Copies scattered rows together: about 10 µs a window. Rows are handed out in sequence, so it is the exception. */
function gather(loaded: Loaded, from: WindowMemoryView, rows: readonly number[]): WindowMemoryView {
  const { shape, maxBatch } = loaded.request;
  loaded.gathered ??= privateMemory(shape, maxBatch);
  const size = shape.channels * shape.frames;
  for (const [i, row] of rows.entries()) {
    loaded.gathered.features.set(from.features.subarray(row * size, (row + 1) * size), i * size);
    loaded.gathered.masks.set(
      from.masks.subarray(row * shape.frames, (row + 1) * shape.frames),
      i * shape.frames,
    );
  }
  return loaded.gathered;
}

function privateMemory(shape: ModelShape, windows: number): WindowMemoryView {
  return {
    features: new Float32Array(new SharedArrayBuffer(4 * windows * shape.channels * shape.frames)),
    masks: new Float32Array(new SharedArrayBuffer(4 * windows * shape.frames)),
  };
}

/** Windows of no features, all frames valid: for warming up and timing. */
export function silence(shape: ModelShape, windows: number): WindowMemoryView {
  const memory = privateMemory(shape, windows);
  memory.masks.fill(1);
  return memory;
}

/** The first runs allocate and, on a GPU, compile: nobody's window should wait for that. */
export async function warmUp(
  infer: ThreadModel["infer"],
  { shape, maxBatch }: Pick<LoadRequest, "shape" | "maxBatch">,
): Promise<void> {
  await infer(silence(shape, 1), 0, 1);
  await infer(silence(shape, maxBatch), 0, maxBatch);
}
