/** The thread that runs a model with ONNX Runtime; its run() blocks, so no other thread may load it. Everything else of a thread is model-thread.ts. */
import { InferenceSession, listSupportedBackends, Tensor } from "onnxruntime-node";
import { systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { runModelThread, silence, type ThreadModel, warmUp } from "./model-thread.ts";
import { chooseProvider, inspectMachine, onnxRuntimeVersion, type ProviderName } from "./onnx-providers.ts";
import type { WindowMemoryView } from "./window-memory.ts";
import type { LoadRequest } from "./worker-protocol.ts";

/** Runs timed before a GPU is preferred to the processor. */
const TIMED_RUNS = 3;

interface OpenSession {
  readonly session: InferenceSession;
  readonly request: LoadRequest;
}

runModelThread(async (request): Promise<ThreadModel> => {
  const machine = inspectMachine(listSupportedBackends().map((backend) => backend.name));
  const { provider, session, tried } = await chooseProvider<OpenSession>(request.device, machine, {
    open: (name) => openSession(request, name),
    fullBatchMs,
    release: ({ session }) => session.release(),
  });
  return {
    opened: {
      engine: `onnxruntime-node ${onnxRuntimeVersion()}`,
      provider,
      device: provider === "cpu" ? "cpu" : "gpu",
      tried,
      threads: 1,
    },
    infer: (view, first, count) => infer(session, view, first, count),
    release: () => session.session.release(),
  };
});

async function openSession(request: LoadRequest, provider: ProviderName): Promise<OpenSession> {
  const session = await createSession(request, provider);
  try {
    checkTensors(session, request);
    const open: OpenSession = { session, request };
    await warmUp((view, first, count) => infer(open, view, first, count), request);
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

/** Runs `count` rows from `first` where they lie: ONNX Runtime reads shared memory without a copy. */
async function infer(
  { session, request }: OpenSession,
  view: WindowMemoryView,
  first: number,
  count: number,
): Promise<Float32Array> {
  const { shape, tensors } = request;
  const size = shape.channels * shape.frames;
  const results = await session.run(
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
  if (!(data instanceof Float32Array)) throw new TonetapError("internal", "the model gave no float32 logits");
  return data;
}
