/**
 * Which bodies are read: SDP, the metadata of a recording session, both in one multipart; and nothing that is needed but not
 * understood (RFC 3261 §8.2.3). What multiparts look like is multipart.ts.
 */
import { type BodyPart, readMultipart } from "./multipart.ts";
import { asUtf8, headerOf, latin1, type SipMessage } from "./sip-message.ts";
import { type Refusal, refusal } from "./sip-request.ts";
import { ACCEPT, MULTIPART_TYPE, SDP_TYPE } from "./sip-response.ts";

export interface SipBody {
  readonly sdp?: string;
  /** XML of RFC 7865. */
  readonly metadata?: string;
}

/** RFC 7866 §9.1 names the first, RFC 7865 the second; recorders send either. */
const METADATA_TYPES: ReadonlySet<string> = new Set([
  "application/rs-metadata",
  "application/rs-metadata+xml",
]);

/** @returns what the body says, nothing if there is none, or why it cannot be taken. Never throws. */
export function bodyOf(message: SipMessage): SipBody | Refusal {
  if (message.body.length === 0) return {};
  const fields = new Map<string, string>();
  for (const name of ["Content-Type", "Content-Disposition", "Content-Encoding"]) {
    const value = headerOf(message, name);
    if (value !== undefined) fields.set(name.toLowerCase(), value);
  }
  const type = fields.get("content-type") ?? SDP_TYPE;
  if (firstToken(type) !== MULTIPART_TYPE) return readPart({ fields, body: message.body });
  const encoded = encodingRefusal(fields);
  if (encoded !== undefined) return encoded;
  const parts = readMultipart(message.body, type);
  if (typeof parts === "string") return refusal(400, parts);
  let whole: SipBody = {};
  for (const part of parts) {
    const read = readPart(part);
    if ("kind" in read) return read;
    for (const name of ["sdp", "metadata"] as const) {
      if (read[name] !== undefined && whole[name] !== undefined)
        return refusal(400, `the body has ${name} twice`);
    }
    whole = { ...whole, ...read };
  }
  return whole;
}

/** @returns the SDP, undefined if there is none, or why the body cannot be taken. */
export function sdpOf(message: SipMessage): string | Refusal | undefined {
  const body = bodyOf(message);
  return "kind" in body ? body : body.sdp;
}

function readPart(part: BodyPart): SipBody | Refusal {
  const type = firstToken(part.fields.get("content-type") ?? SDP_TYPE);
  const known = type === SDP_TYPE ? "sdp" : METADATA_TYPES.has(type) ? "metadata" : undefined;
  if (known === undefined) {
    // RFC 3261 §20.11: what does not say that it is optional must be understood.
    const optional = /;\s*handling\s*=\s*optional/i.test(part.fields.get("content-disposition") ?? "");
    return optional ? {} : refusal(415, `a body of ${type} is not taken`, { Accept: ACCEPT });
  }
  const encoded = encodingRefusal(part.fields);
  if (encoded !== undefined) return encoded;
  return { [known]: asUtf8(latin1(part.body)) };
}

/** RFC 2045 §6: of transfer encodings, those that change nothing. */
const PLAIN_TRANSFER: ReadonlySet<string> = new Set(["7bit", "8bit", "binary"]);

function encodingRefusal(fields: BodyPart["fields"]): Refusal | undefined {
  const encoding = firstToken(fields.get("content-encoding") ?? "identity");
  const transfer = firstToken(fields.get("content-transfer-encoding") ?? "binary");
  const wrong = encoding !== "identity" ? encoding : PLAIN_TRANSFER.has(transfer) ? undefined : transfer;
  if (wrong === undefined) return undefined;
  return refusal(415, `an encoding of ${wrong} is not taken`, { "Accept-Encoding": "identity" });
}

const firstToken = (value: string): string => (/^[^\s;,]+/.exec(value)?.[0] ?? "").toLowerCase();
