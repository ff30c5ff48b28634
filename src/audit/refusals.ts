/**
 * Who was turned away, and why, for the audit log: the first time at once, then one record a source a minute with how
 * often. A flood of refusals is no flood of records, and pushes nothing out.
 */
import { isIPv6 } from "node:net";
import type { Clock } from "../core/clock.ts";
import type { ErrorCode, TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import type { AuditLog } from "./audit-log.ts";

const PERIOD_MS = 60_000;
/** Sources told apart in a minute; those beyond are one. */
const MAX_SOURCES = 1_000;
const OTHERS = "others";
const MAX_REASON = 200;

/** Codes that are about who asks, what is allowed and how often; others are mistakes and defects. */
const CODES: ReadonlySet<ErrorCode> = new Set(["unauthenticated", "policy", "overloaded"]);

export interface Refusal {
  /** Where it came from: an address, or what else is known. */
  readonly source: string | undefined;
  /** Where it wanted in: `http`, `events`, `media`, `sip`, … */
  readonly door: string;
  readonly error: TonetapError;
}

interface Counted {
  /** Since the last record, by `door code`. */
  readonly refused: Map<string, number>;
  reason: string;
}

export class Refusals implements Closable {
  readonly #log: Pick<AuditLog, "append">;
  readonly #sources = new Map<string, Counted>();
  readonly #stop: () => void;

  constructor(log: Pick<AuditLog, "append">, clock: Clock) {
    this.#log = log;
    this.#stop = clock.repeat(PERIOD_MS, () => this.#tell());
  }

  /** What is no matter of who asks is left out. */
  add({ source, door, error }: Refusal): void {
    if (!CODES.has(error.code)) return;
    const what = `${door} ${error.code}`;
    const reason = error.message.slice(0, MAX_REASON);
    const own = networkOf(source ?? "unknown");
    const name = this.#sources.has(own) || this.#sources.size < MAX_SOURCES ? own : OTHERS;
    const known = this.#sources.get(name);
    if (known === undefined) {
      this.#sources.set(name, { refused: new Map(), reason });
      this.#append(name, [[what, 1]], reason);
      return;
    }
    known.refused.set(what, (known.refused.get(what) ?? 0) + 1);
    known.reason = reason;
  }

  /** Writes what is counted and not yet written. */
  close(): Promise<void> {
    this.#stop();
    this.#tell();
    return Promise.resolve();
  }

  #tell(): void {
    for (const [name, { refused, reason }] of this.#sources) {
      if (refused.size === 0) {
        this.#sources.delete(name);
        continue;
      }
      this.#append(name, refused, reason);
      refused.clear();
    }
  }

  #append(source: string, refused: Iterable<readonly [string, number]>, reason: string): void {
    const counts = [...refused];
    const count = counts.reduce((sum, [, times]) => sum + times, 0);
    this.#log.append("access.refused", { source, count, refused: Object.fromEntries(counts), reason });
  }
}

/** Of IPv6 the first half: who has one address there has them all (RFC 4291 §2.5.4). */
function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
  if (!isIPv6(plain)) return plain.slice(0, 64);
  const [head = "", tail] = plain.split("%")[0]?.split("::") ?? [];
  const groups = head === "" ? [] : head.split(":");
  const rest = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length;
  const all = [...groups, ...Array.from({ length: zeros }, () => "0"), ...rest];
  return `${all.slice(0, 4).join(":")}::/64`;
}
