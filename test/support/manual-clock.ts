/** A clock that moves only when told: timers fire in order, at their exact time. */
import { monotonicMs, wallMs } from "../../src/core/units.ts";
import { VirtualClock } from "../../src/core/virtual-clock.ts";

export class ManualClock extends VirtualClock {
  constructor(startMs = 0, epochMs = Date.UTC(2026, 0, 1)) {
    super(wallMs(epochMs));
    this.advanceTo(monotonicMs(startMs));
  }

  /** Moves time on by `ms`, running what falls due on the way. */
  advance(ms: number): void {
    this.advanceTo(monotonicMs(super.now() + ms));
  }
}
