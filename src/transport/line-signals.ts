/** Signals of one line on their way to whoever analyses it: kept while nobody listens yet, over with the line. */
import { type Observable, ReplaySubject } from "rxjs";
import type { LineSignal } from "../core/line-signal.ts";

/** What comes while a participant is being attached; the latest count. */
const MAX_KEPT = 16;

export class LineSignals {
  readonly #subject = new ReplaySubject<LineSignal>(MAX_KEPT);
  readonly observable: Observable<LineSignal> = this.#subject.asObservable();

  tell(signal: LineSignal): void {
    this.#subject.next(signal);
  }

  end(): void {
    this.#subject.complete();
  }
}
