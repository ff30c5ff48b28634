/** HTTP where Node gives a bare socket: upgrades, and what is no request. Who is let in is the doors' own. */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { ProblemAnswer } from "./problem.ts";

/** The request's path and query; undefined for a target that is no URL. Its host is nobody's word. */
export function targetOf(request: IncomingMessage): URL | undefined {
  const said = request.url ?? "/";
  // RFC 9112 §3.2: a path, or a whole URL. Put together as text: with a base, a path of `//x/y` would name a host.
  return URL.parse(said.startsWith("/") ? `http://service${said}` : said) ?? undefined;
}

/** Answers with a plain HTTP response, and closes; RFC 6455 §4.2.2 has it so for upgrades. */
export function answerOn(socket: Duplex, { status, headers, body }: ProblemAnswer): void {
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  // The peer may be gone already; that is its affair.
  socket.once("error", () => socket.destroy());
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
}
