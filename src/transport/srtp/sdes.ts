/** SRTP keys in SDP: `a=crypto` lines (RFC 4568). Which line goes into which answer is the business of who writes the SDP. */
import { randomBytes } from "node:crypto";
import { TonetapError } from "../../core/errors.ts";
import {
  isSrtpSuite,
  MAX_MKI_BYTES,
  SRTP_SUITES,
  type SrtpMasterKey,
  type SrtpSuite,
  srtpSuiteInfo,
} from "./srtp-suite.ts";

/** One `a=crypto` line: the key that its sender protects with. */
export interface SdesCrypto extends SrtpMasterKey {
  /** Ties an answer's line to the offer's. 0–999,999,999. */
  readonly tag: number;
}

/** Room for every legal line: 128 bytes of MKI as digits, and session parameters. */
const MAX_LINE_CHARACTERS = 1024;

/** A new key of our own for `suite`, from the system's random numbers. */
export function createSdes(tag: number, suite: SrtpSuite): SdesCrypto {
  const { keyBytes, saltBytes } = srtpSuiteInfo(suite);
  return { tag, suite, key: randomBytes(keyBytes), salt: randomBytes(saltBytes) };
}

/** The attribute's value, what stands after `a=crypto:`. */
export function formatSdes({ tag, suite, key, salt, mki }: SdesCrypto): string {
  const inline = Buffer.concat([key, salt]).toString("base64");
  const identifier =
    mki === undefined ? "" : `|${BigInt(`0x${Buffer.from(mki).toString("hex")}`)}:${mki.length}`;
  return `${tag} ${suite} inline:${inline}${identifier}`;
}

/**
 * Reads one line, with or without `a=crypto:`. A key's lifetime is not enforced: keeping to it is its sender's duty.
 * @throws TonetapError protocol when it is malformed; unavailable for a suite or parameter that we do not speak. The
 * message never repeats a key.
 */
export function parseSdes(line: string): SdesCrypto {
  if (line.length > MAX_LINE_CHARACTERS) {
    throw new TonetapError(
      "protocol",
      `a crypto line is at most ${MAX_LINE_CHARACTERS} characters, got ${line.length}`,
    );
  }
  // RFC 4568 §9.2: tag, suite, key parameters, session parameters.
  const match = /^(?:a=crypto:)?(\d{1,9})[ \t]+(\w+)[ \t]+(\S+)((?:[ \t]+\S+)*)[ \t]*$/i.exec(line.trim());
  const [, tag = "", suite = "", keys = "", parameters = ""] = match ?? [];
  if (match === null) throw new TonetapError("protocol", "a crypto line is `tag suite inline:key`");
  const name = suite.toUpperCase();
  if (!isSrtpSuite(name)) throw unavailable(`crypto suite ${suite}: there are ${SRTP_SUITES.join(", ")}`);
  assertParameters(parameters);
  if (keys.includes(";")) throw unavailable("several master keys in one crypto line");
  const [method, lifetimeOrMki, mkiAfterLifetime, tooMany] = keys.split("|");
  if (tooMany !== undefined) throw new TonetapError("protocol", "a key has at most a lifetime and an MKI");
  const mki = parseMki(lifetimeOrMki, mkiAfterLifetime);
  return { tag: Number(tag), ...parseInlineKey(name, method ?? ""), ...(mki === undefined ? {} : { mki }) };
}

/**
 * The first line of an offer that we speak: RFC 4568 §5.1.2 has them in the offerer's order of preference.
 * @throws TonetapError protocol, with the reason for each line, when there is none.
 */
export function chooseSdes(lines: readonly string[]): SdesCrypto {
  const reasons: string[] = [];
  for (const line of lines) {
    try {
      return parseSdes(line);
    } catch (error) {
      reasons.push(TonetapError.from(error).message);
    }
  }
  throw new TonetapError("protocol", `no usable crypto line: ${reasons.join("; ") || "there is none"}`);
}

/**
 * A key in SDES's inline form: base64 of key and salt, with or without `inline:`.
 * @throws TonetapError protocol naming the size that the suite needs.
 */
export function parseInlineKey(suite: SrtpSuite, inline: string): SrtpMasterKey {
  const { keyBytes, saltBytes } = srtpSuiteInfo(suite);
  const text = inline.replace(/^inline:/i, "");
  const bytes = Buffer.from(text, "base64");
  const exact = text.replace(/=*$/, "") === bytes.toString("base64").replace(/=*$/, "");
  if (!exact || bytes.length !== keyBytes + saltBytes) {
    throw new TonetapError(
      "protocol",
      `the key of ${suite} must be ${keyBytes + saltBytes} bytes (key and salt) in base64, got ${exact ? `${bytes.length} bytes` : "no base64"}`,
    );
  }
  return { suite, key: bytes.subarray(0, keyBytes), salt: bytes.subarray(keyBytes) };
}

/** RFC 4568 §6.1: `lifetime` is a number or 2^n, an MKI `value:bytes`; either may be left out. */
function parseMki(first: string | undefined, second: string | undefined): Uint8Array | undefined {
  if (first === undefined) return undefined;
  const mkiComesFirst = first.includes(":");
  const lifetime = mkiComesFirst ? undefined : first;
  if (lifetime !== undefined && !/^(?:2\^)?\d{1,15}$/.test(lifetime)) {
    throw new TonetapError(
      "protocol",
      `a key's lifetime is a number or 2^n, got ${JSON.stringify(lifetime)}`,
    );
  }
  const text = mkiComesFirst ? first : second;
  if (mkiComesFirst && second !== undefined) throw new TonetapError("protocol", "an MKI comes last");
  if (text === undefined) return undefined;
  const [, value = "", length = ""] = /^(\d{1,310}):(\d{1,3})$/.exec(text) ?? [];
  const bytes = Number(length);
  const hex =
    value === ""
      ? ""
      : BigInt(value)
          .toString(16)
          .padStart(2 * bytes, "0");
  if (value === "" || bytes < 1 || bytes > MAX_MKI_BYTES || hex.length !== 2 * bytes) {
    throw new TonetapError(
      "protocol",
      `an MKI is value:bytes with 1–${MAX_MKI_BYTES} bytes, got ${JSON.stringify(text)}`,
    );
  }
  return Buffer.from(hex, "hex");
}

/** RFC 4568 §6.3: WSH is a hint, a name with `-` may be ignored; what we do not do, the line must not ask for. */
function assertParameters(parameters: string): void {
  for (const parameter of parameters.split(/[ \t]+/)) {
    if (parameter === "" || parameter.startsWith("-") || /^WSH=\d+$/i.test(parameter)) continue;
    throw unavailable(`crypto session parameter ${JSON.stringify(parameter.slice(0, 64))}`);
  }
}

const unavailable = (what: string): TonetapError =>
  new TonetapError("unavailable", `not supported: ${what}`, { retryable: false });
