/**
 * Judges windows by their streams, in the thread that runs the model: new frames through the encoder, together with
 * those of other windows as long, then the last steps of all of them through the head at once. The model's engine is
 * given; windows without a stream are model-thread.ts.
 */
import { TonetapError } from "../core/errors.ts";
import { type HeldSteps, holdSteps, readSteps } from "./held-steps.ts";
import type { StreamMemoryView, StreamPart, StreamShape } from "./stream-memory.ts";
import type { ModelShape, WindowMemoryView } from "./window-memory.ts";

/** A streaming model that is open in this thread. Results are valid until the next call, and the caller's to wipe. */
export interface StreamModel {
  /** @param features [count, C, 1, frames] @param states [count, S] @returns [count, frames / stride, E] and [count, S] */
  encode(
    features: Float32Array,
    states: Float32Array,
    count: number,
    frames: number,
  ): Promise<{ readonly embeddings: Float32Array; readonly states: Float32Array }>;
  /** @param embeddings [count, steps, E] @param mask [count, steps] @returns [count, L] */
  judge(embeddings: Float32Array, mask: Float32Array, count: number): Promise<Float32Array>;
}

/** A window of the batch, and which one of the batch it is. */
export interface StreamWindow {
  readonly index: number;
  readonly row: number;
  readonly part: StreamPart;
}

/** Where results go, each at its window's index. */
export interface StreamResults {
  /** [maxBatch, L] */
  readonly logits: Float32Array;
  /** [maxBatch, S] */
  readonly states: Float32Array;
  /** [maxBatch, steps] of E: the new steps, first. */
  readonly embeddings: HeldSteps;
}

/**
 * Windows that go through the model together at most. The steps of more of them do not stay in the processor's nearest megabyte
 * between the parts of the work: 32 at once took a tenth longer a window.
 */
const TOGETHER = 8;

export class StreamRunner {
  readonly #model: StreamModel;
  readonly #shape: ModelShape;
  readonly #stream: StreamShape;
  /** Inputs, gathered; they grow to the largest seen. */
  #features = new Float32Array(0);
  /** Floats of it that hold features. */
  #gathered = 0;
  readonly #states: Float32Array;
  readonly #steps: Float32Array;
  readonly #mask: Float32Array;

  constructor(model: StreamModel, shape: ModelShape, stream: StreamShape, maxBatch: number) {
    this.#model = model;
    this.#shape = shape;
    this.#stream = stream;
    const windows = Math.min(TOGETHER, maxBatch);
    this.#states = new Float32Array(windows * stream.stateSize);
    this.#steps = new Float32Array(windows * stream.steps * stream.embeddingChannels);
    this.#mask = new Float32Array(windows * stream.steps);
  }

  /** Nothing of a voice is left in this thread's buffers when it settles. */
  async run(
    windows: readonly StreamWindow[],
    view: WindowMemoryView,
    streams: StreamMemoryView,
    results: StreamResults,
  ): Promise<void> {
    try {
      // Windows with as many new frames lie side by side: the encoder takes them in one run.
      const ordered = windows.toSorted((a, b) => a.part.frames - b.part.frames);
      // In even parts: one window alone takes half as long again as one of several.
      const size = Math.ceil(ordered.length / Math.ceil(ordered.length / TOGETHER));
      for (let at = 0; at < ordered.length; at += size) {
        await this.#judge(ordered.slice(at, at + size), view, streams, results);
      }
    } finally {
      const { stateSize, steps, embeddingChannels } = this.#stream;
      const used = Math.min(TOGETHER, windows.length);
      this.#features.fill(0, 0, this.#gathered);
      this.#states.fill(0, 0, used * stateSize);
      this.#steps.fill(0, 0, used * steps * embeddingChannels);
      this.#mask.fill(0, 0, used * steps);
      this.#gathered = 0;
    }
  }

