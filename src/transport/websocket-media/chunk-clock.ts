/**
 * RTP timestamps for a stream whose messages are numbered and carry a time in ms: numbers say the order, lengths how
 * time goes on, and the ms only where it stood still. No sockets here.
 */

/**
 * A time that is this far from what the lengths add up to, ms, means that audio was left out (mute, hold). Less is the
 * sender's rounding and jitter: believing it would cut holes into speech.
 */
const RESYNC_MS = 120;

export class ChunkClock {
  readonly #ticksPerMs: number;
  #started = false;
  /** The latest chunk in order, where it begins and how long it is. */
  #chunk = 0;
  #ticks = 0;
  #durationTicks = 0;

  constructor(clockRateHz: number) {
    this.#ticksPerMs = clockRateHz / 1000;
  }

  /**
   * When a chunk begins, in ticks since the stream began.
   * @param timestampMs what its sender says; undefined if nothing
   * @param durationTicks how long it is
   */
  ticksOf(chunk: number, timestampMs: number | undefined, durationTicks: number): number {
    if (!this.#started) {
      this.#started = true;
      return this.#advance(chunk, Math.round((timestampMs ?? 0) * this.#ticksPerMs), durationTicks);
    }
    const ahead = chunk - this.#chunk;
    // Late ones and those behind a hole: as if all had the length of the latest.
    const expected = this.#ticks + ahead * this.#durationTicks;
    const said = timestampMs === undefined ? expected : Math.round(timestampMs * this.#ticksPerMs);
    const isApart = Math.abs(said - expected) > RESYNC_MS * this.#ticksPerMs;
    const ticks = isApart ? said : expected;
    return ahead > 0 ? this.#advance(chunk, ticks, durationTicks) : ticks;
  }

  #advance(chunk: number, ticks: number, durationTicks: number): number {
    this.#chunk = chunk;
    this.#ticks = ticks;
    this.#durationTicks = durationTicks;
    return ticks;
  }
}
