/** One worker thread that runs a model, from its start to its end. Starting another after a crash is worker-backend.ts. */
import { Worker } from "node:worker_threads";
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import type { BatchTiming, WindowBatch } from "./backend.ts";
import { condemn, createNativeHold } from "./native-hold.ts";
import type { WindowMemory } from "./window-memory.ts";
import type {
  DoneReply,
  FailedReply,
  FromWorker,
  LoadRequest,
  OpenedReply,
  ToWorker,
} from "./worker-protocol.ts";

/** Batches under way in one thread at most: one runs, one is ready to follow, two are room for other callers. */
export const SLOTS = 4;

/** A thread that was asked to end and has not is left behind after this, ms. */
const CLOSE_LIMIT_MS = 5_000;

export interface WorkerLinkOptions {
  readonly script: URL;
  readonly request: Omit<LoadRequest, "kind" | "logits" | "hold">;
  readonly clock: Clock;
  /** A batch that takes longer, ms, means that the device hangs: the thread is given up. */
  readonly runTimeoutMs: number;
  /** Called once, when the thread is gone without having been asked to; batches under way were rejected before. */
  readonly onLost: (error: TonetapError) => void;
}

interface Pending {
  readonly out: Float32Array;
  readonly length: number;
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
  readonly #pending = new Map<number, Pending>();
  readonly #freeSlots = Array.from({ length: SLOTS }, (_, slot) => slot);
  readonly #memories = new WeakMap<WindowMemory, number>();
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
    // A fresh one for every thread: one that was given up may still write to its own.
    this.#logits = new Float32Array(new SharedArrayBuffer(4 * SLOTS * maxBatch * shape.labels));
    const opening = Promise.withResolvers<OpenedReply>();
    this.opened = opening.promise;
    this.#settleOpened = opening;
    this.#worker = new Worker(options.script, { name: "tonetap-inference" });
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
    this.#post({ kind: "load", logits: this.#logits, hold: this.#hold, ...options.request });
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
      out,
      length: batch.rows.length * this.#options.request.shape.labels,
      resolve,
      reject,
      cancelTimeout: clock.schedule(runTimeoutMs, () =>
        this.#lose(new TonetapError("unavailable", `a batch took longer than ${runTimeoutMs} ms`)),
      ),
    });
    this.#post({ kind: "run", slot, memory: this.#introduce(batch.memory), rows: batch.rows });
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

  #introduce(memory: WindowMemory): number {
    const known = this.#memories.get(memory);
    if (known !== undefined) return known;
    const number = this.#memoryCount++;
    this.#memories.set(memory, number);
    this.#post({
      kind: "memory",
      memory: number,
      view: { features: memory.features, masks: memory.masks },
    });
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
      pending.out.set(this.#logits.subarray(start, start + pending.length));
      pending.resolve({ inferenceMs: message.inferenceMs });
    } else {
      pending.reject(new TonetapError("internal", `the model failed on a batch: ${message.message}`));
    }
    if (this.#pending.size === 0) this.#whenIdle?.();
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