  async #judge(
    windows: readonly StreamWindow[],
    view: WindowMemoryView,
    streams: StreamMemoryView,
    results: StreamResults,
  ): Promise<void> {
    const { labels } = this.#shape;
    const { steps, embeddingChannels } = this.#stream;
    for (const [i, { part }] of windows.entries()) this.#recall(i, part, streams);
    const places = windows.map((window, place) => ({ ...window, place }));
    for (const [frames, group] of Map.groupBy(places, ({ part }) => part.frames)) {
      await this.#encode(group, frames, view, streams, results);
    }
    const logits = await this.#model.judge(
      this.#steps.subarray(0, windows.length * steps * embeddingChannels),
      this.#mask.subarray(0, windows.length * steps),
      windows.length,
    );
    assertLength("logits", logits, windows.length * labels);
    for (const [i, { index }] of windows.entries()) {
      results.logits.set(logits.subarray(i * labels, (i + 1) * labels), index * labels);
    }
    logits.fill(0);
  }

  /** Steps that the window shares with those before it, oldest first. */
  #recall(place: number, part: StreamPart, streams: StreamMemoryView): void {
    const { steps, strideFrames, embeddingChannels } = this.#stream;
    const fresh = part.frames / strideFrames;
    const kept = Math.min(part.before, steps - fresh);
    const [first, valid, end] = [place * steps, place * steps + kept + fresh, (place + 1) * steps];
    this.#mask.fill(1, first, valid);
    // Steps that there are none of yet are zeros, whoever was in this place before.
    this.#mask.fill(0, valid, end);
    this.#steps.fill(0, valid * embeddingChannels, end * embeddingChannels);
    const ring = part.slot * steps;
    const oldest = (part.next - kept + steps) % steps;
    const untilEnd = Math.min(kept, steps - oldest);
    const to = place * steps;
    readSteps(streams.embeddings, ring + oldest, untilEnd, this.#steps, to);
    readSteps(streams.embeddings, ring, kept - untilEnd, this.#steps, to + untilEnd);
  }

  /** Windows with as many new frames, in one run. */
  async #encode(
    group: readonly (StreamWindow & { readonly place: number })[],
    frames: number,
    view: WindowMemoryView,
    streams: StreamMemoryView,
    results: StreamResults,
  ): Promise<void> {
    const { channels } = this.#shape;
    const { strideFrames, stateSize, steps, embeddingChannels: width } = this.#stream;
    const size = channels * frames;
    if (this.#features.length < group.length * size) {
      this.#features.fill(0);
      this.#features = new Float32Array(group.length * size);
    }
    const features = this.#features.subarray(0, group.length * size);
    this.#gathered = Math.max(this.#gathered, features.length);
    const fresh = frames / strideFrames;
    for (const [i, { row, part }] of group.entries()) {
      this.#gather(view.features, row, part, features, i * size);
      const state = i * stateSize;
      if (part.before === 0) this.#states.fill(0, state, state + stateSize);
      else {
        const from = part.slot * stateSize;
        this.#states.set(streams.states.subarray(from, from + stateSize), state);
      }
    }
    const given = await this.#model.encode(
      features,
      this.#states.subarray(0, group.length * stateSize),
      group.length,
      frames,
    );
    assertLength("embeddings", given.embeddings, group.length * fresh * width);
    assertLength("next_state", given.states, group.length * stateSize);
    for (const [i, { index, place, part }] of group.entries()) {
      const embeddings = given.embeddings.subarray(i * fresh * width, (i + 1) * fresh * width);
      const kept = Math.min(part.before, steps - fresh);
      this.#steps.set(embeddings, (place * steps + kept) * width);
      holdSteps(embeddings, fresh, results.embeddings, index * steps);
      results.states.set(given.states.subarray(i * stateSize, (i + 1) * stateSize), index * stateSize);
    }
    given.embeddings.fill(0);
    given.states.fill(0);
  }

  /** A part's new frames, channel after channel. */
  #gather(from: Float32Array, row: number, part: StreamPart, to: Float32Array, at: number): void {
    const { channels, frames: longest } = this.#shape;
    const { frames, offset, stride } = part;
    const start = row * channels * longest + offset;
    if (stride === frames) {
      to.set(from.subarray(start, start + channels * frames), at);
      return;
    }
    for (let c = 0; c < channels; c++) {
      const line = start + c * stride;
      to.set(from.subarray(line, line + frames), at + c * frames);
    }
  }
}

function assertLength(what: string, data: Float32Array, length: number): void {
  if (data.length === length) return;
  throw new TonetapError("internal", `the model gave ${data.length} floats of ${what} for ${length}`);
}
