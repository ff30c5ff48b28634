/**
 * Asterisk's AudioSocket frames out of a TCP stream: type, length, payload (docs.asterisk.org, "AudioSocket";
 * CyCoreSystems/audiosocket). What they mean to a call is audiosocket-server.ts.
 */

/** One byte of type, two of the payload's length in network byte order. */
const HEADER_BYTES = 3;
/** Of one frame: twice the 20 ms of 192 kHz. The length field could say 65,535. */
export const MAX_PAYLOAD_BYTES = 16_384;

export const FRAME = { hangup: 0x00, uuid: 0x01, silence: 0x02, dtmf: 0x03, error: 0xff } as const;

/** Types 0x10–0x18: 16-bit little-endian mono at these rates, Hz. Before Asterisk 22.5 and its like, 0x10 only. */
const SLIN_RATES_HZ = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000] as const;
const SLIN_FIRST = 0x10;

/** @returns undefined for a type that is no audio. */
export const slinRateHz = (type: number): number | undefined => SLIN_RATES_HZ[type - SLIN_FIRST];

export class AudioSocketFramer {
  /** Less than one frame. */
  #held: Buffer = Buffer.alloc(0);

  /**
   * Calls `onFrame` for each frame that `chunk` completes, until it returns false. Payloads are borrowed.
   * @returns false when a frame is longer than {@link MAX_PAYLOAD_BYTES}: the stream cannot be read on
   */
  push(chunk: Buffer, onFrame: (type: number, payload: Buffer) => boolean): boolean {
    let bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    while (bytes.length >= HEADER_BYTES) {
      const length = bytes.readUInt16BE(1);
      if (length > MAX_PAYLOAD_BYTES) return false;
      const end = HEADER_BYTES + length;
      if (bytes.length < end) break;
      const goesOn = onFrame(bytes.readUInt8(0), bytes.subarray(HEADER_BYTES, end));
      bytes = bytes.subarray(end);
      if (!goesOn) break;
    }
    this.#held = Buffer.from(bytes);
    return true;
  }
}

/** @param payload of 65,535 bytes at most */
export function audioSocketFrame(type: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt16BE(payload.length, 1);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** `40325ec2-5efd-4bd3-805f-53576e581d13` of 16 bytes. */
export function uuidText(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    "-",
  );
}
