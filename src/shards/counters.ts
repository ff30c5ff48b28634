/**
 * A participant's counters in memory that its shard writes and the main thread reads: nothing is sent, and nobody is woken to
 * be told. What is counted is the jitter buffer's and the decoder's.
 */
import { type MonotonicMs, monotonicMs } from "../core/units.ts";
import { createDecodeStats, type DecodeStats } from "../stream/index.ts";
import { createJitterStats, type JitterStats } from "../transport/index.ts";

/** Of one participant in one shard; survives structured cloning. */
export type CounterMemory = Float64Array<SharedArrayBuffer>;

type Counted = JitterStats | DecodeStats | JitterStats["ignored"] | DecodeStats["samples"];

const JITTER = numbersOf(createJitterStats()).length;
const COUNTERS = JITTER + numbersOf(createDecodeStats()).length;
/** After the counters. */
const PAYLOAD_TYPE = COUNTERS;
const FIRST_ARRIVAL = COUNTERS + 1;

export function createCounterMemory(): CounterMemory {
  const memory = new Float64Array(new SharedArrayBuffer(8 * (COUNTERS + 2)));
  memory[PAYLOAD_TYPE] = -1;
  memory[FIRST_ARRIVAL] = Number.NaN;
  return memory;
}

/** What a shard counts of a participant. */
export interface Counting {
  readonly jitterStats: JitterStats;
  readonly decodeStats: DecodeStats;
  /** Of the latest packet; −1 before the first. */
  readonly lastPayloadType: number;
  readonly firstArrivalMs: MonotonicMs | undefined;
}

/** The shard's part. */
export function writeCounters(memory: CounterMemory, counting: Counting): void {
  writeNumbers(counting.decodeStats, memory, writeNumbers(counting.jitterStats, memory, 0));
  memory[PAYLOAD_TYPE] = counting.lastPayloadType;
  memory[FIRST_ARRIVAL] = counting.firstArrivalMs ?? Number.NaN;
}

/** The main thread's part: what was counted in all shards that a participant has been on. */
export class CounterReader {
  readonly jitterStats: Readonly<JitterStats>;
  readonly decodeStats: Readonly<DecodeStats>;
  #memory = createCounterMemory();
  readonly #before = new Float64Array(COUNTERS);

  constructor() {
    // 64 bits are read and written at once on every machine that Node runs on; of two counters one may be newer.
    const read = (at: number): number => (this.#before[at] ?? 0) + (this.#memory[at] ?? 0);
    this.jitterStats = viewOf(createJitterStats(), read, 0);
    this.decodeStats = viewOf(createDecodeStats(), read, JITTER);
  }

  /** Of the latest packet; −1 before the first. */
  get payloadType(): number {
    return this.#memory[PAYLOAD_TYPE] ?? -1;
  }

  get firstArrivalMs(): MonotonicMs | undefined {
    const at = this.#memory[FIRST_ARRIVAL] ?? Number.NaN;
    return Number.isNaN(at) ? undefined : monotonicMs(at);
  }

  /** Begins to count in another shard, on top of what there is. @returns the memory for that shard */
  moveOn(): CounterMemory {
    // What is of the moment is not added up.
    const moment = { ...this.jitterStats, jitterMs: 0, waitMs: 0 };
    const memory = createCounterMemory();
    const { payloadType, firstArrivalMs = Number.NaN } = this;
    writeNumbers(this.decodeStats, this.#before, writeNumbers(moment, this.#before, 0));
    memory[PAYLOAD_TYPE] = payloadType;
    memory[FIRST_ARRIVAL] = firstArrivalMs;
    this.#memory = memory;
    return memory;
  }
}

function numbersOf(stats: Counted): number[] {
  return Object.values(stats).flatMap((value: number | Counted) =>
    typeof value === "number" ? [value] : numbersOf(value),
  );
}

/** Writes the numbers of `stats`, those inside of it too, in the order of its fields. @returns where the next go */
function writeNumbers(stats: Counted, out: Float64Array, at: number): number {
  for (const value of Object.values(stats) as (number | Counted)[]) {
    if (typeof value === "number") out[at++] = value;
    else at = writeNumbers(value, out, at);
  }
  return at;
}

/** One like `stats` whose numbers are read as writeNumbers() has written them. */
function viewOf<S extends Counted>(stats: S, read: (at: number) => number, first: number): S {
  const view: Record<string, unknown> = {};
  let at = first;
  for (const [name, value] of Object.entries(stats) as [string, number | Counted][]) {
    if (typeof value === "number") {
      const place = at++;
      Object.defineProperty(view, name, { enumerable: true, get: () => read(place) });
    } else {
      view[name] = viewOf(value, read, at);
      at += numbersOf(value).length;
    }
  }
  return view as S;
}
