/**
 * The thread that runs a model with TensorFlow.js: the native binding where it is installed (a GPU, if the binding and
 * the machine have one), else WebAssembly. The packages are the user's; this is the only file that loads them.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import util from "node:util";
import { TonetapError } from "../core/errors.ts";
import type { DeviceOption, RefusedProvider } from "./backend.ts";
import { runModelThread, type ThreadModel, warmUp } from "./model-thread.ts";
import { onnxToTfjs } from "./tfjs/onnx-to-tfjs.ts";
import type { TfModelArtifacts } from "./tfjs/tf-graph.ts";
import type { LoadRequest } from "./worker-protocol.ts";

interface Tensor {
  dataSync(): Float32Array;
  dispose(): void;
}

interface GraphModel {
  execute(inputs: Readonly<Record<string, Tensor>>, output: string): Tensor;
  dispose(): void;
}

/** Of the package's surface, what is used. */
interface Tf {
  readonly version: Readonly<Record<string, string>>;
  readonly io: { fromMemory(artifacts: TfModelArtifacts): unknown };
  loadGraphModel(from: unknown): Promise<GraphModel>;
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  getBackend(): string;
  /** The native binding says whether TensorFlow found a GPU. */
  backend(): { readonly isUsingGpuDevice?: boolean };
  tidy<T>(run: () => T): T;
  tensor(values: Float32Array, shape: readonly number[]): Tensor;
  memory(): { readonly numTensors: number };
}

interface TfWasm {
  setWasmPaths(folder: string): void;
}

const NATIVE_GPU = "@tensorflow/tfjs-node-gpu";
const NATIVE = "@tensorflow/tfjs-node";
const WASM = "@tensorflow/tfjs-backend-wasm";
type Engine = typeof NATIVE_GPU | typeof NATIVE | typeof WASM;

runModelThread(async (request): Promise<ThreadModel> => {
  const artifacts = onnxToTfjs(await readFile(request.onnxPath));
  const { tf, engine, tried } = await openEngine(request);
  const model = await tf.loadGraphModel(tf.io.fromMemory(artifacts));
  const infer = inferWith(tf, model, request);
  await warmUp(infer, request);
  const steady = tf.memory().numTensors;
  const gpu = tf.backend().isUsingGpuDevice === true;
  return {
    opened: {
      engine: `tfjs ${tf.version.tfjs ?? ""}`,
      provider: engine === WASM ? "wasm" : `tensorflow-${gpu ? "gpu" : "cpu"}`,
      device: gpu ? "gpu" : "cpu",
      tried,
      // TensorFlow spreads an operator over all cores; WebAssembly runs in this thread.
      threads: engine === WASM ? 1 : availableParallelism(),
    },
    infer: async (view, first, count) => {
      const logits = await infer(view, first, count);
      const tensors = tf.memory().numTensors;
      // TensorFlow.js frees nothing by itself: a tensor a batch would fill the memory in hours.
      if (tensors > steady)
        throw new TonetapError("internal", `tfjs kept ${tensors - steady} tensors of a batch`);
      return logits;
    },
    release: async () => model.dispose(),
  };
});

function inferWith(tf: Tf, model: GraphModel, { shape, tensors }: LoadRequest): ThreadModel["infer"] {
  const size = shape.channels * shape.frames;
  return async (view, first, count) => {
    const result = tf.tidy(() =>
      model.execute(
        {
          [tensors.features]: tf.tensor(view.features.subarray(first * size, (first + count) * size), [
            count,
            shape.channels,
            1,
            shape.frames,
          ]),
          [tensors.mask]: tf.tensor(
            view.masks.subarray(first * shape.frames, (first + count) * shape.frames),
            [count, 1, 1, shape.frames],
          ),
        },
        tensors.logits,
      ),
    );
    try {
      return result.dataSync();
    } finally {
      result.dispose();
    }
  };
}

/** What a device can be computed by, best first. */
const ENGINES_FOR: Readonly<Partial<Record<DeviceOption, readonly Engine[]>>> = {
  auto: [NATIVE_GPU, NATIVE, WASM],
  cpu: [NATIVE_GPU, NATIVE, WASM],
  cuda: [NATIVE_GPU, NATIVE],
  wasm: [WASM],
};

/**
 * Takes the first engine that works; `cuda` insists on a GPU, `cpu` refuses one.
 * @throws TonetapError unavailable, with the reason of each refusal
 */
async function openEngine({ device, packages }: LoadRequest): Promise<{
  readonly tf: Tf;
  readonly engine: Engine;
  readonly tried: readonly RefusedProvider[];
}> {
  const tried: RefusedProvider[] = [];
  const engines = ENGINES_FOR[device];
  if (engines === undefined) {
    const known = Object.keys(ENGINES_FOR).join(", ");
    throw new TonetapError("unavailable", `tfjs runs on ${known}, not on ${device}`, { retryable: false });
  }
  for (const engine of engines) {
    try {
      const tf = await openOne(engine, packages);
      const gpu = tf.backend().isUsingGpuDevice === true;
      if (device === "cuda" && !gpu) tried.push({ provider: engine, reason: "TensorFlow found no GPU" });
      else if (device === "cpu" && gpu) tried.push({ provider: engine, reason: "it computes on the GPU" });
      else return { tf, engine, tried };
    } catch (error) {
      // Node's own message names every file that it looked for.
      const [reason = ""] = TonetapError.from(error).message.split("\n");
      tried.push({ provider: engine, reason });
    }
  }
  const reasons = tried.map(({ provider, reason }) => `${provider}: ${reason}`).join("; ");
  throw new TonetapError("unavailable", `tfjs cannot run on ${device}: ${reasons}`, { retryable: false });
}

async function openOne(engine: Engine, packages: readonly string[]): Promise<Tf> {
  const require = requireFrom(engine, packages);
  if (engine !== WASM) {
    restoreUtil();
    return require(engine) as Tf;
  }
  const tf = require("@tensorflow/tfjs") as Tf;
  const wasm = require(engine) as TfWasm;
  // The binaries lie beside the package's main file.
  wasm.setWasmPaths(join(dirname(require.resolve(engine)), "/"));
  if (!(await tf.setBackend("wasm"))) throw new TonetapError("unavailable", "its WebAssembly does not start");
  await tf.ready();
  return tf;
}

/** Looks for a package beside Tonetap, then in the given folders. */
function requireFrom(engine: Engine, packages: readonly string[]): NodeJS.Require {
  const places = [import.meta.url, ...packages.map((folder) => join(folder, "package.json"))];
  for (const place of places) {
    const require = createRequire(place);
    try {
      require.resolve(engine);
      return require;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "MODULE_NOT_FOUND")) throw error;
    }
  }
  throw new TonetapError("unavailable", "it is not installed");
}

/** tfjs-node 4.22 calls two functions that Node 23 took out of node:util. */
function restoreUtil(): void {
  const old = util as { isNullOrUndefined?: unknown; isArray?: unknown };
  const replace = (name: "isNullOrUndefined" | "isArray", value: unknown): void => {
    Object.defineProperty(old, name, { value, configurable: true, writable: true });
  };
  replace("isNullOrUndefined", (value: unknown) => value === null || value === undefined);
  // Where it is still there, it warns.
  replace("isArray", Array.isArray);
}
