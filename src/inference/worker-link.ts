/** One worker thread that runs a model, from its start to its end. Starting another after a crash is worker-backend.ts. */
import { Worker } from "node:worker_threads";
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { threadFlags } from "../core/thread-flags.ts";
import type { BatchTiming, WindowBatch } from "./backend.ts";
import { roomForSteps, wipeSteps } from "./held-steps.ts";
import { condemn, createNativeHold } from "./native-hold.ts";
import type { StreamMemory, StreamShape } from "./stream-memory.ts";
import type { WindowMemory } from "./window-memory.ts";
import type {
  DoneReply,
  FailedReply,
  FromWorker,
  LoadRequest,
  MemoryNotice,
  OpenedReply,
  StreamingRequest,
  StreamsNotice,
  ToWorker,
} from "./worker-protocol.ts";

/** Batches under way in one thread at most: one runs, one is ready to follow, two are room for other callers. */
export const SLOTS = 4;

/** A thread that was asked to end and has not is left behind after this, ms. */
const CLOSE_LIMIT_MS = 5_000;

export interface WorkerLinkOptions {
  readonly script: URL;
  readonly request: Omit<LoadRequest, "kind" | "logits" | "hold" | "streaming">;
  /** Files and sizes of a model that is to judge windows by their streams too. */
  readonly streaming: Pick<StreamingRequest, "encoder" | "head" | "shape"> | undefined;
  readonly clock: Clock;
  /** A batch that takes longer, ms, means that the device hangs: the thread is given up. */
  readonly runTimeoutMs: number;
  /** Called once, when the thread is gone without having been asked to; batches under way were rejected before. */
  readonly onLost: (error: TonetapError) => void;
}

interface Pending {
  readonly batch: WindowBatch;
  readonly out: Float32Array;
  readonly resolve: (timing: BatchTiming) => void;
  readonly reject: (error: TonetapError) => void;
  readonly cancelTimeout: () => void;
}

export class WorkerLink {
  readonly opened: Promise<OpenedReply>;
  readonly #options: WorkerLinkOptions;
  readonly #worker: Worker;
  readonly #hold = createNativeHold();
  readonly #logits: Float32Array<SharedArrayBuffer>;
  readonly #streaming: StreamingRequest | undefined;
  readonly #pending = new Map<number, Pending>();
  readonly #freeSlots = Array.from({ length: SLOTS }, (_, slot) => slot);
  readonly #memories = new WeakMap<WindowMemory | StreamMemory, number>();
  readonly #exited: Promise<void>;
  #memoryCount = 0;
  #isOpen = false;
  #settleOpened: { resolve: (reply: OpenedReply) => void; reject: (error: TonetapError) => void };
  #whenIdle: (() => void) | undefined;
  /** Set once the thread is of no more use, with the reason. */
  #ended: TonetapError | undefined;

