/** Our SDP of one call as it changes: one session id, and a version that rises with it (RFC 3264 §8). */
import { randomInt } from "node:crypto";
import type { LocalSession } from "./sdp.ts";

export class LocalDescription {
  readonly #host: string;
  readonly #sessionId = randomInt(2 ** 47);
  #version = 1;
  #latest: string | undefined;

  /** @param host the address that peers are told */
  constructor(host: string) {
    this.#host = host;
  }

  /** What we said last: as an offer it asks that everything stays as it is. */
  get latest(): string | undefined {
    return this.#latest;
  }

  /** The version rises when, and only when, something has changed. */
  write(write: (local: LocalSession) => string): string {
    const local = { host: this.#host, sessionId: this.#sessionId };
    const same = write({ ...local, version: this.#version });
    if (this.#latest !== undefined && same !== this.#latest) this.#version++;
    this.#latest = write({ ...local, version: this.#version });
    return this.#latest;
  }
}
