/** The thread that runs a model with ONNX Runtime; its run() blocks, so no other thread may load it. The main side is onnx-backend.ts. */
import { parentPort } from "node:worker_threads";
import { InferenceSession, listSupportedBackends, Tensor } from "onnxruntime-node";
import { systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { chooseProvider, inspectMachine, onnxRuntimeVersion, type ProviderName } from "./onnx-providers.ts";
import type { ModelShape, WindowMemoryView } from "./window-memory.ts";
import type { FromWorker, LoadRequest, OpenedReply, RunRequest, ToWorker } from "./worker-protocol.ts";

/** Runs timed before a GPU is preferred to the processor. */
const TIMED_RUNS = 3;

interface OpenModel {
  readonly session: InferenceSession;
  readonly request: LoadRequest;
  /** Where scattered rows are brought together; made when first needed. */
  gathered: WindowMemoryView | undefined;
}

const port = parentPort;
if (port === null) throw new TonetapError("internal", "onnx-worker.ts runs as a worker thread only");

const memories = new Map<number, WindowMemoryView>();
let model: OpenModel | undefined;
/** The last batch taken on. One runs after the other: they share `gathered`, and a batch's time is its own. */
let lastRun: Promise<void> = Promise.resolve();

const reply = (message: FromWorker): void => port.postMessage(message);

port.on("message", (message: ToWorker) => {
  switch (message.kind) {
    case "load":
      load(message).then(reply, (error: unknown) => {
        const { code, message: text } = TonetapError.from(error, "unavailable");
        reply({ kind: "refused", code, message: text });
      });
      return;
    case "memory":
      memories.set(message.memory, message.view);
      return;
    case "run":
      lastRun = lastRun
        .then(() => run(message))
        .then(
          (inferenceMs) => reply({ kind: "done", slot: message.slot, inferenceMs }),
          (error: unknown) =>
            reply({ kind: "failed", slot: message.slot, message: TonetapError.from(error).message }),
        );
      return;
    case "close":
      void (model?.session.release() ?? Promise.resolve()).finally(() => port.close());
      return;
    default:
      message satisfies never;
  }
});

async function load(request: LoadRequest): Promise<OpenedReply> {
  const machine = inspectMachine(listSupportedBackends().map((backend) => backend.name));
  const { provider, session, tried } = await chooseProvider<OpenModel>(request.device, machine, {
    open: (name) => openModel(request, name),
    fullBatchMs,
    release: ({ session }) => session.release(),
  });
  model = session;
  return {
    kind: "opened",
    engine: `onnxruntime-node ${onnxRuntimeVersion()}`,
    provider,
    device: provider === "cpu" ? "cpu" : "gpu",
    tried,
    threads: 1,
  };
}

async function openModel(request: LoadRequest, provider: ProviderName): Promise<OpenModel> {
  const session = await createSession(request, provider);
  try {
    checkTensors(session, request);
    const open: OpenModel = { session, request, gathered: undefined };
    await warmUp(open);
    return open;
  } catch (error) {
    await session.release();
    throw error;
  }
}

function createSession(
  { onnxPath, deviceId }: LoadRequest,
  provider: ProviderName,
): Promise<InferenceSession> {
  const numbered = deviceId !== undefined && (provider === "cuda" || provider === "tensorrt");
  return InferenceSession.create(onnxPath, {
    executionProviders: [numbered ? { name: provider, deviceId } : provider],
    // More workers beat more threads in one: 2 × 1 gave 475 windows/s, 1 × 2 gave 293.
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    extra: { session: { intra_op: { allow_spinning: "0" }, inter_op: { allow_spinning: "0" } } },
    logSeverityLevel: 3,
  });
}

/** @throws TonetapError invalid-argument when the file's tensors are not those that the manifest describes */
function checkTensors(session: InferenceSession, { tensors, shape }: LoadRequest): void {
  const { channels, frames, labels } = shape;
  const expect = (
    role: string,
    list: readonly InferenceSession.ValueMetadata[],
    name: string,
    want: readonly number[],
  ): void => {
    const found = list.find((tensor) => tensor.name === name);
    // A symbolic dimension fits anything; the first has to be one, because batches vary.
    const fits =
      found?.isTensor === true &&
      found.type === "float32" &&
      found.shape.length === want.length + 1 &&
      typeof found.shape[0] === "string" &&
      want.every((size, i) => typeof found.shape[i + 1] === "string" || found.shape[i + 1] === size);
    if (fits) return;
    const got =
      found === undefined
        ? `only ${list.map((tensor) => tensor.name).join(", ")}`
        : found.isTensor
          ? `${found.type} [${found.shape.join(", ")}]`
          : "no tensor";
    throw new TonetapError(
      "invalid-argument",
      `the ONNX file's ${role} "${name}" must be float32 [N, ${want.join(", ")}], got ${got}`,
    );
  };
  expect("input", session.inputMetadata, tensors.features, [channels, 1, frames]);
  expect("input", session.inputMetadata, tensors.mask, [1, 1, frames]);
  expect("output", session.outputMetadata, tensors.logits, [labels]);
  if (session.inputNames.length !== 2) {
    throw new TonetapError(
      "invalid-argument",
      `the ONNX file must have 2 inputs (${tensors.features}, ${tensors.mask}), got ${session.inputNames.join(", ")}`,
    );
  }
}

/** The first runs allocate and, on a GPU, compile: nobody's window should wait for that. */
async function warmUp(candidate: OpenModel): Promise<void> {
  await infer(candidate, silence(candidate.request.shape, 1), 0, 1);
  const { maxBatch, shape } = candidate.request;
  await infer(candidate, silence(shape, maxBatch), 0, maxBatch);
}

async function fullBatchMs(candidate: OpenModel): Promise<number> {
  const { maxBatch, shape } = candidate.request;
  const input = silence(shape, maxBatch);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < TIMED_RUNS; i++) {
    const startedMs = systemClock.now();
    await infer(candidate, input, 0, maxBatch);
    best = Math.min(best, systemClock.now() - startedMs);
  }
  return best;
}