  constructor(options: WorkerLinkOptions) {
    this.#options = options;
    const { maxBatch, shape } = options.request;
    this.#streaming = options.streaming && {
      ...options.streaming,
      ...carried(options.streaming.shape, SLOTS * maxBatch),
    };
    // A fresh one for every thread: one that was given up may still write to its own.
    this.#logits = new Float32Array(new SharedArrayBuffer(4 * SLOTS * maxBatch * shape.labels));
    const opening = Promise.withResolvers<OpenedReply>();
    this.opened = opening.promise;
    this.#settleOpened = opening;
    this.#worker = new Worker(options.script, { name: "tonetap-inference", ...threadFlags() });
    const exiting = Promise.withResolvers<void>();
    this.#exited = exiting.promise;
    this.#worker.on("message", (message: FromWorker) => this.#receive(message));
    this.#worker.on("error", (error) =>
      this.#lose(TonetapError.from(error, "unavailable", "the inference thread failed")),
    );
    this.#worker.on("exit", (code) => {
      this.#lose(new TonetapError("unavailable", `the inference thread ended with code ${code}`));
      exiting.resolve();
    });
    this.#post({
      kind: "load",
      logits: this.#logits,
      hold: this.#hold,
      streaming: this.#streaming,
      ...options.request,
    });
  }

  /** See InferenceBackend.run(); the caller has checked the batch. */
  run(batch: WindowBatch, out: Float32Array): Promise<BatchTiming> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const slot = this.#freeSlots.pop();
    if (slot === undefined) {
      return Promise.reject(new TonetapError("overloaded", `${SLOTS} batches are under way already`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<BatchTiming>();
    const { clock, runTimeoutMs } = this.#options;
    this.#pending.set(slot, {
      batch,
      out,
      resolve,
      reject,
      cancelTimeout: clock.schedule(runTimeoutMs, () =>
        this.#lose(new TonetapError("unavailable", `a batch took longer than ${runTimeoutMs} ms`)),
      ),
    });
    const { memory, rows, streams } = batch;
    this.#post({
      kind: "run",
      slot,
      memory: this.#introduce(memory, () => ({
        kind: "memory",
        view: { features: memory.features, masks: memory.masks },
      })),
      rows,
      streams: streams && {
        memory: this.#introduce(streams.memory, () => ({
          kind: "streams",
          view: { states: streams.memory.states, embeddings: streams.memory.embeddings },
        })),
        parts: streams.parts,
      },
    });
    return promise;
  }

  /** Lets the batches under way finish, then ends the thread. */
  async close(): Promise<void> {
    if (this.#pending.size > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    if (this.#ended === undefined) {
      this.#ended = new TonetapError("closed", "the backend is closed");
      this.#settleOpened.reject(this.#ended);
      this.#post({ kind: "close" });
    }
    await this.#gone();
  }

  /** Ends the thread as soon as it can; batches under way are rejected with `error`. */
  async kill(error: TonetapError): Promise<void> {
    this.#end(error);
    this.#terminate();
    await this.#gone();
  }

  /** One that is in native code ends by itself when it comes out; terminated there, it would abort the process. */
  #terminate(): void {
    if (condemn(this.#hold)) void this.#worker.terminate();
    else this.#post({ kind: "close" });
  }

  /** Waits for the thread's end; one that hangs in a driver is left behind. */
  async #gone(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const cancel = this.#options.clock.schedule(CLOSE_LIMIT_MS, () => {
      this.#terminate();
      late.resolve();
    });
    await Promise.race([this.#exited, late.promise]);
    cancel();
  }

  /** @param notice what is said of a memory that the thread does not know yet */
  #introduce<M extends WindowMemory | StreamMemory>(
    memory: M,
    notice: () => Omit<MemoryNotice, "memory"> | Omit<StreamsNotice, "memory">,
  ): number {
    const known = this.#memories.get(memory);
    if (known !== undefined) return known;
    const number = this.#memoryCount++;
    this.#memories.set(memory, number);
    this.#post({ ...notice(), memory: number } as ToWorker);
    return number;
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "opened":
        this.#isOpen = true;
        this.#settleOpened.resolve(message);
        return;
      case "refused": {
        const { code } = message;
        void this.kill(new TonetapError(code, message.message, { retryable: false }));
        return;
      }
      case "done":
      case "failed":
        this.#settle(message);
        return;
      default:
        message satisfies never;
    }
  }

  #settle(message: DoneReply | FailedReply): void {
    const pending = this.#pending.get(message.slot);
    // The thread may answer after it was given up.
    if (pending === undefined) return;
    this.#pending.delete(message.slot);
    this.#freeSlots.push(message.slot);
    pending.cancelTimeout();
    if (message.kind === "done") {
      const { maxBatch, shape } = this.#options.request;
      const start = message.slot * maxBatch * shape.labels;
      pending.out.set(this.#logits.subarray(start, start + pending.batch.rows.length * shape.labels));
      this.#carryOn(message.slot, pending.batch);
      pending.resolve({ inferenceMs: message.inferenceMs });
    } else {
      this.#wipeCarried(message.slot, pending.batch);
      pending.reject(new TonetapError("internal", `the model failed on a batch: ${message.message}`));
    }
    if (this.#pending.size === 0) this.#whenIdle?.();
  }

  /**
   * Moves streams on. The thread does not write their memory itself: one that was given up may do so when the slot is
   * another voice's, and of a batch that fails nothing may remain.
   */
  #carryOn(slot: number, batch: WindowBatch): void {
    const { streams } = batch;
    const streaming = this.#streaming;
    if (streams === undefined || streaming === undefined) return;
    const { stateSize, steps } = streaming.shape;
    for (const [i, part] of streams.parts.entries()) {
      if (part === undefined) continue;
      const window = slot * this.#options.request.maxBatch + i;
      const state = streaming.states.subarray(window * stateSize, (window + 1) * stateSize);
      streams.memory.commit(part, state, streaming.embeddings, window * steps);
    }
    this.#wipeCarried(slot, batch);
  }

  /** Nothing of a voice stays where the thread wrote what it is to carry on, whatever came of the batch. */
  #wipeCarried(slot: number, { streams }: WindowBatch): void {
    const streaming = this.#streaming;
    if (streams === undefined || streaming === undefined) return;
    const { stateSize, steps, strideFrames } = streaming.shape;
    for (const [i, part] of streams.parts.entries()) {
      if (part === undefined) continue;
      const window = slot * this.#options.request.maxBatch + i;
      streaming.states.fill(0, window * stateSize, (window + 1) * stateSize);
      wipeSteps(streaming.embeddings, window * steps, part.frames / strideFrames);
    }
  }

  /** The thread is gone, or of no use any more, unasked. */
  #lose(error: TonetapError): void {
    if (this.#ended !== undefined) return;
    this.#end(error);
    // Not awaited: a thread that hangs in a driver never ends, and nothing of it is used again.
    this.#terminate();
    if (this.#isOpen) this.#options.onLost(error);
  }

  #end(error: TonetapError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#settleOpened.reject(error);
    for (const pending of this.#pending.values()) {
      pending.cancelTimeout();
      pending.reject(error);
    }
    this.#pending.clear();
    this.#whenIdle?.();
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}

/** Room for what `windows` windows carry on. */
function carried(shape: StreamShape, windows: number): Pick<StreamingRequest, "states" | "embeddings"> {
  return {
    states: new Float32Array(new SharedArrayBuffer(4 * windows * shape.stateSize)),
    embeddings: roomForSteps(windows * shape.steps, shape.embeddingChannels),
  };
}
