/** Closing things in the reverse order of their opening, once, whatever fails on the way. */
import { TonetapError } from "./errors.ts";

export interface Closable {
  /** Idempotent; resolves when everything it owned is released. */
  close(): Promise<void>;
}

/** What closes once: the first `close()` does it, and whoever calls again waits for the same. */
export abstract class ClosesOnce implements Closable, AsyncDisposable {
  #closing: Promise<void> | undefined;

  /** Whether it is closed, or about to be. */
  protected get closing(): boolean {
    return this.#closing !== undefined;
  }

  close(): Promise<void> {
    this.#closing ??= this.release();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Gives back everything it owns. Called once. */
  protected abstract release(): Promise<void>;
}

/** Collects what was opened; `close()` closes it newest first and reports every failure together. */
export class CloseStack extends ClosesOnce {
  readonly #entries: { name: string; close: () => Promise<void> | void }[] = [];

  get closed(): boolean {
    return this.closing;
  }

  /** Adds something to close. `name` appears in the error if its closing fails. */
  defer(name: string, close: () => Promise<void> | void): void {
    if (this.closed) throw new TonetapError("closed", `cannot open ${name}: its owner is closed`);
    this.#entries.push({ name, close });
  }

  use<T extends Closable>(name: string, resource: T): T {
    this.defer(name, () => resource.close());
    return resource;
  }

  protected async release(): Promise<void> {
    const failures: unknown[] = [];
    const names: string[] = [];
    for (let entry = this.#entries.pop(); entry !== undefined; entry = this.#entries.pop()) {
      try {
        await entry.close();
      } catch (error) {
        failures.push(error);
        names.push(entry.name);
      }
    }
    if (failures.length > 0) {
      throw new TonetapError("internal", `closing failed: ${names.join(", ")}`, {
        cause: new AggregateError(failures),
      });
    }
  }
}
