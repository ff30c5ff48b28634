/** Cuts a byte stream into SIP messages by their Content-Length (RFC 3261 §18.3), with keep-alives (RFC 5626 §4.4.1). */
import { bodyStart, lengthInHead, MAX_BODY_BYTES, MAX_HEAD_BYTES } from "./sip-message.ts";

const CR = 13;
const LF = 10;

export type SipFrame =
  | { readonly kind: "message"; readonly bytes: Uint8Array }
  /** Two line ends: the peer wants one back. */
  | { readonly kind: "ping" }
  /** Where the next message begins is not known any more: the stream is of no use. The last message says why. */
  | { readonly kind: "lost" };

/** Holds at most one message: {@link MAX_HEAD_BYTES} and {@link MAX_BODY_BYTES}, plus the chunk that completed it. */
export class SipFramer {
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;
  /** Before here there is no empty line. */
  #scanned = 0;
  #lost = false;

  /** Bytes of a message that is not complete yet. */
  get pending(): number {
    return this.#length;
  }

  /** Takes a chunk; gives what it completed, in order. Bytes of a message belong to the receiver. */
  push(chunk: Uint8Array): SipFrame[] {
    if (this.#lost) return [];
    this.#append(chunk);
    const frames: SipFrame[] = [];
    for (;;) {
      this.#skipLineEnds(frames);
      const frame = this.#next();
      if (frame === undefined) return frames;
      frames.push(frame);
      if (frame.kind !== "lost" && !this.#lost) continue;
      if (frame.kind !== "lost") frames.push({ kind: "lost" });
      this.#lost = true;
      this.#length = 0;
      this.#buffer = Buffer.alloc(0);
      return frames;
    }
  }

  #next(): SipFrame | undefined {
    const held = this.#buffer.subarray(0, this.#length);
    const body = bodyStart(held, this.#scanned);
    if (body < 0) {
      // An empty line may begin with the last line end seen.
      this.#scanned = Math.max(0, this.#length - 3);
      return this.#length > MAX_HEAD_BYTES ? this.#tooLarge(held) : undefined;
    }
    if (body > MAX_HEAD_BYTES) return this.#tooLarge(held);
    // RFC 3261 §20.14: on a stream it must be there; without it there is no body.
    const length = lengthInHead(held.subarray(0, body)) ?? 0;
    if (length === "malformed" || length > MAX_BODY_BYTES) {
      // The head goes on so that it can be refused; behind it there is no firm ground.
      this.#lost = true;
      return { kind: "message", bytes: Uint8Array.from(held.subarray(0, body)) };
    }
    if (this.#length < body + length) {
      this.#scanned = Math.max(0, body - 4);
      return undefined;
    }
    const bytes = Uint8Array.from(held.subarray(0, body + length));
    this.#consume(body + length);
    return { kind: "message", bytes };
  }

  /** As much of it goes on as says that it is too large, and perhaps whose it is; then the stream is lost. */
  #tooLarge(held: Uint8Array): SipFrame {
    this.#lost = true;
    return { kind: "message", bytes: Uint8Array.from(held.subarray(0, MAX_HEAD_BYTES + 1)) };
  }

  #skipLineEnds(frames: SipFrame[]): void {
    let at = 0;
    while (at < this.#length && (this.#buffer[at] === CR || this.#buffer[at] === LF)) at++;
    if (at === 0) return;
    // A message's last bytes may be line ends of the peer's habit; only CRLF CRLF asks for an answer.
    const pings = Math.floor(at / 4);
    if (pings > 0) frames.push({ kind: "ping" });
    // A first CRLF alone may be half of a ping that is still under way.
    if (at < 4 && at === this.#length) return;
    this.#consume(at);
  }

  #append(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length, 4096));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#length);
    this.#length = needed;
  }

  #consume(count: number): void {
    this.#buffer.copyWithin(0, count, this.#length);
    this.#length -= count;
    this.#scanned = 0;
    // What one large message took is not kept for the next small one.
    if (this.#length === 0 && this.#buffer.length > MAX_HEAD_BYTES) this.#buffer = Buffer.alloc(0);
  }
}
