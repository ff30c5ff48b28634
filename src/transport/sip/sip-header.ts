/** Values of SIP header fields: lists, parameters, addresses, Via, CSeq (RFC 3261 §20, §25.1). Nothing here throws. */
import { asUtf8, fromUtf8, trimBlanks } from "./sip-message.ts";
import { parseUri, type SipUri, unbracket } from "./sip-uri.ts";

/** By lower-case name; flags have an empty value. Quoted values stand without quotes. */
export type SipParams = ReadonlyMap<string, string>;

/** `"Alice" <sip:alice@example.com>;tag=1` */
export interface NameAddr {
  readonly displayName: string;
  readonly uri: SipUri;
  readonly params: SipParams;
}

/** Who sent a message on, and where the response goes. */
export interface Via {
  /** Upper case. */
  readonly transport: string;
  /** Lower case, IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  readonly params: SipParams;
}

/** Splits where `separator` stands outside of quotes and angle brackets; undefined if a quote or bracket never ends. */
export function splitOutside(text: string, separator: string): string[] | undefined {
  const parts: string[] = [];
  let begin = 0;
  let quoted = false;
  let bracketed = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === "\\") at++;
      else if (character === '"') quoted = false;
    } else if (bracketed) bracketed = character !== ">";
    else if (character === '"') quoted = true;
    else if (character === "<") bracketed = true;
    else if (character === separator) {
      parts.push(trimBlanks(text.slice(begin, at)));
      begin = at + 1;
    }
  }
  if (quoted || bracketed) return undefined;
  parts.push(trimBlanks(text.slice(begin)));
  return parts;
}

/** All elements of a list header, whether in one line or in several (RFC 3261 §7.3.1); undefined if one is broken. */
export function splitList(values: readonly string[]): string[] | undefined {
  const all: string[] = [];
  for (const value of values) {
    const parts = splitOutside(value, ",");
    if (parts === undefined) return undefined;
    for (const part of parts) if (part !== "") all.push(part);
  }
  return all;
}

function readParams(parts: readonly string[]): SipParams {
  const params = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf("=");
    const name = trimBlanks(equals < 0 ? part : part.slice(0, equals)).toLowerCase();
    const value = equals < 0 ? "" : trimBlanks(part.slice(equals + 1));
    if (name !== "" && !params.has(name)) params.set(name, unquote(value));
  }
  return params;
}

/** RFC 3261 §25.1: a backslash in a quoted string escapes what follows. */
function unquote(text: string): string {
  const inner = /^"(.*)"$/s.exec(text)?.[1];
  return inner === undefined ? text : inner.replace(/\\(.)/gs, "$1");
}

/** Reads From, To, Contact, Route or Record-Route: one element. */
export function parseNameAddr(text: string): NameAddr | undefined {
  const parts = splitOutside(text, ";");
  const [address = "", ...params] = parts ?? [];
  const open = address.indexOf("<", endOfQuoted(address));
  // RFC 3261 §20.10: without angle brackets, what follows a semicolon belongs to the header, not to the URI.
  const [, name = "", inner = ""] =
    open < 0
      ? [address, "", address]
      : [address, address.slice(0, open), trimBlanks(address.slice(open + 1))];
  if (open >= 0 && !inner.endsWith(">")) return undefined;
  const uri = parseUri(open < 0 ? inner : trimBlanks(inner.slice(0, -1)));
  if (uri === undefined) return undefined;
  return { displayName: asUtf8(unquote(trimBlanks(name))), uri, params: readParams(params) };
}

function endOfQuoted(text: string): number {
  return /^\s*"(?:[^"\\]|\\.)*"/s.exec(text)?.[0].length ?? 0;
}

/** The reverse of {@link parseNameAddr}; the name always in quotes. */
export function formatNameAddr(
  displayName: string,
  uri: string,
  params: Readonly<Record<string, string>> = {},
): string {
  const name = displayName === "" ? "" : `"${fromUtf8(displayName).replace(/["\\]/g, "\\$&")}" `;
  const tail = Object.entries(params).map(([key, value]) => (value === "" ? `;${key}` : `;${key}=${value}`));
  return `${name}<${uri}>${tail.join("")}`;
}

const VIA =
  /^SIP\s*\/\s*2\.0\s*\/\s*([A-Za-z0-9-]+)\s+(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)\s*(?::\s*([0-9]{1,5}))?$/i;

/** Reads one element of Via. */
export function parseVia(text: string): Via | undefined {
  const [head = "", ...params] = splitOutside(text, ";") ?? [];
  const match = VIA.exec(head);
  if (match === null) return undefined;
  const [, transport = "", host = "", rawPort] = match;
  const port = rawPort === undefined ? undefined : Number(rawPort);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  return {
    transport: transport.toUpperCase(),
    host: unbracket(host.toLowerCase()),
    port,
    params: readParams(params),
  };
}

/**
 * Writes into a Via where its message really came from: RFC 3261 §18.2.1, RFC 3581 §4.
 * @param text an element of Via as it came: whatever else it says stays.
 */
export function stampVia(
  text: string,
  via: Via,
  from: { readonly host: string; readonly port: number },
): string {
  const wantsPort = via.params.has("rport");
  const [head = "", ...params] = splitOutside(text, ";") ?? [];
  const kept = params
    // Others' claims of where it came from are not ours.
    .filter((param) => !/^received(?![A-Za-z0-9])/i.test(param))
    .map((param) => (/^rport(?![A-Za-z0-9])/i.test(param) ? `rport=${from.port}` : param));
  const received = wantsPort || via.host !== from.host ? [`received=${from.host}`] : [];
  return [head, ...kept, ...received].join(";");
}

/** Reads `Digest realm="…", nonce="…"` (RFC 3261 §25.1, RFC 7616 §3.3): a lower-case scheme and its parameters. */
export function parseAuth(text: string): { readonly scheme: string; readonly params: SipParams } | undefined {
  const [, scheme, rest] = /^([A-Za-z][A-Za-z0-9-]*)[ \t]+(.*)$/s.exec(text) ?? [];
  const parts = rest === undefined ? undefined : splitOutside(rest, ",");
  if (scheme === undefined || parts === undefined) return undefined;
  return { scheme: scheme.toLowerCase(), params: readParams(parts) };
}

/** RFC 3261 §20.16: a number below 2³¹ and a method. */
export function parseCSeq(text: string): { readonly number: number; readonly method: string } | undefined {
  const [, digits, method] = /^([0-9]{1,10})\s+(\S+)$/.exec(text) ?? [];
  if (digits === undefined || method === undefined || Number(digits) >= 2 ** 31) return undefined;
  return { number: Number(digits), method };
}
