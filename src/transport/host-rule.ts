/** Which hosts may bring participants to a shared port, and how many each. Telling participants apart is udp-rtp-server.ts. */

export class HostRule {
  readonly #allowed: "first" | "any" | ReadonlySet<string>;
  readonly #maxPerHost: number;
  /** Hosts with participants now. */
  readonly #counts = new Map<string, number>();
  #first: string | undefined;

  constructor(hosts: "first" | "any" | readonly string[], maxPerHost: number) {
    this.#allowed = typeof hosts === "string" ? hosts : new Set(hosts);
    this.#maxPerHost = maxPerHost;
  }

  allows(host: string): boolean {
    if (this.#allowed === "any") return true;
    if (this.#allowed === "first") return this.#first === undefined || this.#first === host;
    return this.#allowed.has(host);
  }

  isFull(host: string): boolean {
    return (this.#counts.get(host) ?? 0) >= this.#maxPerHost;
  }

  enter(host: string): void {
    this.#first ??= host;
    this.#counts.set(host, (this.#counts.get(host) ?? 0) + 1);
  }

  /** When the last participant has left, the next host may be the first: a media server that moved is found again. */
  leave(host: string): void {
    const left = (this.#counts.get(host) ?? 0) - 1;
    if (left > 0) this.#counts.set(host, left);
    else this.#counts.delete(host);
    if (this.#counts.size === 0) this.#first = undefined;
  }
}
