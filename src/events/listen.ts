/** `tonetap listen`: subscribes to a service and shows what it says. Owns the terminal; drawing is terminal-view.ts. */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { type ConnectionStatus, connect } from "../client/index.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import type { EventFilter } from "./event-filter.ts";
import { eventLine } from "./event-line.ts";
import { TerminalView } from "./terminal-view.ts";

export interface ListenOptions {
  /** Of the service: `http://127.0.0.1:8080`. */
  readonly url: string;
  /** A terminal gets a live table, anything else one line an event. */
  readonly out: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };
  /** For news of the connection where `out` is no terminal. Default standard error. */
  readonly err?: Writable;
  /** An API key or a token, where the service asks for one. */
  readonly token?: string | undefined;
  /** Ends it. */
  readonly signal?: AbortSignal;
  /** One event a line as JSON, terminal or not. */
  readonly json?: boolean;
  readonly filter?: EventFilter;
  /** `NO_COLOR` (no-color.org) is looked at. Default process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly clock?: Clock;
}

/** ms between drawings at least. */
const FRAME_MS = 100;

/** sysexits.h: a service is unavailable. */
const EX_UNAVAILABLE = 69;

/** Alternate screen, no cursor; and back. xterm control sequences, DECSET 1049 and 25. */
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

/**
 * Runs until the signal, or until whoever reads `out` is gone.
 * @returns the exit code: 0, or 69 when the service refuses us for good
 * @throws TonetapError invalid-argument for an address that is none
 */
export async function runListen(options: ListenOptions): Promise<number> {
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  // `tonetap listen | head` closes the pipe: the end of the show, not an error.
  const onError = (): void => abort.abort();
  options.out.on("error", onError);
  try {
    const connection = open(options, signal);
    if (options.out.isTTY === true && options.json !== true) await draw(connection, options);
    else await print(connection, options, signal);
    return connection.status.state === "closed" && connection.status.code === 1000 ? 0 : EX_UNAVAILABLE;
  } finally {
    abort.abort();
    options.out.off("error", onError);
  }
}

type Connection = ReturnType<typeof connect>;

function open({ url, filter, token }: ListenOptions, signal: AbortSignal): Connection {
  try {
    return connect(url, {
      signal,
      ...(filter === undefined ? {} : { filter }),
      ...(token === undefined ? {} : { token }),
    });
  } catch (error) {
    throw new TonetapError("invalid-argument", `url must be like http://127.0.0.1:8080, got ${url}`, {
      cause: error,
    });
  }
}

async function print(connection: Connection, options: ListenOptions, signal: AbortSignal): Promise<void> {
  const { out, err = process.stderr, json = false } = options;
  connection.on("status", (status) => {
    // Whoever ends it knows.
    if (!signal.aborted) err.write(`${statusText(status, options.url)}\n`);
  });
  connection.on("gap", ({ reason, dropped }) => err.write(`${dropped ?? "some"} events missed: ${reason}\n`));
  for await (const event of connection) {
    const line = json ? JSON.stringify(event) : eventLine(event);
    // Rejects when the reader goes or we are told to end; either ends the loop.
    if (!out.write(`${line}\n`)) await once(out, "drain", { signal }).catch(() => undefined);
  }
}

async function draw(connection: Connection, options: ListenOptions): Promise<void> {
  const { out, env = process.env, clock = systemClock } = options;
  const view = new TerminalView({ colour: (env.NO_COLOR ?? "") === "" });
  let cancelFrame: (() => void) | undefined;
  const frame = (): void => {
    cancelFrame = undefined;
    const text = view.render(out.columns ?? 80, out.rows ?? 24);
    out.write(`${HOME}${text.replaceAll("\n", `${CLEAR_LINE}\n`)}${CLEAR_LINE}${CLEAR_BELOW}`);
  };
  const soon = (): void => {
    cancelFrame ??= clock.schedule(FRAME_MS, frame);
  };
  connection.on("status", (status) => {
    view.setStatus(statusText(status, options.url));
    if (status.state === "open" && !status.resumed) view.clear();
    soon();
  });
  connection.on("gap", ({ dropped = 1 }) => view.missed(dropped));
  out.on("resize", soon);
  out.write(ENTER);
  try {
    view.setStatus(statusText(connection.status, options.url));
    frame();
    for await (const event of connection) {
      view.apply(event);
      soon();
    }
  } finally {
    cancelFrame?.();
    out.off("resize", soon);
    out.write(LEAVE);
  }
}

function statusText(status: ConnectionStatus, url: string): string {
  switch (status.state) {
    case "connecting":
      return `connecting to ${url}`;
    case "open":
      return `listening to ${url} (${status.source})`;
    case "waiting":
      return `cannot reach ${url}; trying again in ${(status.delayMs / 1000).toFixed(1)} s`;
    case "closed":
      return status.reason === "" ? "closed" : status.reason;
    default:
      return status satisfies never;
  }
}
