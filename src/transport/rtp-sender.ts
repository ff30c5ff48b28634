/**
 * Sends one RTP stream over UDP in real time. Deadlines are absolute: a late timer delays its own packet and no later one.
 * What is in the packets is rtp-stream.ts.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { type Clock, sleep, systemClock } from "../core/clock.ts";
import { assertRange, TonetapError } from "../core/errors.ts";
import { type Closable, CloseStack } from "../core/lifecycle.ts";
import { type RtpFrame, RtpStream, type RtpStreamOptions } from "./rtp-stream.ts";

/** A process that was held up for longer than this sends no burst: its schedule moves, as a capture device's would, ms. */
const MAX_BEHIND_MS = 1000;
/** Frames played within this time of the ones before follow them seamlessly, ms. */
const SEAMLESS_MS = 20;
const DEFAULT_REPORT_MS = 2000;
/** Timers count whole milliseconds; a frame may leave early by less than one. */
const EARLY_MS = 0.9;

export interface RtpSenderOptions extends RtpStreamOptions {
  /** Default the machine's. */
  readonly clock?: Clock;
  /** An IP address. */
  readonly host: string;
  /** 1–65,535. */
  readonly port: number;
  /** Where RTCP goes. `same-port` (default): RFC 5761. `next-port`: RFC 3550 §11. */
  readonly rtcp?: "same-port" | "next-port" | "none";
  /** A sender report every so often, ms. 100–60,000, default 2,000. The first goes with the first packet. */
  readonly reportEveryMs?: number;
}

export class RtpSender implements Closable, AsyncDisposable {
  readonly stream: RtpStream;
  readonly #clock: Clock;
  readonly #reportEveryMs: number;
  readonly #rtp: Socket;
  readonly #rtcp: Socket | undefined;
  readonly #resources: CloseStack;
  readonly #closed = new AbortController();
  #playing = false;
  /** When the stream's first frame was due: media time counts from here. */
  #zeroMs = 0;
  /** Length of the first frame. */
  #captureTicks = 0;
  #nextReportMs = Number.NEGATIVE_INFINITY;
  #unsent = 0;

  private constructor(
    options: RtpSenderOptions,
    rtp: Socket,
    rtcp: Socket | undefined,
    resources: CloseStack,
  ) {
    this.stream = new RtpStream(options);
    this.#clock = options.clock ?? systemClock;
    this.#reportEveryMs = options.reportEveryMs ?? DEFAULT_REPORT_MS;
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.#resources = resources;
    for (const socket of new Set([rtp, rtcp])) {
      // A port where nobody listens answers with ICMP errors; the receiver may still come up.
      socket?.on("error", () => this.#unsent++);
    }
    resources.defer("RTP stream", () => this.#sayBye());
  }

  /** @throws TonetapError invalid-argument for options out of range, unavailable when there is no way to the address. */
  static async open(options: RtpSenderOptions): Promise<RtpSender> {
    const { host, port, rtcp = "same-port" } = options;
    assertRange("port", port, 1, rtcp === "next-port" ? 65_534 : 65_535);
    assertRange("reportEveryMs", options.reportEveryMs ?? DEFAULT_REPORT_MS, 100, 60_000, "ms");
    const resources = new CloseStack();
    try {
      const rtpSocket = await connect(host, port, resources);
      const rtcpSocket = rtcp === "next-port" ? await connect(host, port + 1, resources) : rtpSocket;
      return new RtpSender(options, rtpSocket, rtcp === "none" ? undefined : rtcpSocket, resources);
    } catch (error) {
      await resources.close();
      throw TonetapError.from(error, "unavailable", `UDP ${host}:${port}`);
    }
  }

  /** Datagrams that the system did not take, or that nobody was there to receive. */
  get unsent(): number {
    return this.#unsent;
  }

  /**
   * Sends `frames`, each when it is due; resolves when the last one's time is over. Played again it goes on in the same
   * stream: seamlessly if called at once, else with the pause in its timestamps.
   * @throws TonetapError conflict while playing, closed by close(); the signal's reason when aborted.
   */
  async play(
    frames: Iterable<RtpFrame> | AsyncIterable<RtpFrame>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    if (this.#playing) throw new TonetapError("conflict", "the RTP sender is playing already");
    const signals = [this.#closed.signal, ...(options.signal === undefined ? [] : [options.signal])];
    const stop = AbortSignal.any(signals);
    stop.throwIfAborted();
    this.#playing = true;
    try {
      this.#resume();
      for await (const frame of frames) {
        await this.#untilDue(stop);
        this.#send(frame);
      }
      await this.#untilDue(stop);
    } finally {
      this.#playing = false;
    }
  }

  /** Stops playing, says BYE, closes the sockets. */
  close(): Promise<void> {
    this.#closed.abort(new TonetapError("closed", "the RTP sender was closed"));
    return this.#resources.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** When the next frame is due. */
  get #dueMs(): number {
    return this.#zeroMs + (this.stream.elapsedTicks * 1000) / this.stream.codec.clockRateHz;
  }

  #resume(): void {
    const now = this.#clock.now();
    if (this.stream.packets === 0) this.#zeroMs = now;
    const pausedMs = now - this.#dueMs;
    if (pausedMs > SEAMLESS_MS)
      this.stream.skip(Math.floor((pausedMs * this.stream.codec.clockRateHz) / 1000));
  }

  async #untilDue(stop: AbortSignal): Promise<void> {
    const aheadMs = this.#dueMs - this.#clock.now();
    if (aheadMs < -MAX_BEHIND_MS) this.#zeroMs -= aheadMs;
    if (aheadMs > EARLY_MS) await sleep(this.#clock, aheadMs, stop);
    stop.throwIfAborted();
  }

  #send(frame: RtpFrame): void {
    if (this.stream.packets === 0) this.#captureTicks = this.stream.frameTicks(frame);
    this.#rtp.send(this.stream.packet(frame), this.#onSent);
    const now = this.#clock.now();
    if (this.#rtcp === undefined || now < this.#nextReportMs) return;
    this.#nextReportMs = now + this.#reportEveryMs;
    this.#rtcp.send(this.stream.report(this.#clock.wall(), this.#ticksAt(now)), this.#onSent);
  }

  /** Media time of what a microphone would hear now: a frame leaves when its audio is complete, one frame's length later. */
  #ticksAt(now: number): number {
    return Math.round(((now - this.#zeroMs) * this.stream.codec.clockRateHz) / 1000) + this.#captureTicks;
  }

  readonly #onSent = (error: Error | null): void => {
    if (error !== null) this.#unsent++;
  };

  /** RFC 3550 §6.6: who leaves says so, if he ever sent. */
  async #sayBye(): Promise<void> {
    const rtcp = this.#rtcp;
    if (rtcp === undefined || this.stream.packets === 0) return;
    const bye = this.stream.bye(this.#clock.wall(), this.#ticksAt(this.#clock.now()));
    await new Promise<void>((resolve) => {
      rtcp.send(bye, (error) => {
        this.#onSent(error);
        resolve();
      });
    });
  }
}

/** Opens a sender to `host:port`. See {@link RtpSender.open}. */
export const createRtpSender = (options: RtpSenderOptions): Promise<RtpSender> => RtpSender.open(options);

async function connect(host: string, port: number, resources: CloseStack): Promise<Socket> {
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  resources.defer("UDP socket", () => new Promise<void>((resolve) => socket.close(() => resolve())));
  socket.connect(port, host);
  await once(socket, "connect");
  return socket;
}
