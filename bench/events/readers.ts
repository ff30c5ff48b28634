/**
 * The other end of `npm run bench -- events`: subscribers that cost as little as can be, in a process of their own. They
 * count frames by their headers and read the time of sending off one event of every chunk.
 */
import { connect, type Socket } from "node:net";
import { LatencyHistogram } from "../../src/core/histogram.ts";

export interface ReaderOrder {
  readonly port: number;
  /** Paths with filters, one a subscriber. */
  readonly paths: readonly string[];
  /** So many of them never read. */
  readonly deaf: number;
}

export interface ReaderReport {
  readonly frames: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const MARK = Buffer.from('"index":');

/** Microseconds on a clock that all processes of the machine share, in nine digits. */
export const stampUs = (): number => Number((process.hrtime.bigint() / 1000n) % 1_000_000_000n);

class Reader {
  frames = 0;
  readonly #latency: LatencyHistogram;
  /** Bytes of the frame under way that are still to come. */
  #left = 0;
  #head: Buffer = Buffer.alloc(0);
  #greeted = false;

  constructor(latency: LatencyHistogram) {
    this.#latency = latency;
  }

  take(chunk: Buffer): void {
    const now = stampUs();
    let data = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    this.#head = Buffer.alloc(0);
    if (!this.#greeted) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#head = data;
        return;
      }
      this.#greeted = true;
      data = data.subarray(end + 4);
    }
    let at = Math.min(this.#left, data.length);
    this.#left -= at;
    while (at < data.length) {
      const short = (data[at + 1] ?? 0) & 0x7f;
      const header = short < 126 ? 2 : 4;
      if (data.length - at < header) {
        this.#head = data.subarray(at);
        return;
      }
      const length = header + (short < 126 ? short : data.readUInt16BE(at + 2));
      this.frames++;
      this.#left = Math.max(0, at + length - data.length);
      if (this.#left === 0 && this.frames % 8 === 0) this.#measure(data.subarray(at, at + length), now);
      at += length;
    }
  }

  #measure(frame: Buffer, now: number): void {
    const mark = frame.indexOf(MARK);
    if (mark < 0) return;
    const sent = Number.parseInt(
      frame.toString("latin1", mark + MARK.length + 1, mark + MARK.length + 10),
      10,
    );
    this.#latency.record(((now - sent + 1_000_000_000) % 1_000_000_000) / 1000);
  }
}

function run({ port, paths, deaf }: ReaderOrder): void {
  const latency = new LatencyHistogram();
  const readers: Reader[] = [];
  const sockets: Socket[] = [];
  let open = 0;
  for (const [i, path] of paths.entries()) {
    const socket = connect(port, "127.0.0.1");
    sockets.push(socket);
    socket.setNoDelay(true);
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    // Those that never read are let go in the end: that is as it should be.
    socket.on("error", () => socket.destroy());
    const ready = (): void => {
      if (++open === paths.length) process.send?.("ready");
    };
    if (i < deaf) {
      socket.on("connect", ready);
      socket.pause();
      continue;
    }
    const reader = new Reader(latency);
    readers.push(reader);
    socket.once("data", ready);
    socket.on("data", (chunk: Buffer) => reader.take(chunk));
  }
  const total = (): number => readers.reduce((sum, { frames }) => sum + frames, 0);
  let since = 0;
  process.on("message", (message) => {
    if (message === "begin") {
      since = total();
      latency.reset();
    } else if (message === "report") {
      const report: ReaderReport = {
        frames: total() - since,
        p50Ms: latency.quantile(0.5),
        p99Ms: latency.quantile(0.99),
        maxMs: latency.quantile(1),
      };
      process.send?.(report);
    } else {
      for (const socket of sockets) socket.destroy();
      process.disconnect();
    }
  });
}

if (process.send !== undefined) process.once("message", (order) => run(order as ReaderOrder));
