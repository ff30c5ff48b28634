/** Real UDP on this machine, for tests: a bare socket to speak through, and waiting for what must come. */
import { randomInt } from "node:crypto";
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

/**
 * The first of `count` UDP ports in a row that are free. Not of those that the system gives out by itself (from 32,768 on):
 * tests beside this one get such all the time.
 */
export async function freePorts(count: number, host = "127.0.0.1"): Promise<number> {
  for (;;) {
    const first = 20_000 + 2 * randomInt(5_000);
    const ports = Array.from({ length: count }, (_, i) => Peer.open(host, first + i));
    const opened = await Promise.allSettled(ports);
    for (const each of opened) if (each.status === "fulfilled") await each.value[Symbol.asyncDispose]();
    if (opened.every(({ status }) => status === "fulfilled")) return first;
  }
}

/** Waits until `condition` holds, at most `limitMs`. */
export async function eventually(condition: () => boolean, limitMs = 60_000): Promise<void> {
  const deadline = systemClock.now() + limitMs;
  while (!condition() && systemClock.now() < deadline) await sleep(systemClock, 2);
  expect(condition(), `waited ${limitMs} ms for ${condition}`).toBe(true);
}
