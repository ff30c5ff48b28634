/**
 * One voice of a recording as an AudioSource: what comes in at a stream's port while that voice speaks there. The port and
 * whose packets it takes are sip-source.ts.
 */
import { defer, EMPTY, filter, type Observable, Subject, takeUntil } from "rxjs";
import type { CodecMap, RtpPacket, SenderReport } from "../../../core/rtp.ts";
import { LineSignals } from "../../line-signals.ts";
import type { SipReception, SipVoice } from "../sip-reception.ts";

/** What it needs of the port that it comes in at. */
type Reception = Required<
  Pick<SipReception, "codecs" | "packets" | "senderReports" | "closed" | "timedOut" | "refused">
>;

export class VoiceSource implements SipVoice {
  readonly kind = "siprec";
  readonly codecs: CodecMap;
  readonly packets: Observable<RtpPacket>;
  readonly senderReports: Observable<SenderReport>;
  readonly line = new LineSignals();
  readonly signals = this.line.observable;
  readonly #leg: Reception;
  readonly #onClosed: () => void;
  readonly #ended = new Subject<void>();
  /** What the port had refused before. */
  readonly #before: Readonly<Record<string, number>>;
  #closed = false;
  #dropped = 0;
  held = false;

  /** @param onClosed it was closed before its stream ended. Runs at most once. */
  constructor(leg: Reception, onClosed: () => void) {
    this.#leg = leg;
    this.#onClosed = onClosed;
    this.codecs = leg.codecs;
    this.packets = this.#until(leg.packets.pipe(filter(() => this.#passes())));
    this.senderReports = this.#until(leg.senderReports);
    this.#before = leg.refused;
  }

  get closed(): boolean {
    return this.#closed || this.#leg.closed;
  }

  get timedOut(): boolean {
    return !this.#closed && this.#leg.timedOut;
  }

  get refused(): Readonly<Record<string, number>> {
    const since = Object.entries(this.#leg.refused).map(
      ([reason, count]) => [reason, count - (this.#before[reason] ?? 0)] as const,
    );
    const dropped = ["nobody-speaks", this.#dropped] as const;
    return Object.fromEntries([...since, dropped].filter(([, count]) => count > 0));
  }

  /** The stream goes on without anybody who listens. */
  close(): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.#closed = true;
    this.line.end();
    this.#ended.next();
    this.#onClosed();
    return Promise.resolve();
  }

  #passes(): boolean {
    if (this.held) this.#dropped++;
    return !this.held;
  }

  #until<T>(stream: Observable<T>): Observable<T> {
    return defer(() => (this.#closed ? EMPTY : stream.pipe(takeUntil(this.#ended))));
  }
}
