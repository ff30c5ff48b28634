/**
 * Which windows are judged by their streams: whose state lies in which slot, how far it has heard, and what each window
 * adds to it. The slots are stream-memory.ts; the queue, and when a window runs, are the batcher's.
 */
import type { ModelManifest } from "../core/model.ts";
import type { WindowPlace } from "../core/window.ts";
import { StreamMemory, type StreamPart, type StreamShape, slotBytes } from "./stream-memory.ts";

export interface StreamStats {
  /** Windows judged by their new frames alone. */
  readonly steps: number;
  /** Windows from which a stream began, or began anew. */
  readonly rebuilds: number;
  /** Streams now held, and at most. */
  readonly held: number;
  readonly limit: number;
  /** Streams that lost their slot to another one; their next window is a rebuild. */
  readonly evicted: number;
}

/** One key's windows on one model. */
interface Stream {
  readonly key: string;
  /** −1: nothing is carried. */
  slot: number;
  /** What the slot has heard: samples up to here, of this epoch. */
  end: number;
  epoch: number;
  /** A new one begins with each window that begins anew: frames of two epochs are not on one scale. */
  latestEpoch: number;
  /** Where its latest window ended, samples. */
  toldEnd: number;
  /** Windows not yet answered, in order of their submits. */
  readonly line: StreamPlace[];
  /** Nobody may have anything of it any more. */
  forgotten: boolean;
}

/** A submitted window's place in its stream, until it is answered. */
export interface StreamPlace {
  readonly stream: Stream;
  /** Sample at which the window ends. */
  readonly end: number;
  readonly epoch: number;
  readonly frames: number;
  readonly fresh: number;
  /** Its row holds the fresh frames alone: what came before them lies in the slot for certain. */
  readonly compact: boolean;
  /** While it is in the model. */
  part: StreamPart | undefined;
}

/** Of a window for its slot. `moved`: its batch is done; `kept`: it is not; `spoilt`: what it carries is of no use. */
export type StreamOutcome = "moved" | "kept" | "spoilt";

/** Streams held at most, and the memory that they may take together. */
const MOST_STREAMS = 4_096;
const MOST_BYTES = 2 ** 30;

export class StreamBook {
  readonly memory: StreamMemory;
  readonly #shape: StreamShape;
  /** T */
  readonly #windowFrames: number;
  /** Samples a frame. */
  readonly #hopLength: number;
  /** Least lately used first. */
  readonly #streams = new Map<string, Stream>();
  #epochs = 0;
  #steps = 0;
  #rebuilds = 0;
  #evicted = 0;

  /** @param limit streams held at most; default: 4,096, or as many as fit into 1 GiB */
  constructor(manifest: ModelManifest, shape: StreamShape, limit?: number) {
    const slots = limit ?? Math.max(1, Math.min(MOST_STREAMS, Math.floor(MOST_BYTES / slotBytes(shape))));
    this.memory = new StreamMemory(slots, shape);
    this.#shape = shape;
    this.#windowFrames = manifest.window.frames;
    this.#hopLength = manifest.features.hopLength;
  }

  get stats(): StreamStats {
    return {
      steps: this.#steps,
      rebuilds: this.#rebuilds,
      held: this.memory.held,
      limit: this.memory.slots,
      evicted: this.#evicted,
    };
  }

