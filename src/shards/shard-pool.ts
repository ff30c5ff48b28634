/**
 * The threads that participants' media are worked on by: places each where the load is least, and replaces a thread that
 * broke down. One thread's life is shard-link.ts.
 */

import type { AudioSource } from "../core/audio-source.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import type { MediaHost, MediaParts, RtpDoor, RtpDoorOptions, ShardStatus } from "../media-host.ts";
import type { OpenSipReception } from "../transport/sip/index.ts";
import type { OpenWhipPeer } from "../transport/werift/whip-peer.ts";
import type { WindowParts } from "../window-chain.ts";
import { createDepartureMemory, followDelay } from "./departures.ts";
import { ShardLink } from "./shard-link.ts";
import { ShardMedia } from "./shard-media.ts";
import { ShardRtpSource } from "./shard-rtp-source.ts";
import { ShardSipSource } from "./shard-sip-source.ts";
import { ShardSource } from "./shard-source.ts";
import { ShardWhipPeer } from "./shard-whip-peer.ts";

export interface ShardPoolOptions {
  readonly clock: Clock;
  readonly parts: Pick<WindowParts, "config" | "manifest">;
  readonly count: number;
  /** Of each thread's heap. */
  readonly maxHeapMiB: number;
  /** Without a sign of life for longer, ms, a thread hangs and is replaced. */
  readonly hangLimitMs: number;
  /** How long the oldest window waits for batch-mates now, ms. */
  readonly delayMs: () => number;
  /** Windows that are a batch: as many wait for no others. */
  readonly batch: number;
  /** Gives up opening. */
  readonly signal?: AbortSignal | undefined;
}

/** ms between two looks at the load. */
const LOAD_PERIOD_MS = 1_000;
/** How much a new look counts against the ones before. */
const LOAD_SHARE = 0.5;
/** Load of a participant that nothing is known of yet: one core carries some hundreds. */
const PARTICIPANT_LOAD = 1 / 400;
/** Shares of a core that differ by less say nothing: collecting garbage takes more. */
const ALIKE = 0.05;
/** Wait before a thread is started anew, ms; doubles with every crash in a row. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
/** A thread that has lived so long, ms, is not in a row with the one before. */
const LIVED_MS = 60_000;

interface Slot {
  link: ShardLink;
  startedMs: number;
  /** Share of a core that its event loop is busy, smoothed. */
  load: number;
  /** Tenants at that look. */
  tenantsThen: number;
  restarts: number;
  crashesInARow: number;
  lastError: string;
  droppedBefore: number;
}

export class ShardPool implements MediaHost, Closable {
  readonly #options: ShardPoolOptions;
  readonly #slots: Slot[] = [];
  readonly #departures = createDepartureMemory();
  readonly #closing = new AbortController();
  readonly #cancelLooks: () => void;
  /** Who waits for any shard to be there again. */
  readonly #waiting = new Set<() => void>();
  #numbers = 0;
  readonly #findShard = (): Promise<ShardLink> => this.#place();
  #closed: Promise<void> | undefined;

