/** URIs of SIP: sip, sips (RFC 3261 §19.1) and tel (RFC 3966). Other schemes are kept as text. */
import { asUtf8 } from "./sip-message.ts";

export interface SipUri {
  /** As it stood, to be sent again. */
  readonly text: string;
  /** Lower case. */
  readonly scheme: string;
  /** Unescaped; of tel: the number. Empty if there is none. */
  readonly user: string;
  /** Lower case, IPv6 without brackets; empty for other schemes than sip and sips. */
  readonly host: string;
  readonly port: number | undefined;
  /** By lower-case name; flags have an empty value. */
  readonly params: ReadonlyMap<string, string>;
}

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):(.+)$/;
/** Userinfo has no `@`, and may have `;` and `?`. */
const SIP_REST =
  /^(?:([^@\s<>"]*)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?)(?::([0-9]{1,5}))?((?:;[^?\s<>"]*)?)(?:\?[^\s<>"]*)?$/;
const TEL_REST = /^(\+?[0-9A-Fa-f*#().-]+)((?:;[^\s<>"]*)?)$/;

/** Never throws; undefined for what is no URI. */
export function parseUri(text: string): SipUri | undefined {
  const [, rawScheme, rest] = SCHEME.exec(text) ?? [];
  if (rawScheme === undefined || rest === undefined || /[\s<>"]/.test(text)) return undefined;
  const scheme = rawScheme.toLowerCase();
  switch (scheme) {
    case "sip":
    case "sips":
      return parseSipRest(text, scheme, rest);
    case "tel": {
      const [, number, params = ""] = TEL_REST.exec(rest) ?? [];
      if (number === undefined) return undefined;
      return { text, scheme, user: number, host: "", port: undefined, params: readParams(params) };
    }
    default:
      return { text, scheme, user: "", host: "", port: undefined, params: new Map() };
  }
}

function parseSipRest(text: string, scheme: string, rest: string): SipUri | undefined {
  const match = SIP_REST.exec(rest);
  if (match === null) return undefined;
  const [, userinfo = "", rawHost = "", rawPort, params = ""] = match;
  const port = rawPort === undefined ? undefined : Number(rawPort);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  // RFC 3261 §19.1.1: user ":" password; a password is of no use to us.
  const colon = userinfo.indexOf(":");
  const user = unescapeText(colon < 0 ? userinfo : userinfo.slice(0, colon));
  return { text, scheme, user, host: unbracket(rawHost.toLowerCase()), port, params: readParams(params) };
}

/** `%41` → `A`; escapes that are none stay as they are. */
function unescapeText(text: string): string {
  return asUtf8(
    text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  );
}

function readParams(text: string): Map<string, string> {
  const params = new Map<string, string>();
  for (const part of text.split(";")) {
    const equals = part.indexOf("=");
    const name = (equals < 0 ? part : part.slice(0, equals)).toLowerCase();
    if (name !== "") params.set(name, equals < 0 ? "" : part.slice(equals + 1));
  }
  return params;
}

/** An address within a URI or a Via: IPv6 in brackets. */
export const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);

export const unbracket = (host: string): string => host.replace(/^\[(.*)\]$/, "$1");

/** Names a user of ours at an address of ours. */
export function formatSipUri(
  scheme: "sip" | "sips",
  user: string,
  host: string,
  port: number,
  params: Readonly<Record<string, string>> = {},
): string {
  const escaped = [...Buffer.from(user, "utf8")]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9\-_.!~*'()]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
  const tail = Object.entries(params).map(([name, value]) =>
    value === "" ? `;${name}` : `;${name}=${value}`,
  );
  return `${scheme}:${escaped === "" ? "" : `${escaped}@`}${bracketed(host)}:${port}${tail.join("")}`;
}
