/** Splits redundant audio payloads (RFC 2198). What to do with the copies is jitter-buffer.ts. */
import { readU8, readU16 } from "./bytes.ts";

/** An older payload carried again. */
export interface RedCopy {
  readonly payloadType: number;
  /** Ticks before the carrying packet's timestamp, 0–16,383. */
  readonly offsetTicks: number;
  readonly payload: Uint8Array;
}

export interface RedPayload {
  /** The packet's own audio; its time is the RTP timestamp. */
  readonly primary: { readonly payloadType: number; readonly payload: Uint8Array };
  /** In the order of the wire, which is oldest first by custom. */
  readonly copies: readonly RedCopy[];
}

/** Copies a payload carries at most: senders give 1 to 3. A datagram of 64 kB could name 16,000 empty ones. */
const MAX_COPIES = 32;

/** Splits a RED payload into views of it. `malformed` if headers or blocks run over its end, or are too many. Never throws. */
export function splitRed(payload: Uint8Array): RedPayload | "malformed" {
  // RFC 2198 §3: four-byte headers with F = 1, one for each copy, then the one-byte header of the primary.
  let headerEnd = 0;
  while (readU8(payload, headerEnd) >= 0x80) headerEnd += 4;
  if (headerEnd >= payload.length || headerEnd > 4 * MAX_COPIES) return "malformed";
  const primaryType = readU8(payload, headerEnd);

  const copies: RedCopy[] = [];
  let start = headerEnd + 1;
  for (let at = 0; at < headerEnd; at += 4) {
    const end = start + (readU16(payload, at + 2) & 0x3ff);
    if (end > payload.length) return "malformed";
    copies.push({
      payloadType: readU8(payload, at) & 0x7f,
      offsetTicks: readU16(payload, at + 1) >> 2,
      payload: payload.subarray(start, end),
    });
    start = end;
  }
  return { primary: { payloadType: primaryType, payload: payload.subarray(start) }, copies };
}
