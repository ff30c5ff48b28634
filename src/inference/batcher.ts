/** Brings windows of all calls together into batches and answers each one. Running a batch is a backend's work. */
import { type Clock, systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import type { MonotonicMs } from "../core/units.ts";
import type {
  DroppedWindow,
  EmotionEstimate,
  FeatureWindow,
  WindowBatcher,
  WindowInfo,
  WindowOwner,
} from "../core/window.ts";
import { AnswerOrder, type Question } from "./answer-order.ts";
import type { BatchTiming, InferenceBackend } from "./backend.ts";
import type { BatcherOptions } from "./batcher-options.ts";
import { BatcherCounters, type BatcherStats } from "./batcher-stats.ts";
import { FairQueue, type Waiting } from "./fair-queue.ts";
import { softmax } from "./softmax.ts";
import { droppedWindow, windowInfo } from "./window-info.ts";
import { type ModelShape, modelShape, WindowMemory } from "./window-memory.ts";

type Answer = EmotionEstimate | DroppedWindow;

/** One submitted window, until it is answered. */
interface Ticket extends Waiting {
  readonly key: string;
  readonly question: Question<Answer>;
  readonly info: WindowInfo;
  readonly frames: number;
  readonly row: number;
  readonly submittedMs: MonotonicMs;
}

/** One backend and what it has to do. */
interface Instance {
  readonly backend: InferenceBackend;
  /** `name@version` of what it runs. */
  readonly model: string;
  /** Batches under way. */
  running: number;
  /** `down`: waiting for its ready(). `dead`: never again. */
  state: "up" | "down" | "dead";
}

/**
 * A dynamic batcher in the manner of Triton's. A batch goes out when it has a preferred size, or when the oldest window
 * has waited `maxDelayMs`, as soon as a backend is idle. A full batch may also go to a backend that is busy with one
 * batch, so that it never waits for this thread between two. Where more windows wait than a batch takes, those of a
 * higher priority go first, and tenants and calls take turns.
 */
export class DynamicBatcher implements WindowBatcher, Closable {
  readonly #clock: Clock;
  readonly #instances: readonly Instance[];
  readonly #shape: ModelShape;
  readonly #temperature: number;
  readonly #maxBatch: number;
  /** Ascending; the last is maxBatch. */
  readonly #preferred: readonly number[];
  readonly #maxDelayMs: number;
  readonly #deadlineMs: number;
  readonly #memory: WindowMemory;
  readonly #queue: FairQueue<Ticket>;
  readonly #order = new AnswerOrder<Answer>();
  readonly #counters: BatcherCounters;
  readonly #closing = new AbortController();
  #lastRow = -1;
  #inFlight = 0;
  #timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;
  /** Nothing waits for batch-mates any more. */
  #draining = false;
  readonly #idle: (() => void)[] = [];
  #closed: Promise<void> | undefined;

  constructor(options: BatcherOptions) {
    const { manifest, backends } = options;
    assertRange("backends", backends.length, 1, 1_024);
    const largest = Math.min(...backends.map((backend) => backend.maxBatch));
    this.#maxBatch = options.maxBatch ?? largest;
    this.#maxDelayMs = options.maxDelayMs ?? 5;
    this.#deadlineMs = options.deadlineMs ?? 1_000;
    const queueLimit = options.queueLimit ?? 2_048;
    assertRange("maxBatch", this.#maxBatch, 1, largest, "windows");
    assertRange("maxDelayMs", this.#maxDelayMs, 0, 50, "ms");
    assertRange("deadlineMs", this.#deadlineMs, 10, 60_000, "ms");
    if (this.#maxDelayMs >= this.#deadlineMs) {
      throw new TonetapError(
        "invalid-argument",
        `maxDelayMs must be below deadlineMs, ${this.#deadlineMs} ms, got ${this.#maxDelayMs}`,
      );
    }
    assertRange("queueLimit", queueLimit, 1, 1_000_000, "windows");
    const preferred = options.preferredBatches ?? [];
    for (const size of preferred) assertRange("preferredBatches", size, 1, this.#maxBatch, "windows");
    this.#preferred = [...preferred.toSorted((a, b) => a - b), this.#maxBatch];
    this.#clock = options.clock ?? systemClock;
    this.#shape = modelShape(manifest);
    this.#temperature = manifest.temperature;
    this.#instances = backends.map((backend) => ({
      backend,
      model: backend.describe().model,
      running: 0,
      state: "up",
    }));
    this.#queue = new FairQueue<Ticket>(queueLimit, options.tenantWeights);
    // One row for the arriving window, before another gives up its own.
    const rows = queueLimit + 1 + backends.length * MAX_RUNNING * this.#maxBatch;
    this.#memory = new WindowMemory(rows, this.#shape);
    this.#counters = new BatcherCounters(this.#maxBatch);
  }

  get stats(): BatcherStats {
    return this.#counters.snapshot({
      queued: this.#queue.length,
      queueLimit: this.#queue.limit,
      inFlight: this.#inFlight,
      backends: this.#instances.length,
      backendsUp: this.#instances.filter((instance) => instance.state === "up").length,
    });
  }

  /**
   * @throws TonetapError invalid-argument when the window is not of the model's size (it is wired to the wrong features)
   * or its owner's priority or deadline is none
   */
  submit(key: string, window: FeatureWindow, owner: WindowOwner = {}): Promise<Answer> {
    this.#assertFits(window, owner);
    const refusal = this.#refusal();
    const { question, answer } = this.#order.ask(key);
    const submittedMs = this.#clock.now();
    const ticket: Ticket = {
      key,
      question,
      info: windowInfo(window),
      frames: window.frames,
      row: refusal === undefined ? this.#store(window) : NO_ROW,
      submittedMs,
      dueMs: submittedMs + (owner.deadlineMs ?? this.#deadlineMs),
      call: owner.call ?? key,
      tenant: owner.tenant ?? "",
      priority: owner.priority ?? "normal",
    };
    this.#counters.submitted++;
    if (refusal !== undefined) {
      this.#drop(ticket, refusal);
      return answer;
    }
    const evicted = this.#queue.push(ticket);
    if (evicted !== undefined) this.#drop(evicted, "overload");
    this.#pump();
    return answer;
  }

  forget(key: string): number {
    const forgotten = this.#queue.takeWhere((ticket) => ticket.key === key);
    for (const ticket of forgotten) this.#drop(ticket, "closed");
    // Someone may wait for nothing to wait any more.
    this.#pump();
    return forgotten.length;
  }

  /** Has all that waits judged, without waiting for batch-mates; resolves when nothing waits or runs. It stays open. */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#pump();
    await this.#untilIdle();
    this.#draining = false;
  }

  /** Answers what waits as dropped (`closed`), and lets the batches in the model finish. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(new TonetapError("closed", "the batcher is closed"));
    this.#pump();
    await this.#untilIdle();
  }

  /** Resolves when no window waits or runs. */
  #untilIdle(): Promise<void> {
    if (this.#inFlight + this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Why no window can be answered now or later, if so. */
  #refusal(): "closed" | "backend" | undefined {
    if (this.#closing.signal.aborted) return "closed";
    return this.#instances.every((instance) => instance.state === "dead") ? "backend" : undefined;
  }

  #store(window: FeatureWindow): number {
    // While windows wait, the next row follows theirs: together they are one tensor without a copy.
    const row = this.#memory.take(this.#queue.length === 0 ? NO_ROW : this.#lastRow);
    if (row === undefined) throw new TonetapError("internal", "no window row is free: rows were lost");
    this.#memory.write(row, window.features, window.frames);
    this.#lastRow = row;
    return row;
  }

  /** Does all that can be done now, and arms the timer for the rest. */
  #pump(): void {
    const refusal = this.#refusal();
    const nowMs = this.#clock.now();
    if (refusal !== undefined) {
      for (let ticket = this.#queue.take(); ticket !== undefined; ticket = this.#queue.take()) {
        this.#drop(ticket, refusal);
      }
    }
    for (const ticket of this.#queue.takeLate(nowMs)) this.#drop(ticket, "deadline");
    for (let size = this.#batchSize(nowMs); size > 0; size = this.#batchSize(nowMs)) {
      const instance = this.#instanceFor(size === this.#maxBatch);
      if (instance === undefined) break;
      this.#send(instance, size);
    }
    this.#arm();
    if (this.#inFlight + this.#queue.length === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** Windows that should go out now, if a backend can take them; 0 when it pays to wait. */
  #batchSize(nowMs: number): number {
    const oldest = this.#queue.oldest(submittedMs);
    if (oldest === undefined) return 0;
    const waiting = Math.min(this.#queue.length, this.#maxBatch);
    if (this.#draining || nowMs >= oldest.submittedMs + this.#maxDelayMs) return waiting;
    return this.#preferred.findLast((size) => size <= waiting) ?? 0;
  }

  /** The least busy backend that may take a batch now. */
  #instanceFor(full: boolean): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of this.#instances) {
      if (instance.state !== "up" || instance.running >= (full ? MAX_RUNNING : 1)) continue;
      if (best === undefined || instance.running < best.running) best = instance;
    }
    return best;
  }

  /** Wakes up when the oldest window must go out or one must be dropped, whichever comes first. */
  #arm(): void {
    const oldest = this.#queue.oldest(submittedMs);
    if (oldest === undefined) {
      this.#disarm();
      return;
    }
    const idle = this.#instanceFor(false) !== undefined;
    const dueMs = idle
      ? Math.min(oldest.submittedMs + this.#maxDelayMs, this.#queue.nextDueMs)
      : this.#queue.nextDueMs;
    if (this.#timer !== undefined) {
      // Firing too early is harmless, and cheaper than a new timer for every window.
      if (this.#timer.dueMs <= dueMs) return;
      this.#disarm();
    }
    const cancel = this.#clock.schedule(Math.max(0, dueMs - this.#clock.now()), () => {
      this.#timer = undefined;
      this.#pump();
    });
    this.#timer = { dueMs, cancel };
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #send(instance: Instance, size: number): void {
    const tickets: Ticket[] = [];
    while (tickets.length < size) {
      const ticket = this.#queue.take();
      if (ticket === undefined) break;
      tickets.push(ticket);
    }
    // Whose turn comes first matters no more; rows in sequence are one tensor.
    tickets.sort((a, b) => a.row - b.row);
    instance.running++;
    this.#inFlight += tickets.length;
    void this.#run(instance, tickets);
  }

  /** Never rejects: a failed batch is answered as dropped (`backend`). */
  async #run(instance: Instance, tickets: readonly Ticket[]): Promise<void> {
    const logits = new Float32Array(tickets.length * this.#shape.labels);
    let timing: BatchTiming | undefined;
    try {
      const rows = tickets.map((ticket) => ticket.row);
      const dueMs = tickets.reduce((latest, ticket) => Math.max(latest, ticket.dueMs), 0);
      timing = await instance.backend.run({ memory: this.#memory, rows, dueMs }, logits);
    } catch (error) {
      this.#failed(instance, TonetapError.from(error));
    }
    instance.running--;
    this.#inFlight -= tickets.length;
    if (timing !== undefined) this.#counters.batch(tickets.length, timing.inferenceMs);
    for (const [i, ticket] of tickets.entries()) {
      if (timing === undefined) this.#drop(ticket, "backend");
      else this.#estimate(instance, ticket, logits, i, tickets.length, timing.inferenceMs);
    }
    this.#pump();
  }

  #estimate(
    instance: Instance,
    ticket: Ticket,
    logits: Float32Array,
    i: number,
    batchSize: number,
    inferenceMs: number,
  ): void {
    const { labels } = this.#shape;
    const probabilities = softmax(logits.subarray(i * labels, (i + 1) * labels), this.#temperature);
    if (probabilities === undefined) {
      // One window's overflow says nothing of the others in its batch.
      this.#counters.lastError = "the model gave a result that is not finite";
      this.#drop(ticket, "backend");
      return;
    }
    const queuedMs = Math.max(0, this.#clock.now() - ticket.submittedMs - inferenceMs);
    this.#counters.estimate(queuedMs);
    this.#answer(ticket, {
      ...ticket.info,
      kind: "estimate",
      probabilities,
      frames: ticket.frames,
      model: instance.model,
      batchSize,
      queuedMs,
      inferenceMs,
    });
  }

  /** Takes a backend that is down out of use until it says that it is back. */
  #failed(instance: Instance, error: TonetapError): void {
    this.#counters.lastError = error.message;
    if (error.code !== "unavailable" && error.code !== "closed") return;
    if (instance.state !== "up") return;
    instance.state = "down";
    instance.backend.ready(this.#closing.signal).then(
      () => {
        instance.state = "up";
        this.#pump();
      },
      () => {
        instance.state = "dead";
        this.#pump();
      },
    );
  }

  #drop(ticket: Ticket, reason: DroppedWindow["reason"]): void {
    this.#counters.dropped[reason]++;
    this.#answer(ticket, droppedWindow(ticket.info, reason));
  }

  #answer(ticket: Ticket, answer: Answer): void {
    if (ticket.row !== NO_ROW) this.#memory.release(ticket.row);
    this.#order.answer(ticket.question, answer);
  }

  #assertFits(window: FeatureWindow, { deadlineMs }: WindowOwner): void {
    const { channels, frames } = this.#shape;
    if (window.features.length !== channels * frames) {
      throw new TonetapError(
        "invalid-argument",
        `a window must have ${channels} × ${frames} features, got ${window.features.length}`,
      );
    }
    assertRange("frames of a window", window.frames, 1, frames);
    if (deadlineMs !== undefined) {
      assertRange("deadlineMs of a window", deadlineMs, this.#maxDelayMs + 1, 60_000, "ms");
    }
  }
}

/** Batches under way in one backend at most: one runs, a full one is ready to follow. */
const MAX_RUNNING = 2;
const NO_ROW = -1;

const submittedMs = (ticket: Ticket): number => ticket.submittedMs;
