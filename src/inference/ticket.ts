/** A submitted window, until it is answered. */
import type { MonotonicMs } from "../core/units.ts";
import type { DroppedWindow, EmotionEstimate, WindowInfo } from "../core/window.ts";
import type { Question } from "./answer-order.ts";
import type { Waiting } from "./fair-queue.ts";
import type { StreamPlace } from "./streams.ts";

export type Answer = EmotionEstimate | DroppedWindow;

/** The row of a window that was refused before it had one. */
export const NO_ROW = -1;

export interface Ticket extends Waiting {
  readonly key: string;
  readonly question: Question<Answer>;
  readonly info: WindowInfo;
  readonly frames: number;
  readonly row: number;
  readonly submittedMs: MonotonicMs;
  /** In its stream; undefined where it stands alone. */
  readonly place: StreamPlace | undefined;
}

/** When a window waits no longer for the one before it in its stream: half of its time is gone. */
export const overtakesMs = ({ submittedMs, dueMs }: Ticket): number => (submittedMs + dueMs) / 2;

export const submittedMs = (ticket: Ticket): number => ticket.submittedMs;
