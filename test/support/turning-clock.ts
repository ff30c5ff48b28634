/**
 * Time that passes with the turns of the event loop, 1 ms a turn: what is late by it has had that many turns, however busy
 * the machine is. For what takes a Clock and is itself all in this process.
 */
import { ManualClock } from "./manual-clock.ts";

export class TurningClock extends ManualClock implements Disposable {
  #immediate: NodeJS.Immediate;

  constructor() {
    super();
    const turn = (): void => {
      this.advance(1);
      this.#immediate = setImmediate(turn);
    };
    this.#immediate = setImmediate(turn);
  }

  [Symbol.dispose](): void {
    clearImmediate(this.#immediate);
  }
}
