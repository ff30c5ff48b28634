/** Who is connected to a server, and how all of them go when it closes. What is said on a connection is its session's. */
import type { Clock } from "./clock.ts";

/** How a server takes leave of those who are connected. */
export interface Farewell<Socket, Session> {
  /** ms that peers get to go by themselves. */
  readonly graceMs: number;
  readonly goodbye: (session: Session) => void;
  /** For who is still there then: the socket must close. */
  readonly cutOff: (socket: Socket) => void;
}

export class OpenConnections<Socket, Session> implements Iterable<[Socket, Session]> {
  readonly #sessions = new Map<Socket, Session>();
  #onEmpty: (() => void) | undefined;

  get size(): number {
    return this.#sessions.size;
  }

  add(socket: Socket, session: Session): void {
    this.#sessions.set(socket, session);
  }

  /** Its socket has closed. */
  remove(socket: Socket): void {
    this.#sessions.delete(socket);
    if (this.#sessions.size === 0) this.#onEmpty?.();
  }

  sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  [Symbol.iterator](): Iterator<[Socket, Session]> {
    return this.#sessions[Symbol.iterator]();
  }

  /** Says goodbye to everyone, waits until all have gone, and cuts off who has not after the grace time. Once. */
  async dismiss(clock: Clock, { graceMs, goodbye, cutOff }: Farewell<Socket, Session>): Promise<void> {
    if (this.#sessions.size === 0) return;
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    for (const session of this.#sessions.values()) goodbye(session);
    const cancel = clock.schedule(graceMs, () => {
      for (const socket of this.#sessions.keys()) cutOff(socket);
    });
    await empty;
    cancel();
  }
}