  /** Puts a window into its stream. @returns undefined where it stands alone */
  admit(key: string, window: WindowPlace): StreamPlace | undefined {
    const { frames, fresh, end } = window;
    if (fresh === undefined || !this.#isWholeSteps(window)) return undefined;
    const stream = this.#streams.get(key) ?? this.#begin(key);
    if (!this.#follows(stream, window)) stream.latestEpoch = ++this.#epochs;
    const compact = this.#goesOn(stream, window);
    stream.toldEnd = end;
    const place: StreamPlace = {
      stream,
      end,
      epoch: stream.latestEpoch,
      frames,
      fresh,
      compact,
      part: undefined,
    };
    stream.line.push(place);
    return place;
  }

  /** Whether a window, were it admitted now, would be compact. */
  continues(key: string, window: WindowPlace): boolean {
    const stream = this.#streams.get(key);
    return stream !== undefined && this.#isWholeSteps(window) && this.#goesOn(stream, window);
  }

  /** Whether all windows before it have been answered. */
  ready(place: StreamPlace): boolean {
    return place.stream.line[0] === place;
  }

  /**
   * What the model is to do for a window that goes out now. One that overtakes is judged whole, as is one for which there
   * is no slot: its stream is not touched.
   */
  send(place: StreamPlace): StreamPart | undefined {
    const { stream, frames, fresh, compact } = place;
    if (!this.ready(place)) return undefined;
    const missing = compact ? fresh : this.#missing(stream, place.end, place.epoch);
    const continues = missing !== undefined && missing < frames;
    if (stream.slot < 0) stream.slot = this.#slot() ?? -1;
    if (stream.slot < 0) return undefined;
    const stride = compact ? fresh : this.#windowFrames;
    const row = continues
      ? { frames: missing, offset: compact ? 0 : frames - missing, stride }
      : { frames, offset: 0, stride };
    place.part = this.memory.part(stream.slot, row, continues);
    return place.part;
  }

  /** A window is answered. */
  answered(place: StreamPlace, outcome: StreamOutcome): void {
    const { stream, part, end, epoch } = place;
    const at = stream.line.indexOf(place);
    if (at >= 0) stream.line.splice(at, 1);
    place.part = undefined;
    if (part !== undefined && outcome === "moved") {
      stream.end = end;
      stream.epoch = epoch;
      if (part.before === 0) this.#rebuilds++;
      else this.#steps++;
    }
    if (stream.forgotten) {
      if (stream.line.length === 0) this.#release(stream);
      return;
    }
    // Only who has been in the model may give the slot back: it may be another window's of this stream.
    if (part !== undefined && (outcome === "spoilt" || stream.end < 0)) this.#release(stream);
    this.#streams.delete(stream.key);
    if (stream.slot >= 0 || stream.line.length > 0) this.#streams.set(stream.key, stream);
  }

  /** Wipes at once what is carried of a key; its slot is free when its windows are answered. */
  forget(key: string): void {
    const stream = this.#streams.get(key);
    if (stream === undefined) return;
    this.#streams.delete(key);
    stream.forgotten = true;
    if (stream.line.length === 0) this.#release(stream);
    else if (stream.slot >= 0) this.memory.wipe(stream.slot);
  }

  #isWholeSteps({ frames, fresh = frames }: WindowPlace): boolean {
    const { strideFrames } = this.#shape;
    return frames % strideFrames === 0 && fresh % strideFrames === 0;
  }

  /** Where a window was lost on the way here, it may have been one that began anew: the next one does not follow. */
  #follows({ toldEnd }: Stream, { frames, fresh = frames, end }: WindowPlace): boolean {
    return fresh < frames && end - fresh * this.#hopLength === toldEnd;
  }

  /** Whatever waits or runs before it may yet fail; then it needs all its frames. */
  #goesOn(stream: Stream, window: WindowPlace): boolean {
    const { end, fresh } = window;
    return (
      this.#follows(stream, window) &&
      stream.line.length === 0 &&
      this.#missing(stream, end, stream.latestEpoch) === fresh
    );
  }

  #begin(key: string): Stream {
    const stream = {
      key,
      slot: -1,
      end: -1,
      epoch: 0,
      latestEpoch: 0,
      toldEnd: -1,
      line: [],
      forgotten: false,
    };
    this.#streams.set(key, stream);
    return stream;
  }

  /** Frames between what a slot has heard and `end`; undefined where it has heard nothing that leads there. */
  #missing(stream: Stream, end: number, epoch: number): number | undefined {
    if (stream.slot < 0 || stream.end < 0 || stream.epoch !== epoch) return undefined;
    const frames = (end - stream.end) / this.#hopLength;
    return frames > 0 && frames % this.#shape.strideFrames === 0 ? frames : undefined;
  }

  #slot(): number | undefined {
    const free = this.memory.take();
    if (free !== undefined) return free;
    for (const stream of this.#streams.values()) {
      if (stream.slot < 0 || stream.line.length > 0) continue;
      this.#streams.delete(stream.key);
      this.#release(stream);
      this.#evicted++;
      return this.memory.take();
    }
    return undefined;
  }

  #release(stream: Stream): void {
    if (stream.slot >= 0) this.memory.release(stream.slot);
    stream.slot = -1;
    stream.end = -1;
  }
}
