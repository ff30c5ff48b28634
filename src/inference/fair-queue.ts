/**
 * Windows that wait for the model, and whose turn it is: levels of priority, then tenants by weight, then calls in
 * turn. Pure bookkeeping: when a batch goes out, and how big it is, is the batcher's.
 */
import { assertRange, TonetapError } from "../core/errors.ts";
import { type Link, LinkedList } from "../core/linked-list.ts";
import { WINDOW_PRIORITIES, type WindowPriority } from "../core/window.ts";

/** What the queue must know of an entry. */
export interface Waiting {
  readonly call: string;
  readonly tenant: string;
  readonly priority: WindowPriority;
  /** Time, ms, from which on it is late. */
  readonly dueMs: number;
}

/** Where an entry stands: in its level's order of arrival, and in its call's line. */
interface Place<T> {
  readonly entry: T;
  readonly level: Level<T>;
  readonly tenant: Tenant<T>;
  readonly call: Call<T>;
  arrival: Link<Place<T>> | undefined;
  turn: Link<Place<T>> | undefined;
}

interface Call<T> {
  readonly name: string;
  readonly line: LinkedList<Place<T>>;
  /** Its place among the tenant's calls, while windows of it wait. */
  link: Link<Call<T>> | undefined;
}

interface Tenant<T> {
  readonly name: string;
  /** Windows it may send in one turn. */
  readonly weight: number;
  /** Of those, windows that it has sent in the turn under way. */
  sent: number;
  readonly calls: Map<string, Call<T>>;
  /** The call whose turn it is comes first. */
  readonly turns: LinkedList<Call<T>>;
  link: Link<Tenant<T>> | undefined;
}

interface Level<T> {
  readonly arrivals: LinkedList<Place<T>>;
  readonly tenants: Map<string, Tenant<T>>;
  readonly turns: LinkedList<Tenant<T>>;
  /** Sum of the weights of the tenants that wait. */
  weight: number;
}

/**
 * A bounded queue with strict priorities. Within a level it is deficit round robin (Shreedhar & Varghese, 1995) in two
 * stages: tenants take turns of `weight` windows, and each window of a tenant's turn is its next call's oldest. All
 * windows cost the same, so the deficit is what is left of a turn. Taking and adding take constant time.
 *
 * When it is full, a window of the lowest level that waits goes: the oldest one of a call that holds more than its
 * share of that level, or the oldest of all where every call holds just its share. A flood pushes out itself.
 */
export class FairQueue<T extends Waiting> {
  readonly limit: number;
  readonly #weights: Readonly<Record<string, number>>;
  /** Highest priority first. */
  readonly #levels: readonly Level<T>[];
  #length = 0;
  /** Nothing that waits is late before this. */
  #nextDueMs = Number.POSITIVE_INFINITY;

