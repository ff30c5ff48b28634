/** Packets and keys for tests of SRTP. */
import { monotonicMs } from "../../../src/core/units.ts";
import { parseRtp, serializeRtp } from "../../../src/transport/rtp-packet.ts";
import { type SrtpMasterKey, type SrtpSuite, srtpSuiteInfo } from "../../../src/transport/srtp/index.ts";

export const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
export const toHex = (bytes: Uint8Array | string): string =>
  typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("hex");

/** A key that is the same in each run; `variant` makes others. */
export function masterKey(suite: SrtpSuite, variant = 0, mki?: Uint8Array): SrtpMasterKey {
  const { keyBytes, saltBytes } = srtpSuiteInfo(suite);
  return {
    suite,
    key: Uint8Array.from({ length: keyBytes }, (_, i) => 17 * i + variant),
    salt: Uint8Array.from({ length: saltBytes }, (_, i) => 29 * i + variant),
    ...(mki === undefined ? {} : { mki }),
  };
}

/** RTP whose payload tells its number. */
export const rtpPacket = (n: number, ssrc = 0x1234_5678, payloadBytes = 60): Uint8Array =>
  serializeRtp({
    sequence: n & 0xffff,
    timestamp: n * 960,
    ssrc,
    payloadType: 111,
    payload: Uint8Array.from({ length: payloadBytes }, (_, i) => (i < 4 ? n >>> (8 * i) : i)),
  });

/** The number that {@link rtpPacket} was given, or the reason why the packet was rejected. */
export function packetNumber(result: Uint8Array | string): number | string {
  if (typeof result === "string") return result;
  const packet = parseRtp(result, monotonicMs(0));
  if (typeof packet === "string") return packet;
  return packet.payload.slice(0, 4).reduce((sum, byte, i) => sum + byte * 2 ** (8 * i), 0);
}
