/**
 * Events and control messages as bytes on the wire: JSON, CBOR, WebSocket frames and server-sent events. Owns cborg.
 * What they say is schema.ts and protocol.ts; who gets them is hub.ts.
 */
import { decode, encode } from "cborg";
import { TonetapError } from "../core/errors.ts";

/** How a subscriber wants it: text or binary frames of a WebSocket, or lines of an event stream. */
export type WireForm = "json" | "cbor" | "sse";

/** RFC 6455 §5.2: FIN and the opcode. */
const TEXT_FRAME = 0x81;
const BINARY_FRAME = 0x82;

/**
 * A whole WebSocket frame. A server's frames are not masked (RFC 6455 §5.1), so that one frame serves every subscriber.
 */
export function webSocketFrame(form: "json" | "cbor", message: unknown): Buffer {
  if (form === "cbor") {
    const payload = encode(compact(message));
    const frame = frameFor(BINARY_FRAME, payload.length);
    frame.set(payload, frame.length - payload.length);
    return frame;
  }
  const text = JSON.stringify(message);
  const length = Buffer.byteLength(text);
  const frame = frameFor(TEXT_FRAME, length);
  frame.write(text, frame.length - length);
  return frame;
}

/** The payload of a frame that {@link webSocketFrame} made: the same memory. */
export function payloadOf(frame: Buffer): Buffer {
  const short = (frame[1] ?? 0) & 0x7f;
  return frame.subarray(short < 126 ? 2 : short === 126 ? 4 : 10);
}

/**
 * An event of an event stream (WHATWG HTML §9.2.6). `id` is what the browser sends back when it reconnects.
 * @param json has no line breaks
 */
export function serverSentEvent(json: Buffer, id: string): Buffer {
  return Buffer.concat([Buffer.from(`id: ${id}\ndata: `), json, Buffer.from("\n\n")]);
}

/**
 * A message from a client that speaks CBOR.
 * @throws TonetapError protocol
 */
export function decodeCbor(data: Uint8Array): unknown {
  try {
    return decode(data, { allowIndefinite: false, allowUndefined: false, rejectDuplicateMapKeys: true });
  } catch (error) {
    throw new TonetapError("protocol", "the message is not CBOR", { cause: error });
  }
}

/**
 * RFC 8949 §4.2.2 would write 0.7106 as a double, nine bytes: JSON is shorter. Four decimals fit in a single, five
 * bytes; a reader rounds to four decimals and has the same number.
 */
function compact(value: unknown): unknown {
  if (typeof value === "number") return Number.isInteger(value) ? value : Math.fround(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(compact);
  const copy: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value)) if (field !== undefined) copy[key] = compact(field);
  return copy;
}

/** An empty frame with room for the payload at its end. RFC 6455 §5.2. */
function frameFor(opcode: number, length: number): Buffer {
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafeSlow(header + length);
  frame[0] = opcode;
  if (header === 2) frame[1] = length;
  else if (header === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  return frame;
}
