/**
 * Server transactions: what makes a request over UDP happen once, and its answer arrive (RFC 3261 §17.2, RFC 6026). What
 * the answer is, is decided elsewhere. All time is the injected clock's.
 */
import type { Clock } from "../../core/clock.ts";
import { type SipResponse, serializeSip } from "./sip-message.ts";
import { GIVE_UP_MS, T1_MS, T2_MS, T4_MS } from "./sip-timing.ts";

/** Where a transaction sends. */
export interface SipPath {
  /** A stream: nothing needs to be sent twice for the path's sake. */
  readonly reliable: boolean;
  /** What is sent may arrive. False for a stream that has ended. */
  readonly alive: boolean;
  /** Never throws; what the system refuses is counted by who owns the path. */
  send(message: Uint8Array): void;
}

export interface TransactionOptions {
  readonly clock: Clock;
  readonly path: SipPath;
  /** It is over: forget it. Runs once. */
  readonly onEnd: () => void;
}

/** Every request but INVITE and ACK: answered at once, or nearly; repeats get the same answer. */
export class RequestTransaction {
  readonly kind = "request";
  readonly #options: TransactionOptions;
  #response: Uint8Array | undefined;
  #cancelEnd: (() => void) | undefined;
  #closed = false;

  constructor(options: TransactionOptions) {
    this.#options = options;
  }

  respond(response: SipResponse): void {
    if (this.#closed) return;
    const { clock, path, onEnd } = this.#options;
    this.#response = serializeSip(response);
    path.send(this.#response);
    // Timer J: over a stream nothing comes twice.
    if (path.reliable) onEnd();
    else this.#cancelEnd = clock.schedule(GIVE_UP_MS, onEnd);
  }

  repeated(): void {
    if (this.#response !== undefined) this.#options.path.send(this.#response);
  }

  close(): void {
    this.#closed = true;
    this.#cancelEnd?.();
  }
}

export interface AcceptHandlers {
  /** Nobody said ACK in {@link GIVE_UP_MS}: RFC 3261 §13.3.1.4 has the call end with BYE. */
  readonly onUnacknowledged: () => void;
}

/** An INVITE, or a re-INVITE. */
export class InviteTransaction {
  readonly kind = "invite";
  readonly #options: TransactionOptions;
  /**
   * - `proceeding`: not decided. - `accepted`: 2xx, sent again until acknowledged (RFC 6026). - `completed`: refused, sent
   * again until acknowledged. - `confirmed`: refused and acknowledged; repeated ACKs are absorbed. - `ended`.
   */
  #state: "proceeding" | "accepted" | "completed" | "confirmed" | "ended" = "proceeding";
  #last: Uint8Array | undefined;
  #acknowledged = false;
  #cancelRepeat: (() => void) | undefined;
  #cancelEnd: (() => void) | undefined;

  constructor(options: TransactionOptions) {
    this.#options = options;
  }

  /** It can still be accepted, refused or cancelled. */
  get undecided(): boolean {
    return this.#state === "proceeding";
  }

  /** Accepted, and the peer does not seem to know yet. */
  get awaitsAck(): boolean {
    return this.#state === "accepted" && !this.#acknowledged;
  }

  /** Sends a 1xx. */
  provisional(response: SipResponse): void {
    if (this.#state === "proceeding") this.#send(response);
  }

  /** Sends a 2xx. Over streams too it is repeated: a proxy further on may speak UDP (RFC 3261 §13.3.1.4). */
  accept(response: SipResponse, handlers: AcceptHandlers): void {
    if (this.#state !== "proceeding") return;
    this.#state = "accepted";
    this.#send(response);
    this.#repeat(T1_MS);
    this.#cancelEnd = this.#options.clock.schedule(GIVE_UP_MS, () => {
      const unheard = this.awaitsAck;
      this.#end();
      if (unheard) handlers.onUnacknowledged();
    });
  }

  /** Sends a 3xx–6xx. */
  refuse(response: SipResponse): void {
    if (this.#state !== "proceeding") return;
    this.#state = "completed";
    this.#send(response);
    // Timers G and H.
    if (!this.#options.path.reliable) this.#repeat(T1_MS);
    this.#cancelEnd = this.#options.clock.schedule(GIVE_UP_MS, () => this.#end());
  }

  /** An ACK has come: of the 2xx, which is told by the dialog, or of a refusal. */
  acknowledge(): void {
    if (this.#state !== "accepted" && this.#state !== "completed") return;
    this.#cancelRepeat?.();
    this.#acknowledged = true;
    if (this.#state !== "completed") return;
    this.#state = "confirmed";
    this.#cancelEnd?.();
    // Timer I.
    if (this.#options.path.reliable) this.#end();
    else this.#cancelEnd = this.#options.clock.schedule(T4_MS, () => this.#end());
  }

  /** The INVITE has come again. Once accepted, the 2xx has a rhythm of its own (RFC 6026 §7.1). */
  repeated(): void {
    const { path } = this.#options;
    if (this.#last === undefined) return;
    if (this.#state === "proceeding" || this.#state === "completed") path.send(this.#last);
  }

  /** Forgets it at once, without a word. */
  close(): void {
    this.#cancelRepeat?.();
    this.#cancelEnd?.();
    this.#state = "ended";
  }

  #send(response: SipResponse): void {
    this.#last = serializeSip(response);
    this.#options.path.send(this.#last);
  }

  #repeat(delayMs: number): void {
    const { clock, path } = this.#options;
    this.#cancelRepeat = clock.schedule(delayMs, () => {
      if (this.#last !== undefined) path.send(this.#last);
      this.#repeat(Math.min(2 * delayMs, T2_MS));
    });
  }

  #end(): void {
    if (this.#state === "ended") return;
    this.close();
    this.#options.onEnd();
  }
}