  /** @param weights windows a turn by tenant, whole numbers; 1 for those not named */
  constructor(limit: number, weights: Readonly<Record<string, number>> = {}) {
    assertRange("queue limit", limit, 1, 1 << 24);
    for (const [tenant, weight] of Object.entries(weights)) {
      assertRange(`weight of tenant ${tenant}`, weight, 1, 1_000);
    }
    this.limit = limit;
    this.#weights = weights;
    this.#levels = WINDOW_PRIORITIES.map(() => ({
      arrivals: new LinkedList(),
      tenants: new Map(),
      turns: new LinkedList(),
      weight: 0,
    }));
  }

  get length(): number {
    return this.#length;
  }

  /** The entry of any level that came first. Entries of one level are in order of arrival, so where `cameMs` falls it is not found. */
  oldest(cameMs: (entry: T) => number): T | undefined {
    let oldest: T | undefined;
    for (const { arrivals } of this.#levels) {
      const entry = arrivals.first?.value.entry;
      if (entry === undefined) continue;
      if (oldest === undefined || cameMs(entry) < cameMs(oldest)) oldest = entry;
    }
    return oldest;
  }

  /** No entry is late before this time, ms; infinite when none waits. It may be earlier than the first that is. */
  get nextDueMs(): number {
    return this.#length === 0 ? Number.POSITIVE_INFINITY : this.#nextDueMs;
  }

  /** @returns the entry that had to go, if any; it may be `entry` itself */
  push(entry: T): T | undefined {
    const level = this.#level(entry.priority);
    const tenant = this.#tenant(level, entry.tenant);
    const call = callOf(tenant, entry.call);
    const place: Place<T> = { entry, level, tenant, call, arrival: undefined, turn: undefined };
    place.arrival = level.arrivals.append(place);
    place.turn = call.line.append(place);
    call.link ??= tenant.turns.append(call);
    if (tenant.link === undefined) {
      tenant.link = level.turns.append(tenant);
      level.weight += tenant.weight;
    }
    this.#length++;
    this.#nextDueMs = Math.min(this.#length === 1 ? entry.dueMs : this.#nextDueMs, entry.dueMs);
    if (this.#length <= this.limit) return undefined;
    const victim = this.#victim();
    if (victim !== undefined) this.#remove(victim);
    return victim?.entry;
  }

  /**
   * Takes out the entry whose turn it is.
   * @param ready entries that are not are passed over; their calls keep their turns
   */
  take(ready: (entry: T) => boolean = () => true): T | undefined {
    for (const level of this.#levels) {
      const place = firstReady(level, ready);
      if (place === undefined) continue;
      const { tenant, call } = place;
      // Turns pass on before the entry goes: what has nothing left loses its place.
      if (call.link !== undefined) tenant.turns.moveToEnd(call.link);
      if (++tenant.sent >= tenant.weight && tenant.link !== undefined) {
        tenant.sent = 0;
        level.turns.moveToEnd(tenant.link);
      }
      this.#remove(place);
      return place.entry;
    }
    return undefined;
  }

  /** Takes out every entry that is late at `nowMs`, in order of arrival within each level. */
  takeLate(nowMs: number): T[] {
    const late: T[] = [];
    if (nowMs < this.nextDueMs) return late;
    let nextDueMs = Number.POSITIVE_INFINITY;
    for (const { arrivals } of this.#levels) {
      let link = arrivals.first;
      while (link !== undefined) {
        const { after, value } = link;
        if (value.entry.dueMs <= nowMs) {
          this.#remove(value);
          late.push(value.entry);
        } else nextDueMs = Math.min(nextDueMs, value.entry.dueMs);
        link = after;
      }
    }
    this.#nextDueMs = nextDueMs;
    return late;
  }

  /** Takes out every entry that `test` names. It looks at all of them. */
  takeWhere(test: (entry: T) => boolean): T[] {
    const taken: T[] = [];
    for (const { arrivals } of this.#levels) {
      let link = arrivals.first;
      while (link !== undefined) {
        const { after, value } = link;
        if (test(value.entry)) {
          this.#remove(value);
          taken.push(value.entry);
        }
        link = after;
      }
    }
    return taken;
  }

  #level(priority: WindowPriority): Level<T> {
    const level = this.#levels[WINDOW_PRIORITIES.indexOf(priority)];
    if (level !== undefined) return level;
    throw new TonetapError(
      "invalid-argument",
      `priority must be one of ${WINDOW_PRIORITIES.join(", ")}, got ${JSON.stringify(priority)}`,
    );
  }

  #tenant(level: Level<T>, name: string): Tenant<T> {
    const known = level.tenants.get(name);
    if (known !== undefined) return known;
    const weight = Object.hasOwn(this.#weights, name) ? (this.#weights[name] ?? 1) : 1;
    const made: Tenant<T> = {
      name,
      weight,
      sent: 0,
      calls: new Map(),
      turns: new LinkedList(),
      link: undefined,
    };
    level.tenants.set(name, made);
    return made;
  }

  /** Some call holds more than its share, or all hold exactly that. */
  #victim(): Place<T> | undefined {
    const level = this.#levels.findLast(({ arrivals }) => arrivals.length > 0);
    for (let link = level?.arrivals.first; level !== undefined && link !== undefined; link = link.after) {
      const { call, tenant } = link.value;
      const share = (level.arrivals.length * tenant.weight) / (level.weight * tenant.turns.length);
      if (call.line.length > share) return link.value;
    }
    return level?.arrivals.first?.value;
  }

  /** What waits no more leaves nothing behind: callers come and go. */
  #remove({ arrival, turn, level, tenant, call }: Place<T>): void {
    if (arrival !== undefined) level.arrivals.remove(arrival);
    if (turn !== undefined) call.line.remove(turn);
    this.#length--;
    if (call.line.length > 0) return;
    if (call.link !== undefined) tenant.turns.remove(call.link);
    tenant.calls.delete(call.name);
    if (tenant.turns.length > 0) return;
    if (tenant.link !== undefined) level.turns.remove(tenant.link);
    level.weight -= tenant.weight;
    level.tenants.delete(tenant.name);
  }
}

/** In order of turns: the first that is, of a level. */
function firstReady<T>(level: Level<T>, ready: (entry: T) => boolean): Place<T> | undefined {
  for (let tenant = level.turns.first; tenant !== undefined; tenant = tenant.after) {
    for (let call = tenant.value.turns.first; call !== undefined; call = call.after) {
      for (let place = call.value.line.first; place !== undefined; place = place.after) {
        if (ready(place.value.entry)) return place.value;
      }
    }
  }
  return undefined;
}

function callOf<T>(tenant: Tenant<T>, name: string): Call<T> {
  const known = tenant.calls.get(name);
  if (known !== undefined) return known;
  const made: Call<T> = { name, line: new LinkedList(), link: undefined };
  tenant.calls.set(name, made);
  return made;
}
