/** What a backend's main side and its thread say to each other. Window data never travels here: it lies in shared memory. */
import type { ErrorCode } from "../core/errors.ts";
import type { DeviceOption, RefusedProvider } from "./backend.ts";
import type { HeldSteps } from "./held-steps.ts";
import type { NativeHold } from "./native-hold.ts";
import type { StreamMemoryView, StreamPart, StreamShape } from "./stream-memory.ts";
import type { ModelShape, WindowMemoryView } from "./window-memory.ts";

/** Opens the model; answered by `opened` or `refused`. */
export interface LoadRequest {
  readonly kind: "load";
  readonly onnxPath: string;
  readonly shape: ModelShape;
  readonly tensors: { readonly features: string; readonly mask: string; readonly logits: string };
  readonly device: DeviceOption;
  /** Which of several GPUs. */
  readonly deviceId: number | undefined;
  /** Folders where an engine that the user installs is looked for. */
  readonly packages: readonly string[];
  readonly maxBatch: number;
  /** Who has the thread; see native-hold.ts. */
  readonly hold: NativeHold;
  /** Logits of every slot, [slots, maxBatch, L]; the thread writes them. */
  readonly logits: Float32Array<SharedArrayBuffer>;
  /** Of a model that is to judge windows by their streams too. */
  readonly streaming: StreamingRequest | undefined;
}

export interface StreamingRequest {
  /** Absolute paths. */
  readonly encoder: string;
  readonly head: string;
  readonly shape: StreamShape;
  /** What streams carry on, of every slot, [slots, maxBatch, S] and [slots, maxBatch, steps] of E; the thread writes them. */
  readonly states: Float32Array<SharedArrayBuffer>;
  readonly embeddings: HeldSteps;
}

/** Makes window memory known under a number; not answered. */
export interface MemoryNotice {
  readonly kind: "memory";
  readonly memory: number;
  readonly view: WindowMemoryView;
}

/** Makes stream memory known under a number; not answered. */
export interface StreamsNotice {
  readonly kind: "streams";
  readonly memory: number;
  readonly view: StreamMemoryView;
}

/** Runs rows of a known memory into a slot of `logits`; answered by `done` or `failed` of that slot, in order. */
export interface RunRequest {
  readonly kind: "run";
  readonly slot: number;
  readonly memory: number;
  readonly rows: readonly number[];
  /** Stream memory and one part a row, undefined where the window is judged whole. */
  readonly streams:
    | { readonly memory: number; readonly parts: readonly (StreamPart | undefined)[] }
    | undefined;
}

/** Frees the model and ends the thread, once what is under way is done; batches that wait are left out. */
export interface CloseRequest {
  readonly kind: "close";
}

export type ToWorker = LoadRequest | MemoryNotice | StreamsNotice | RunRequest | CloseRequest;

export interface OpenedReply {
  readonly kind: "opened";
  readonly engine: string;
  readonly provider: string;
  readonly device: "cpu" | "gpu";
  readonly tried: readonly RefusedProvider[];
  readonly threads: number;
}

export interface RefusedReply {
  readonly kind: "refused";
  readonly code: ErrorCode;
  readonly message: string;
}

export interface DoneReply {
  readonly kind: "done";
  readonly slot: number;
  readonly inferenceMs: number;
}

export interface FailedReply {
  readonly kind: "failed";
  readonly slot: number;
  readonly message: string;
}

export type FromWorker = OpenedReply | RefusedReply | DoneReply | FailedReply;
