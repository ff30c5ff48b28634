/** The step of one participant's chain that asks the model, without letting anything overtake a pending window. Batching is batcher.ts. */
import { Observable, type OperatorFunction } from "rxjs";
import { BoundedQueue } from "../core/bounded-queue.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import type { EstimateUnit, HeardUnit, WindowBatcher, WindowOwner } from "../core/window.ts";
import { droppedWindow } from "../core/window-info.ts";

export interface InferEmotionOptions {
  /** Names the participant to the batcher, e.g. `callId/participantId`. */
  readonly key: string;
  /** Whose windows they are, for fairness between calls and tenants, and for priority. */
  readonly owner?: WindowOwner;
  /**
   * Units held back at most, the oldest pending window included. Beyond it that window is given up: it goes on as
   * dropped (`overload`) and its answer is ignored. 1–10,000, default 64.
   */
  readonly maxPending?: number;
}

/** A place in the line: what goes on from it, or, until that is known, what goes on if it has to be given up. */
interface Place {
  unit: EstimateUnit | undefined;
  readonly givenUp: () => EstimateUnit;
}

/**
 * Sends windows to the model and gives on its answers; gated windows and speech edges keep their place among them.
 * Every unit that comes in goes out exactly once, in order. Completes once the last window is answered; unsubscribing,
 * or an error of the source, forgets those that are pending.
 */
export function inferEmotion(
  batcher: WindowBatcher,
  options: InferEmotionOptions,
): OperatorFunction<HeardUnit, EstimateUnit> {
  const { key, owner, maxPending = 64 } = options;
  assertRange("maxPending", maxPending, 1, 10_000, "units");
  return (source) =>
    new Observable<EstimateUnit>((subscriber) => {
      // Its head is always a pending window: whatever is known goes on at once.
      const line = new BoundedQueue<Place>(maxPending, "drop-oldest");
      let sourceCompleted = false;

      const flush = (): void => {
        for (let head = line.peek(); head?.unit !== undefined && !subscriber.closed; head = line.peek()) {
          line.shift();
          subscriber.next(head.unit);
        }
        if (sourceCompleted && line.length === 0) subscriber.complete();
      };
      const enqueue = (place: Place): void => {
        const evicted = line.push(place);
        if (evicted !== undefined) subscriber.next(evicted.givenUp());
        flush();
      };

      subscriber.add(
        source.subscribe({
          next: (unit) => {
            // A source that emits while it is being subscribed cannot be unsubscribed yet.
            if (subscriber.closed) return;
            if (unit.kind !== "window") {
              enqueue({ unit, givenUp: () => unit });
              return;
            }
            // The batcher has copied the borrowed features when submit() returns.
            let answer: ReturnType<WindowBatcher["submit"]>;
            try {
              answer = batcher.submit(key, unit, owner);
            } catch (error) {
              subscriber.error(TonetapError.from(error));
              return;
            }
            const dropped = droppedWindow(unit, "overload");
            const place: Place = { unit: undefined, givenUp: () => dropped };
            enqueue(place);
            answer.then(
              (result) => {
                place.unit = result;
                flush();
              },
              (error: unknown) => subscriber.error(TonetapError.from(error)),
            );
          },
          error: (error: unknown) => subscriber.error(error),
          complete: () => {
            sourceCompleted = true;
            flush();
          },
        }),
      );
      subscriber.add(() => line.clear());
    });
}
