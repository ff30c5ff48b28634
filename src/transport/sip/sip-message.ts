/**
 * SIP messages as bytes: start line, header fields, body (RFC 3261 §7). Cutting a stream into messages is sip-framer.ts;
 * what header values mean is sip-header.ts and sip-request.ts.
 *
 * Header text is held as one character a byte (ISO 8859-1): what is echoed in a response is what came, byte by byte.
 * What people read (names) is decoded as UTF-8 where it is used.
 */

/** Start line and header fields, bytes. The longest of RFC 4475 (`longreq`) has 4 kB. */
export const MAX_HEAD_BYTES = 16 * 1024;
/** Header fields of one message. */
export const MAX_HEADERS = 128;
/** Bytes of a body. */
export const MAX_BODY_BYTES = 64 * 1024;

export interface SipHeader {
  /** Long form, in the usual case when it is a name that we know: `v` and `VIA` read `Via`. */
  readonly name: string;
  /** Unfolded, without white space around it. */
  readonly value: string;
}

export interface SipRequest {
  readonly kind: "request";
  /** Case-sensitive (RFC 3261 §7.1). */
  readonly method: string;
  readonly uri: string;
  /** In order of arrival, without Content-Length: the body says its own length. */
  readonly headers: readonly SipHeader[];
  readonly body: Uint8Array;
}

export interface SipResponse {
  readonly kind: "response";
  /** 100–699. */
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly SipHeader[];
  readonly body: Uint8Array;
}

export type SipMessage = SipRequest | SipResponse;

/** Why bytes are no SIP message. */
export type SipFault = "start-line" | "version" | "header" | "content-length" | "truncated" | "too-large";

export interface SipMalformed {
  readonly kind: "malformed";
  readonly fault: SipFault;
  /** What could be read of a request, without a body: enough to refuse it, perhaps. */
  readonly request?: SipRequest;
}

/** RFC 3261 §7.3.3 and §20, and the extensions' compact forms in the IANA registry. */
const COMPACT: Readonly<Record<string, string>> = {
  a: "Accept-Contact",
  b: "Referred-By",
  c: "Content-Type",
  d: "Request-Disposition",
  e: "Content-Encoding",
  f: "From",
  i: "Call-ID",
  j: "Reject-Contact",
  k: "Supported",
  l: "Content-Length",
  m: "Contact",
  o: "Event",
  r: "Refer-To",
  s: "Subject",
  t: "To",
  u: "Allow-Events",
  v: "Via",
  x: "Session-Expires",
  y: "Identity",
};

/** Names in their usual case, by lower case. */
const CANONICAL: ReadonlyMap<string, string> = new Map(
  [
    ...Object.values(COMPACT),
    ...["Accept", "Allow", "CSeq", "Content-Disposition", "Max-Forwards", "Record-Route", "Require"],
    ...["Retry-After", "Route", "Server", "Timestamp", "Unsupported", "User-Agent", "Warning"],
  ].map((name) => [name.toLowerCase(), name]),
);

const canonicalName = (name: string): string => {
  const lower = name.toLowerCase();
  return COMPACT[lower] ?? CANONICAL.get(lower) ?? name;
};

/** RFC 3261 §25.1. */
const TOKEN = "[A-Za-z0-9\\-.!%*_+`'~]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([^ \\t]+) SIP/([0-9]+\\.[0-9]+)$`, "i");
/** The ends of what was meant as a request, to refuse it: RFC 4475 §3.1.2.8–11 have spaces where none belong. */
const LOOSE_METHOD = new RegExp(`^${TOKEN}(?=[ \\t])`);
const LOOSE_VERSION = /SIP\/[0-9.]+[ \t]*$/i;
const STATUS_LINE = /^SIP\/([0-9]+\.[0-9]+) ([1-6][0-9]{2})(?: (.*))?$/i;
const HEADER_LINE = new RegExp(`^(${TOKEN})[ \\t]*:[ \\t]*(.*)$`, "s");

const CR = 13;
const LF = 10;
const NO_BODY = new Uint8Array(0);

/** Bytes as text, one character each. */
export const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

/** Header text as what a person wrote. Bytes that are no UTF-8 become U+FFFD. */
export const asUtf8 = (text: string): string => Buffer.from(text, "latin1").toString("utf8");

/** What a person wrote as header text. */
export const fromUtf8 = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

/**
 * Where the body begins: after the first empty line. Lines end in CRLF, or in LF alone from lenient senders.
 * @param from looks from here on; must not lie within the line end that is looked for.
 * @returns −1 if there is no empty line.
 */
export function bodyStart(bytes: Uint8Array, from = 0): number {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at + 1] === LF) return at + 2;
    if (bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
  }
  return -1;
}

/** Reads one message: a datagram, or what a framer has cut out. Never throws. Bytes behind Content-Length are ignored (§18.3). */
export function parseSip(bytes: Uint8Array): SipMessage | SipMalformed {
  let begin = 0;
  // RFC 3261 §7.5: empty lines before a start line are ignored.
  while (bytes[begin] === CR || bytes[begin] === LF) begin++;
  const message = bytes.subarray(begin);
  const split = bodyStart(message);
  if (split > MAX_HEAD_BYTES || (split < 0 && message.length > MAX_HEAD_BYTES)) return tooLarge(message);
  if (split < 0) return { kind: "malformed", fault: "truncated" };
  const [startLine = "", ...lines] = unfoldedLines(message.subarray(0, split));
  const { headers, fault } = readHeaders(lines);
  const start = readStartLine(startLine);
  if (start === undefined) return malformed("start-line", looseRequest(startLine, headers));
  const readable = start.kind === "request" ? { ...start, headers, body: NO_BODY } : undefined;
  if (start.version !== "2.0") return malformed("version", readable);
  if (fault !== undefined) return malformed(fault, readable);
  const length = contentLength(headers);
  if (length === "malformed") return malformed("content-length", readable);
  const available = message.length - split;
  if ((length ?? available) > MAX_BODY_BYTES) return malformed("too-large", readable);
  if ((length ?? 0) > available) return malformed("truncated", readable);
  const body = message.subarray(split, length === undefined ? undefined : split + length);
  const rest = { headers: headers.filter(({ name }) => name !== "Content-Length"), body };
  return start.kind === "request"
    ? { kind: "request", method: start.method, uri: start.uri, ...rest }
    : { kind: "response", status: start.status, reason: start.reason, ...rest };
}

