/** The thread that runs a model with ONNX Runtime; its run() blocks, so no other thread may load it. Everything else of a thread is model-thread.ts. */
import { InferenceSession, listSupportedBackends, Tensor } from "onnxruntime-node";
import { systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { runModelThread, silence, type ThreadModel, warmUp } from "./model-thread.ts";
import { chooseProvider, inspectMachine, onnxRuntimeVersion, type ProviderName } from "./onnx-providers.ts";
import type { StreamModel } from "./stream-runner.ts";
import type { WindowMemoryView } from "./window-memory.ts";
import type { LoadRequest, StreamingRequest } from "./worker-protocol.ts";

/** Runs timed before a GPU is preferred to the processor. */
const TIMED_RUNS = 3;

interface OpenSession {
  readonly session: InferenceSession;
  readonly request: LoadRequest;
  /** Where its results go, [maxBatch, L]. */
  readonly logits: Float32Array;
}

/** A streaming model's parts. */
interface OpenParts {
  readonly encoder: InferenceSession;
  readonly head: InferenceSession;
}

runModelThread(async (request): Promise<ThreadModel> => {
  const machine = inspectMachine(listSupportedBackends().map((backend) => backend.name));
  const { provider, session, tried } = await chooseProvider<OpenSession>(request.device, machine, {
    open: (name) => openSession(request, name),
    fullBatchMs,
    release: ({ session }) => session.release(),
  });
  // On the provider that the whole model runs on: who judges a window must not change with the way it is judged.
  const parts = request.streaming && (await openParts(request, request.streaming, provider));
  return {
    opened: {
      engine: `onnxruntime-node ${onnxRuntimeVersion()}`,
      provider,
      device: provider === "cpu" ? "cpu" : "gpu",
      tried,
      threads: 1,
    },
    infer: (view, first, count) => infer(session, view, first, count),
    ...(parts && request.streaming && { streams: streamModel(parts, request, request.streaming) }),
    release: async () => {
      await session.session.release();
      await parts?.encoder.release();
      await parts?.head.release();
    },
  };
});

async function openSession(request: LoadRequest, provider: ProviderName): Promise<OpenSession> {
  const session = await createSession(request, request.onnxPath, provider);
  try {
    checkTensors(session, request);
    const { maxBatch, shape } = request;
    const open: OpenSession = { session, request, logits: new Float32Array(maxBatch * shape.labels) };
    await warmUp((view, first, count) => infer(open, view, first, count), request);
    return open;
  } catch (error) {
    await session.release();
    throw error;
  }
}

function createSession(
  { deviceId }: LoadRequest,
  onnxPath: string,
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
  expectTensors(
    session,
    "the ONNX file",
    { [tensors.features]: [channels, 1, frames], [tensors.mask]: [1, 1, frames] },
    { [tensors.logits]: [labels] },
  );
}

/** A dimension: so many, or any number. */
type Dimension = number | "any";

function expectTensors(
  session: InferenceSession,
  file: string,
  inputs: Readonly<Record<string, readonly Dimension[]>>,
  outputs: Readonly<Record<string, readonly Dimension[]>>,
): void {
  const expect = (
    role: string,
    list: readonly InferenceSession.ValueMetadata[],
    name: string,
    want: readonly Dimension[],
  ): void => {
    const found = list.find((tensor) => tensor.name === name);
    // A symbolic dimension fits anything; those that vary, the first among them, have to be one.
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
      `${file}'s ${role} "${name}" must be float32 [N, ${want.join(", ")}], got ${got}`,
    );
  };
  for (const [name, want] of Object.entries(inputs)) expect("input", session.inputMetadata, name, want);
  for (const [name, want] of Object.entries(outputs)) expect("output", session.outputMetadata, name, want);
  const names = Object.keys(inputs);
  if (session.inputNames.length === names.length) return;
  throw new TonetapError(
    "invalid-argument",
    `${file} must have ${names.length} inputs (${names.join(", ")}), got ${session.inputNames.join(", ")}`,
  );
}

async function fullBatchMs(candidate: OpenSession): Promise<number> {
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

/** Runs `count` rows from `first` where they lie: ONNX Runtime reads shared memory, and writes to ours, without a copy. */
async function infer(
  { session, request, logits }: OpenSession,
  view: WindowMemoryView,
  first: number,
  count: number,
): Promise<Float32Array> {
  const { shape, tensors } = request;
  const size = shape.channels * shape.frames;
  const out = logits.subarray(0, count * shape.labels);
  await session.run(
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
    { [tensors.logits]: new Tensor("float32", out, [count, shape.labels]) },
  );
  return out;
}

/** Opens, checks and warms up both parts of a streaming model. */
async function openParts(
  request: LoadRequest,
  { encoder: encoderPath, head: headPath, shape }: StreamingRequest,
  provider: ProviderName,
): Promise<OpenParts> {
  const { channels, labels } = request.shape;
  const { stateSize, steps, embeddingChannels, strideFrames } = shape;
  const encoder = await createSession(request, encoderPath, provider);
  let head: InferenceSession | undefined;
  try {
    expectTensors(
      encoder,
      "the encoder's file",
      { features: [channels, 1, "any"], state: [stateSize] },
      { embeddings: ["any", embeddingChannels], next_state: [stateSize] },
    );
    head = await createSession(request, headPath, provider);
    expectTensors(
      head,
      "the head's file",
      { embeddings: [steps, embeddingChannels], mask: [steps] },
      { logits: [labels] },
    );
    const parts: OpenParts = { encoder, head };
    const model = streamModel(parts, request, { shape });
    for (const count of [1, request.maxBatch]) {
      const frames = strideFrames;
      await model.encode(
        new Float32Array(count * channels * frames),
        new Float32Array(count * stateSize),
        count,
        frames,
      );
      const mask = new Float32Array(count * steps).fill(1);
      await model.judge(new Float32Array(count * steps * embeddingChannels), mask, count);
    }
    return parts;
  } catch (error) {
    await encoder.release();
    await head?.release();
    throw error;
  }
}

function streamModel(
  { encoder, head }: OpenParts,
  { shape: { channels, labels } }: LoadRequest,
  { shape: { stateSize, steps, embeddingChannels, strideFrames } }: Pick<StreamingRequest, "shape">,
): StreamModel {
  // Where results go; they grow to the largest seen.
  const embeddingsRoom = new Room();
  const statesRoom = new Room();
  const logitsRoom = new Room();
  return {
    async encode(features, states, count, frames) {
      const fresh = frames / strideFrames;
      const embeddings = embeddingsRoom.take(count * fresh * embeddingChannels);
      const nextStates = statesRoom.take(count * stateSize);
      await encoder.run(
        {
          features: new Tensor("float32", features, [count, channels, 1, frames]),
          state: new Tensor("float32", states, [count, stateSize]),
        },
        {
          embeddings: new Tensor("float32", embeddings, [count, fresh, embeddingChannels]),
          next_state: new Tensor("float32", nextStates, [count, stateSize]),
        },
      );
      return { embeddings, states: nextStates };
    },
    async judge(embeddings, mask, count) {
      const logits = logitsRoom.take(count * labels);
      await head.run(
        {
          embeddings: new Tensor("float32", embeddings, [count, steps, embeddingChannels]),
          mask: new Tensor("float32", mask, [count, steps]),
        },
        { logits: new Tensor("float32", logits, [count, labels]) },
      );
      return logits;
    },
  };
}

class Room {
  #floats = new Float32Array(0);

  take(length: number): Float32Array {
    if (this.#floats.length < length) this.#floats = new Float32Array(length);
    return this.#floats.subarray(0, length);
  }
}
