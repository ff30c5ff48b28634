/** Brings windows of all calls together into batches and answers each one. Running a batch is a backend's work. */
import { type Clock, systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import type {
  DroppedWindow,
  FeatureWindow,
  WindowBatcher,
  WindowOwner,
  WindowPlace,
} from "../core/window.ts";
import { droppedWindow, windowInfo } from "../core/window-info.ts";
import { AnswerOrder } from "./answer-order.ts";
import type { BatchStreams, BatchTiming } from "./backend.ts";
import { BackendPool, type Instance, MAX_RUNNING } from "./backend-pool.ts";
import { BatchDelay } from "./batch-delay.ts";
import type { BatcherOptions } from "./batcher-options.ts";
import { BatcherCounters, type BatcherStats } from "./batcher-stats.ts";
import { FairQueue } from "./fair-queue.ts";
import { softmax } from "./softmax.ts";
import { StreamBook, type StreamOutcome, type StreamPlace } from "./streams.ts";
import { type Answer, NO_ROW, overtakesMs, submittedMs, type Ticket } from "./ticket.ts";
import { assertWindow, freshFeatures, type ModelShape, modelShape, WindowMemory } from "./window-memory.ts";

/**
 * A dynamic batcher in the manner of Triton's. A batch goes out when it has a preferred size, or when the oldest window
 * has waited long enough for so busy a machine (batch-delay.ts), as soon as a backend is idle. A full batch may also go to a backend that is busy with one
 * batch, so that it never waits for this thread between two. Where more windows wait than a batch takes, those of a
 * higher priority go first, and tenants and calls take turns.
 *
 * Where model and backends can, a window that continues the one before it is judged by its new frames and what its stream
 * carries (streams.ts). Windows of a stream go out one after the other, never two at once; one that would wait for a
 * backend that hangs is judged whole.
 */
export class DynamicBatcher implements WindowBatcher, Closable {
  readonly #clock: Clock;
  readonly #pool: BackendPool;
  readonly #shape: ModelShape;
  readonly #temperature: number;
  readonly #maxBatch: number;
  /** Ascending; the last is maxBatch. */
  readonly #preferred: readonly number[];
  readonly #maxDelayMs: number;
  readonly #deadlineMs: number;
  readonly #delay: BatchDelay;
  readonly #memory: WindowMemory;
  /** Undefined where every window is judged whole. */
  readonly #streams: StreamBook | undefined;
  readonly #queue: FairQueue<Ticket>;
  readonly #order = new AnswerOrder<Answer>();
  readonly #counters: BatcherCounters;
  readonly #closing = new AbortController();
  #lastRow = -1;
  /** All that waits, waits for the window before it in its stream. */
  #held = false;
  #inFlight = 0;
  #timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;
  #pumpIsDue = false;
  /** Nothing that waits came before: windows of several threads are out of order. */
  #firstMs = Number.POSITIVE_INFINITY;
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
    this.#delay = new BatchDelay({
      maxDelayMs: this.#maxDelayMs,
      busyDelayMs: options.busyDelayMs ?? 0,
      deadlineMs: this.#deadlineMs,
    });
    assertRange("queueLimit", queueLimit, 1, 1_000_000, "windows");
    const preferred = options.preferredBatches ?? [];
    for (const size of preferred) assertRange("preferredBatches", size, 1, this.#maxBatch, "windows");
    this.#preferred = [...preferred.toSorted((a, b) => a - b), this.#maxBatch];
    this.#clock = options.clock ?? systemClock;
    this.#shape = modelShape(manifest);
    this.#temperature = manifest.temperature;
    this.#pool = new BackendPool(backends);
    this.#queue = new FairQueue<Ticket>(queueLimit, options.tenantWeights);
    // One row for the arriving window, before another gives up its own.
    const rows = queueLimit + 1 + backends.length * MAX_RUNNING * this.#maxBatch;
    this.#memory = new WindowMemory(rows, this.#shape);
    const { streams } = backends[0] ?? {};
    const can = streams !== undefined && backends.every((backend) => backend.streams !== undefined);
    this.#streams = can ? new StreamBook(manifest, streams, options.streamLimit) : undefined;
    this.#counters = new BatcherCounters(this.#maxBatch);
  }

  get stats(): BatcherStats {
    return this.#counters.snapshot({
      queued: this.#queue.length,
      queueLimit: this.#queue.limit,
      delayMs: this.#delay.ms,
      inFlight: this.#inFlight,
      backends: this.#pool.size,
      backendsUp: this.#pool.up,
      ...(this.#streams && { streams: this.#streams.stats }),
    });
  }

  /** For how long a window waits for batch-mates now, ms. */
  get delayMs(): number {
    return this.#delay.longestMs;
  }

  /** Frames of the steps that windows of a stream should come in; undefined where every window is judged whole. */
  get strideFrames(): number | undefined {
    return this.#streams?.memory.shape.strideFrames;
  }

  /**
   * @throws TonetapError invalid-argument when the window is not of the model's size (it is wired to the wrong features)
   * or its owner's priority or deadline is none
   */
  submit(key: string, window: FeatureWindow, owner: WindowOwner = {}): Promise<Answer> {
    this.#assertFits(window, owner);
    const refusal = this.#refusal();
    const place = refusal === undefined ? this.#streams?.admit(key, window) : undefined;
    const row = refusal === undefined ? this.#store(window, place) : NO_ROW;
    const { question, answer } = this.#order.ask(key);
    const submittedMs = window.readyMs ?? this.#clock.now();
    const ticket: Ticket = {
      key,
      question,
      info: windowInfo(window),
      frames: window.frames,
      row,
      submittedMs,
      place,
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
    this.#firstMs = Math.min(this.#firstMs, submittedMs);
    const evicted = this.#queue.push(ticket);
    if (evicted !== undefined) this.#drop(evicted, "overload");
    if (window.readyMs === undefined) this.#pump();
    else this.#pumpSoon();
    return answer;
  }

  /** From now on windows wait as long as suits so busy a machine. @param load as {@link BatchDelay.follow} */
  followLoad(load: number): void {
    this.#delay.follow(load);
    this.#pump();
  }

  needsFreshOnly(key: string, window: WindowPlace): boolean {
    return this.#streams?.continues(key, window) === true;
  }

  forget(key: string): number {
    const forgotten = this.#queue.takeWhere((ticket) => ticket.key === key);
    this.#firstMs = Number.POSITIVE_INFINITY;
    this.#streams?.forget(key);
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
    return this.#pool.dead ? "backend" : undefined;
  }

  #store(window: FeatureWindow, place: StreamPlace | undefined): number {
    // While windows wait, the next row follows theirs: together they are one tensor without a copy.
    const row = this.#memory.take(this.#queue.length === 0 ? NO_ROW : this.#lastRow);
    if (row === undefined) throw new TonetapError("internal", "no window row is free: rows were lost");
    if (place?.compact === true) this.#memory.writeFresh(row, freshFeatures(window, this.#shape));
    else this.#memory.write(row, window.features, window.frames);
    this.#lastRow = row;
    return row;
  }

  /** Windows that another thread has held come with others, and may be due: none goes before all that came with it. */
  #pumpSoon(): void {
    if (this.#pumpIsDue) return;
    this.#pumpIsDue = true;
    setImmediate(() => {
      this.#pumpIsDue = false;
      this.#pump();
    });
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
    this.#held = false;
    for (let size = this.#batchSize(nowMs); size > 0 && !this.#held; size = this.#batchSize(nowMs)) {
      const instance = this.#pool.pick(size === this.#maxBatch);
      if (instance === undefined) break;
      this.#held = !this.#send(instance, size, nowMs);
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
    if (this.#draining || nowMs >= this.#goesMs(oldest)) return waiting;
    return this.#preferred.findLast((size) => size <= waiting) ?? 0;
  }

  /** When the oldest window waits for batch-mates no longer. */
  #goesMs({ submittedMs }: Ticket): number {
    return this.#delay.endsMs(Math.min(submittedMs, this.#firstMs), this.#queue.nextDueMs);
  }

  /** Wakes up when the oldest window must go out or one must be dropped, whichever comes first. */
  #arm(): void {
    const oldest = this.#queue.oldest(submittedMs);
    if (oldest === undefined) {
      this.#disarm();
      return;
    }
    const idle = this.#pool.pick(false) !== undefined;
    const goesMs = this.#held ? overtakesMs(oldest) : this.#goesMs(oldest);
    const dueMs = idle ? Math.min(goesMs, this.#queue.nextDueMs) : this.#queue.nextDueMs;
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

  /** @returns whether any window could go */
  #send(instance: Instance, size: number, nowMs: number): boolean {
    const tickets: Ticket[] = [];
    const ready = (ticket: Ticket): boolean =>
      ticket.place === undefined ||
      this.#streams?.ready(ticket.place) === true ||
      nowMs >= overtakesMs(ticket);
    while (tickets.length < size) {
      const ticket = this.#queue.take(ready);
      if (ticket === undefined) break;
      tickets.push(ticket);
    }
    if (tickets.length === 0) return false;
    this.#firstMs = Number.POSITIVE_INFINITY;
    // Whose turn comes first matters no more; rows in sequence are one tensor.
    tickets.sort((a, b) => a.row - b.row);
    instance.running++;
    this.#inFlight += tickets.length;
    void this.#run(instance, tickets);
    return true;
  }

  /** Never rejects: a failed batch is answered as dropped (`backend`). */
  async #run(instance: Instance, tickets: readonly Ticket[]): Promise<void> {
    const logits = new Float32Array(tickets.length * this.#shape.labels);
    let timing: BatchTiming | undefined;
    try {
      const rows = tickets.map((ticket) => ticket.row);
      const dueMs = tickets.reduce((latest, ticket) => Math.max(latest, ticket.dueMs), 0);
      const batch = { memory: this.#memory, rows, dueMs, ...this.#partsOf(tickets) };
      timing = await instance.backend.run(batch, logits);
    } catch (error) {
      const reason = TonetapError.from(error);
      this.#counters.lastError = reason.message;
      this.#pool.failed(instance, reason, this.#closing.signal, () => this.#pump());
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

  /** What of a batch is judged by streams. */
  #partsOf(tickets: readonly Ticket[]): { readonly streams?: BatchStreams } {
    const streams = this.#streams;
    if (streams === undefined) return {};
    const parts = tickets.map(({ place }) => place && streams.send(place));
    return parts.every((part) => part === undefined) ? {} : { streams: { memory: streams.memory, parts } };
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
      this.#drop(ticket, "backend", "spoilt");
      return;
    }
    if (ticket.place?.stream.forgotten === true) {
      this.#drop(ticket, "closed");
      return;
    }
    const queuedMs = Math.max(0, this.#clock.now() - ticket.submittedMs - inferenceMs);
    this.#counters.estimate(queuedMs);
    const { info, frames } = ticket;
    const { model } = instance;
    this.#answer(
      ticket,
      { ...info, kind: "estimate", probabilities, frames, model, batchSize, queuedMs, inferenceMs },
      "moved",
    );
  }

  #drop(ticket: Ticket, reason: DroppedWindow["reason"], outcome: StreamOutcome = "kept"): void {
    this.#counters.dropped[reason]++;
    this.#answer(ticket, droppedWindow(ticket.info, reason), outcome);
  }

  #answer(ticket: Ticket, answer: Answer, outcome: StreamOutcome): void {
    if (ticket.row !== NO_ROW) this.#memory.release(ticket.row);
    if (ticket.place !== undefined) this.#streams?.answered(ticket.place, outcome);
    this.#order.answer(ticket.question, answer);
  }

  #assertFits(window: FeatureWindow, { deadlineMs }: WindowOwner): void {
    assertWindow(window, this.#shape);
    if (deadlineMs !== undefined) {
      assertRange("deadlineMs of a window", deadlineMs, this.#maxDelayMs + 1, 60_000, "ms");
    }
  }
}