  private constructor(options: ShardPoolOptions) {
    this.#options = options;
    followDelay(this.#departures, options.delayMs(), options.count);
    for (let i = 0; i < options.count; i++) {
      const slot: Slot = {
        link: this.#start(i),
        startedMs: options.clock.now(),
        load: 0,
        tenantsThen: 0,
        restarts: 0,
        crashesInARow: 0,
        lastError: "",
        droppedBefore: 0,
      };
      this.#slots.push(slot);
    }
    this.#cancelLooks = options.clock.repeat(LOAD_PERIOD_MS, () => this.#look());
  }

  /** Starts the threads. @throws TonetapError unavailable when one cannot be had */
  static async open(options: ShardPoolOptions): Promise<ShardPool> {
    const pool = new ShardPool(options);
    try {
      await Promise.all(pool.#slots.map(({ link }) => link.ready));
      options.signal?.throwIfAborted();
      return pool;
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  get shards(): ShardStatus[] {
    return this.#slots.map(({ link, load, restarts, lastError, droppedBefore }) => ({
      up: link.alive,
      participants: link.media,
      utilization: load,
      droppedPackets: droppedBefore + link.droppedPackets,
      restarts,
      lastError,
    }));
  }

  async open(source: AudioSource, parts: MediaParts): Promise<ShardMedia> {
    const findShard = source instanceof ShardSource ? () => source.home.settled() : this.#findShard;
    return ShardMedia.open(await findShard(), { ...parts, media: this.#numbers++, source, findShard });
  }

  readonly openSip: OpenSipReception = (reception, onEnd) =>
    ShardSipSource.open({
      reception,
      number: () => this.#numbers++,
      findShard: this.#findShard,
      onEnd,
    });

  openRtp(options: RtpDoorOptions): Promise<RtpDoor> {
    return ShardRtpSource.open(this.#numbers++, this.#findShard, options);
  }

  readonly openWhip: OpenWhipPeer = (options, onEnd) =>
    ShardWhipPeer.open(this.#numbers++, this.#findShard, options, onEnd);

  /** Windows that lie in shared memory now. */
  get windowsUnderWay(): number {
    return this.#slots.reduce((sum, { link }) => sum + link.mailbox.used, 0);
  }

  /** Whether shared memory holds nothing of a voice: all of it is looked at. */
  isWiped(): boolean {
    return this.#slots.every(({ link }) => link.mailbox.isWiped());
  }

  /** Ends one thread at once, as a crash would. Its participants move, or leave with an error. */
  async replace(index: number): Promise<void> {
    await this.#slots[index]?.link.kill();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(new TonetapError("closed", "the shards are closed"));
    this.#cancelLooks();
    for (const wake of this.#waiting) wake();
    await Promise.all(this.#slots.map(({ link }) => link.close()));
  }

  /** The shard with the least to do. Waits while there is none. @throws TonetapError closed */
  async #place(): Promise<ShardLink> {
    for (;;) {
      this.#closing.signal.throwIfAborted();
      let best: Slot | undefined;
      for (const slot of this.#slots) {
        if (slot.link.alive && (best === undefined || isLighter(slot, best))) best = slot;
      }
      if (best !== undefined) {
        await best.link.ready.catch(() => undefined);
        if (best.link.alive) return best.link;
        continue;
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
      this.#waiting.clear();
    }
  }

  #start(index: number): ShardLink {
    const onLost = (error: TonetapError): void => void this.#replace(index, error);
    return new ShardLink({ ...this.#options, departures: this.#departures, onLost });
  }

  /** Never rejects: it tries until the pool is closed. */
  async #replace(index: number, error: TonetapError): Promise<void> {
    const slot = this.#slots[index];
    if (slot === undefined || this.#closing.signal.aborted) return;
    const { clock } = this.#options;
    slot.lastError = error.message;
    slot.droppedBefore += slot.link.droppedPackets;
    slot.crashesInARow = clock.now() - slot.startedMs > LIVED_MS ? 1 : slot.crashesInARow + 1;
    const backoffMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (slot.crashesInARow - 1));
    try {
      await sleep(clock, backoffMs, this.#closing.signal);
    } catch {
      // Closed while it waited.
      return;
    }
    slot.restarts++;
    slot.startedMs = clock.now();
    slot.load = 0;
    slot.tenantsThen = 0;
    slot.link = this.#start(index);
    for (const wake of this.#waiting) wake();
  }

  #look(): void {
    const { delayMs, count } = this.#options;
    followDelay(this.#departures, delayMs(), count);
    for (const slot of this.#slots) {
      if (!slot.link.alive) continue;
      slot.link.look();
      slot.load += LOAD_SHARE * (slot.link.takeUtilization() - slot.load);
      slot.tenantsThen = slot.link.tenants;
    }
  }
}

/** Load now, by the last look and who came since; of two that are about alike the one with fewer participants. */
function isLighter(a: Slot, b: Slot): boolean {
  const difference = expectedLoad(a) - expectedLoad(b);
  return Math.abs(difference) < ALIKE ? a.link.tenants < b.link.tenants : difference < 0;
}

function expectedLoad({ link, load, tenantsThen }: Slot): number {
  const each = tenantsThen === 0 ? PARTICIPANT_LOAD : Math.max(load / tenantsThen, PARTICIPANT_LOAD / 10);
  return load + (link.tenants - tenantsThen) * each;
}
