/** The only door to time. Everything else takes a Clock, so tests run on a fake one. */
import { type MonotonicMs, monotonicMs, type WallMs, wallMs } from "./units.ts";

export interface Clock {
  /** Monotonic time, ms, fractional. */
  now(): MonotonicMs;
  /** Time of day, ms since the epoch. */
  wall(): WallMs;
  /** Runs `task` once after `delayMs`. The returned function cancels it; calling it late is harmless. */
  schedule(delayMs: number, task: () => void): () => void;
  /** Runs `task` every `periodMs` until cancelled. */
  repeat(periodMs: number, task: () => void): () => void;
}

/** The machine's clock. Its timers never keep the process alive: whoever owns a server or a call does that. */
export const systemClock: Clock = {
  now: () => monotonicMs(performance.now()),
  wall: () => wallMs(Date.now()),
  schedule(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  repeat(periodMs, task) {
    const timer = setInterval(task, periodMs);
    timer.unref();
    return () => clearInterval(timer);
  },
};

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.schedule(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** What to add to this thread's now() for a time that all threads and processes of a machine share, ms. */
export const sharedOffsetMs = (): number => Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** The machine's clock as another thread has it. @param offsetMs that thread's sharedOffsetMs() */
export function clockOfThread(offsetMs: number): Clock {
  const aheadMs = sharedOffsetMs() - offsetMs;
  return { ...systemClock, now: () => monotonicMs(performance.now() + aheadMs) };
}
