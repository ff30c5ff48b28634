/** Turns a stateful step of the chain into an RxJS operator: one instance a subscription, closed exactly once. */
import { Observable, type OperatorFunction } from "rxjs";
import { TonetapError } from "../core/errors.ts";

/** A step of the chain. It works synchronously: what it emits for a unit is out before `take` returns. */
export interface Stage<In> {
  take(unit: In): void;
  /** The source completed: the last chance to emit. */
  end?(): void;
  /** Frees and wipes what the stage owns. Never called while `take` or `end` runs. */
  close(): void;
}

/**
 * An operator that makes a stage for each subscriber. What the stage throws becomes the stream's error; an
 * unsubscribe from within an emission closes the stage once `take` has returned, so that it never works on freed memory.
 */
export function stageOperator<In, Out>(
  create: (emit: (unit: Out) => void) => Stage<In>,
): OperatorFunction<In, Out> {
  return (source) =>
    new Observable<Out>((subscriber) => {
      const stage = create((unit) => subscriber.next(unit));
      let busy = false;
      let left = false;
      const run = (work: () => void): void => {
        if (subscriber.closed) return;
        busy = true;
        try {
          work();
        } catch (error) {
          subscriber.error(TonetapError.from(error));
        } finally {
          busy = false;
          if (left) stage.close();
        }
      };
      subscriber.add(
        source.subscribe({
          next: (unit) => run(() => stage.take(unit)),
          error: (error: unknown) => subscriber.error(error),
          complete: () => {
            run(() => stage.end?.());
            subscriber.complete();
          },
        }),
      );
      return () => {
        left = true;
        if (!busy) stage.close();
      };
    });
}
