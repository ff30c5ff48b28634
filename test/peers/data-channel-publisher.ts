/**
 * A libdatachannel publisher in a process of its own. The binding crashes, or hangs for minutes, when it is cleaned up
 * or its process ends by itself; so this process is killed, and no crash of it reaches a test's worker.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { TonetapError } from "../../src/core/errors.ts";
import type { RtpPayload } from "../../src/transport/file/ogg-opus-player.ts";
import { opusStream } from "../engine/support.ts";
import type { FromPublisher, ToPublisher } from "./data-channel-protocol.ts";

const PROCESS = fileURLToPath(new URL("data-channel-process.ts", import.meta.url));

export class DataChannelPublisher implements AsyncDisposable {
  /** One Opus track, with all candidates. */
  readonly offer: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #stream: ReturnType<typeof opusStream>;
  /** Resolves when DTLS is done. */
  readonly opened: Promise<void>;

  private constructor(child: ChildProcess, stream: ReturnType<typeof opusStream>, offer: string) {
    this.#child = child;
    this.#stream = stream;
    this.offer = offer;
    this.#exited = new Promise((resolve) => child.once("exit", () => resolve()));
    this.opened = said(child, "open").then(() => undefined);
    // A peer that is refused never opens; who waits for it hears why all the same.
    this.opened.catch(() => undefined);
  }

  static async start(): Promise<DataChannelPublisher> {
    const stream = opusStream();
    const child = fork(PROCESS, [`${stream.ssrc}`], { serialization: "advanced" });
    const { sdp } = await said(child, "offer");
    return new DataChannelPublisher(child, stream, sdp);
  }

  answer(sdp: string): void {
    this.#tell({ kind: "answer", sdp });
  }

  /** Sends the frames at one every 20 ms. Resolves when the last is sent. */
  async speak(frames: readonly RtpPayload[]): Promise<void> {
    const spoken = said(this.#child, "spoken");
    this.#tell({ kind: "speak", packets: frames.map((frame) => this.#stream.packet(frame)) });
    await spoken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  #tell(message: ToPublisher): void {
    if (!this.#child.connected)
      throw new TonetapError("unavailable", `the publisher has ended before "${message.kind}"`);
    this.#child.send(message);
  }
}

/** The next message of this kind. @throws TonetapError unavailable when the process ends before */
function said<K extends FromPublisher["kind"]>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<FromPublisher, { kind: K }>> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      child.off("message", onMessage);
      child.off("exit", onExit);
    };
    const onMessage = (message: FromPublisher): void => {
      if (!isKind(message, kind)) return;
      settle();
      resolve(message);
    };
    const onExit = (code: number | null, signal: string | null): void => {
      settle();
      reject(new TonetapError("unavailable", `the publisher ended by ${signal ?? code} before "${kind}"`));
    };
    child.on("message", onMessage);
    child.on("exit", onExit);
  });
}

const isKind = <K extends FromPublisher["kind"]>(
  message: FromPublisher,
  kind: K,
): message is Extract<FromPublisher, { kind: K }> => message.kind === kind;
