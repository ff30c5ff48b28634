/** Takes a `multipart/mixed` body apart (RFC 2046 §5.1): its parts in order, each with its fields. What they mean is sip-body.ts. */
import { splitOutside } from "./sip-header.ts";
import { latin1 } from "./sip-message.ts";

/** Parts of one body: SDP, metadata, and what vendors add. */
export const MAX_PARTS = 8;
/** Header fields of one part, bytes. */
const MAX_PART_HEAD_BYTES = 2_048;

export interface BodyPart {
  /** By lower-case name. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

/**
 * @param contentType the whole field: it names the boundary
 * @returns a sentence that says what is wrong, if something is. Never throws.
 */
export function readMultipart(body: Uint8Array, contentType: string): readonly BodyPart[] | string {
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) return "the multipart body names no boundary of 1-70 characters";
  // One character a byte: places in the text are places in the body.
  const text = latin1(body);
  const parts: BodyPart[] = [];
  let begin: number | undefined;
  for (const { from, to, last } of delimiters(text, boundary)) {
    if (begin !== undefined) {
      const part = readPart(text, body, begin, from);
      if (typeof part === "string") return part;
      if (parts.length === MAX_PARTS) return `the multipart body has more than ${MAX_PARTS} parts`;
      parts.push(part);
    }
    if (last) return parts.length === 0 ? "the multipart body has no parts" : parts;
    begin = to;
  }
  if (begin === undefined) return "the boundary of the multipart body does not stand in it";
  return "the multipart body is cut off: its closing boundary is missing";
}

/** RFC 2046 §5.1.1: 1–70 characters, the last no space. */
function boundaryOf(contentType: string): string | undefined {
  for (const parameter of (splitOutside(contentType, ";") ?? []).slice(1)) {
    const [, quoted, token] = /^boundary\s*=\s*(?:"([^"]*)"|([^\s;"]+))$/i.exec(parameter) ?? [];
    const boundary = quoted ?? token;
    if (boundary === undefined) continue;
    return /^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/.test(boundary) ? boundary : undefined;
  }
  return undefined;
}

/** Where boundaries stand: `from` is where the part before ends, `to` where the next begins. */
function* delimiters(
  text: string,
  boundary: string,
): Generator<{ readonly from: number; readonly to: number; readonly last: boolean }, void, undefined> {
  const dashed = `--${boundary}`;
  for (let at = text.indexOf(dashed); at >= 0; at = text.indexOf(dashed, at + 1)) {
    // A boundary stands at the begin of a line and fills it, but for blanks; the line end before it is part of it.
    if (at > 0 && text[at - 1] !== "\n") continue;
    const [line, dashes = ""] =
      /^(--)?[ \t]*(?:\r?\n|$)/.exec(text.slice(at + dashed.length, at + 256)) ?? [];
    if (line === undefined) continue;
    const from = at - (text[at - 2] === "\r" ? 2 : 1);
    yield { from: Math.max(0, from), to: at + dashed.length + line.length, last: dashes !== "" };
  }
}

function readPart(text: string, body: Uint8Array, begin: number, end: number): BodyPart | string {
  const fields = new Map<string, string>();
  let at = begin;
  for (;;) {
    const stop = text.indexOf("\n", at);
    if (at >= end || stop < 0 || stop > end + 1)
      return "a part of the multipart body has no empty line after its fields";
    if (stop - begin > MAX_PART_HEAD_BYTES) {
      return `a part of the multipart body has more than ${MAX_PART_HEAD_BYTES} bytes of fields`;
    }
    const line = text.slice(at, stop).replace(/\r$/, "");
    at = stop + 1;
    if (line === "") break;
    const [, name, value = ""] = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined) return "a field of a part of the multipart body is unreadable";
    if (!fields.has(name.toLowerCase())) fields.set(name.toLowerCase(), value);
  }
  return { fields, body: body.subarray(at, Math.max(at, end)) };
}
