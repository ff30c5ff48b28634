/** Real UDP on this machine, for tests: a bare socket to speak through, and waiting for what must come. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { expect } from "vitest";
import { sleep, systemClock } from "../../src/core/clock.ts";

/** A socket of a peer's; closed by `await using`. */
export class Peer implements AsyncDisposable {
  readonly received: Uint8Array[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (datagram) => this.received.push(Uint8Array.from(datagram)));
  }

  static async open(host = "127.0.0.1", port = 0): Promise<Peer> {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    socket.bind(port, host);
    await once(socket, "listening");
    return new Peer(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** Resolves when the system has taken it; loopback delivers in order. */
  send(bytes: Uint8Array, to: { readonly host: string; readonly port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(bytes, to.port, to.host, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}

/** Waits until `condition` holds, at most `limitMs`. */
export async function eventually(condition: () => boolean, limitMs = 60_000): Promise<void> {
  const deadline = systemClock.now() + limitMs;
  while (!condition() && systemClock.now() < deadline) await sleep(systemClock, 2);
  expect(condition(), `waited ${limitMs} ms for ${condition}`).toBe(true);
}