/** Content-Length of a message whose start line and header fields are these bytes. */
export function lengthInHead(head: Uint8Array): number | "malformed" | undefined {
  return contentLength(readHeaders(unfoldedLines(head).slice(1)).headers);
}

/** Writes a message, with its Content-Length. No text can break out of its line: control characters become spaces. */
export function serializeSip(message: SipMessage): Buffer {
  const start =
    message.kind === "request"
      ? `${message.method} ${message.uri} SIP/2.0`
      : `SIP/2.0 ${message.status} ${message.reason}`;
  const lines = [start, ...message.headers.map(({ name, value }) => `${name}: ${value}`)].map(oneLine);
  const head = `${lines.join("\r\n")}\r\nContent-Length: ${message.body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), message.body]);
}

/** The first value of a header field. */
export function headerOf(message: SipMessage, name: string): string | undefined {
  const lower = name.toLowerCase();
  return message.headers.find((header) => header.name.toLowerCase() === lower)?.value;
}

/** Every value of a header field, one a line. Lists within a line are for {@link splitList}. */
export function headersOf(message: SipMessage, name: string): string[] {
  const lower = name.toLowerCase();
  return message.headers.filter((header) => header.name.toLowerCase() === lower).map(({ value }) => value);
}

/** RFC 3261 §7.3.1: a line that begins with white space continues the one before. */
function unfoldedLines(head: Uint8Array): string[] {
  return latin1(head)
    .replace(/\r?\n[ \t]+/g, " ")
    .split(/\r?\n/)
    .filter((line) => line !== "");
}

function readHeaders(lines: readonly string[]): { headers: SipHeader[]; fault?: SipFault } {
  const headers: SipHeader[] = [];
  for (const line of lines) {
    const match = HEADER_LINE.exec(line);
    // A carriage return alone would be a line end to some of those who read our response.
    if (match === null || line.includes("\r")) return { headers, fault: "header" };
    if (headers.length === MAX_HEADERS) return { headers, fault: "too-large" };
    headers.push({ name: canonicalName(match[1] ?? ""), value: trimBlanks(match[2] ?? "") });
  }
  return { headers };
}

type StartLine =
  | { readonly kind: "request"; readonly version: string; readonly method: string; readonly uri: string }
  | { readonly kind: "response"; readonly version: string; readonly status: number; readonly reason: string };

function readStartLine(line: string): StartLine | undefined {
  const request = REQUEST_LINE.exec(line);
  if (request !== null) {
    const [, method = "", uri = "", version = ""] = request;
    return { kind: "request", version, method, uri };
  }
  const response = STATUS_LINE.exec(line);
  if (response === null || line.includes("\r")) return undefined;
  const [, version = "", status = "", reason = ""] = response;
  return { kind: "response", version, status: Number(status), reason: trimBlanks(reason) };
}

function looseRequest(line: string, headers: readonly SipHeader[]): SipRequest | undefined {
  const [method] = LOOSE_METHOD.exec(line) ?? [];
  const version = LOOSE_VERSION.exec(line);
  if (method === undefined || version === null) return undefined;
  const uri = trimBlanks(line.slice(method.length, version.index));
  return { kind: "request", method, uri, headers, body: NO_BODY };
}

/** The whole lines at its beginning may be enough to refuse it. */
function tooLarge(message: Uint8Array): SipMalformed {
  const end = message.lastIndexOf(LF, MAX_HEAD_BYTES) + 1;
  const [startLine = "", ...lines] = unfoldedLines(message.subarray(0, end));
  const start = readStartLine(startLine);
  if (start?.kind !== "request") return { kind: "malformed", fault: "too-large" };
  return malformed("too-large", { ...start, headers: readHeaders(lines).headers, body: NO_BODY });
}

function malformed(fault: SipFault, request: SipRequest | undefined): SipMalformed {
  if (request === undefined) return { kind: "malformed", fault };
  const { method, uri, headers, body } = request;
  return { kind: "malformed", fault, request: { kind: "request", method, uri, headers, body } };
}

/** RFC 3261 §20.14. Said twice it must be the same. */
function contentLength(headers: readonly SipHeader[]): number | "malformed" | undefined {
  const values = new Set(headers.filter(({ name }) => name === "Content-Length").map(({ value }) => value));
  if (values.size === 0) return undefined;
  const [value = ""] = values;
  return values.size === 1 && /^[0-9]{1,9}$/.test(value) ? Number(value) : "malformed";
}

/**
 * Without spaces and tabs at its ends. String.trim() would also take U+00A0, which here is half of a UTF-8 character;
 * a regular expression would take quadratic time over a long run of blanks.
 */
export function trimBlanks(text: string): string {
  let begin = 0;
  let end = text.length;
  while (begin < end && isBlank(text.charCodeAt(begin))) begin++;
  while (end > begin && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(begin, end);
}

const isBlank = (code: number): boolean => code === 32 || code === 9;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const oneLine = (line: string): string => line.replace(/[\r\n\u0000]+/g, " ");