function silence(shape: ModelShape, windows: number): WindowMemoryView {
  const memory = privateMemory(shape, windows);
  memory.masks.fill(1);
  return memory;
}

function privateMemory(shape: ModelShape, windows: number): WindowMemoryView {
  return {
    features: new Float32Array(new SharedArrayBuffer(4 * windows * shape.channels * shape.frames)),
    masks: new Float32Array(new SharedArrayBuffer(4 * windows * shape.frames)),
  };
}

/** @returns time in the model, ms */
async function run({ slot, memory, rows }: RunRequest): Promise<number> {
  const view = memories.get(memory);
  const first = rows[0];
  if (model === undefined || view === undefined || first === undefined) {
    throw new TonetapError("internal", `slot ${slot}: no model, memory ${memory} or rows`);
  }
  const { maxBatch, shape, logits } = model.request;
  const startedMs = systemClock.now();
  const together = rows.every((row, i) => row === first + i);
  const output = together
    ? await infer(model, view, first, rows.length)
    : await infer(model, gather(model, view, rows), 0, rows.length);
  // The batcher wipes the rows; this copy of them is ours to wipe.
  if (!together) model.gathered?.features.fill(0, 0, rows.length * shape.channels * shape.frames);
  logits.set(output, slot * maxBatch * shape.labels);
  return systemClock.now() - startedMs;
}

/** Copies scattered rows together: about 10 µs a window. Rows are handed out in sequence, so it is the exception. */
function gather(open: OpenModel, from: WindowMemoryView, rows: readonly number[]): WindowMemoryView {
  const { shape, maxBatch } = open.request;
  open.gathered ??= privateMemory(shape, maxBatch);
  const size = shape.channels * shape.frames;
  for (const [i, row] of rows.entries()) {
    open.gathered.features.set(from.features.subarray(row * size, (row + 1) * size), i * size);
    open.gathered.masks.set(
      from.masks.subarray(row * shape.frames, (row + 1) * shape.frames),
      i * shape.frames,
    );
  }
  return open.gathered;
}

/** Runs `count` rows from `first` where they lie: ONNX Runtime reads shared memory without a copy. */
async function infer(
  open: OpenModel,
  view: WindowMemoryView,
  first: number,
  count: number,
): Promise<Float32Array> {
  const { shape, tensors } = open.request;
  const size = shape.channels * shape.frames;
  const results = await open.session.run(
    {
      [tensors.features]: new Tensor(
        "float32",
        view.features.subarray(first * size, (first + count) * size),
        [count, shape.channels, 1, shape.frames],
      ),
      [tensors.mask]: new Tensor(
        "float32",
        view.masks.subarray(first * shape.frames, (first + count) * shape.frames),
        [count, 1, 1, shape.frames],
      ),
    },
    [tensors.logits],
  );
  const data = results[tensors.logits]?.data;
  if (!(data instanceof Float32Array) || data.length !== count * shape.labels) {
    throw new TonetapError(
      "internal",
      `the model gave ${String(data?.length)} logits for ${count} × ${shape.labels}`,
    );
  }
  return data;
}
