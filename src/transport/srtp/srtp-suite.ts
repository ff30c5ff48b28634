/** The protection suites that we speak, their sizes and names. What they do to a packet is aes-gcm.ts and aes-cm.ts. */
import { TonetapError } from "../../core/errors.ts";

/** By its name in SDP: RFC 4568 §6.2, RFC 7714 §14.2. */
export type SrtpSuite =
  | "AEAD_AES_256_GCM"
  | "AEAD_AES_128_GCM"
  | "AES_CM_128_HMAC_SHA1_80"
  | "AES_CM_128_HMAC_SHA1_32";

export interface SrtpSuiteInfo {
  readonly suite: SrtpSuite;
  readonly aead: boolean;
  /** Of the master key and of the session's encryption key. */
  readonly keyBytes: number;
  /** Of the master salt. */
  readonly saltBytes: number;
  /** Authentication tag of an RTP packet. */
  readonly rtpTagBytes: number;
  /** Authentication tag of an RTCP packet. */
  readonly rtcpTagBytes: number;
  /** SRTP protection profile in DTLS: RFC 5764 §4.1.2, RFC 7714 §14.2. */
  readonly dtlsProfile: number;
}

const SUITES: Readonly<Record<SrtpSuite, SrtpSuiteInfo>> = {
  AEAD_AES_256_GCM: aead("AEAD_AES_256_GCM", 32, 0x0008),
  AEAD_AES_128_GCM: aead("AEAD_AES_128_GCM", 16, 0x0007),
  AES_CM_128_HMAC_SHA1_80: counterMode("AES_CM_128_HMAC_SHA1_80", 10, 0x0001),
  // RFC 4568 §6.2.2: the short tag is RTP's only, RTCP keeps 80 bits.
  AES_CM_128_HMAC_SHA1_32: counterMode("AES_CM_128_HMAC_SHA1_32", 4, 0x0002),
};

/** Strongest first. */
export const SRTP_SUITES = [
  "AEAD_AES_256_GCM",
  "AEAD_AES_128_GCM",
  "AES_CM_128_HMAC_SHA1_80",
  "AES_CM_128_HMAC_SHA1_32",
] as const satisfies readonly SrtpSuite[];

export const isSrtpSuite = (name: string): name is SrtpSuite => Object.hasOwn(SUITES, name);

export const srtpSuiteInfo = (suite: SrtpSuite): SrtpSuiteInfo => SUITES[suite];

/** The suite that a DTLS handshake agreed on; undefined if it is none of ours. */
export const suiteOfDtlsProfile = (profile: number): SrtpSuite | undefined =>
  SRTP_SUITES.find((suite) => SUITES[suite].dtlsProfile === profile);

/** What one direction is protected with. */
export interface SrtpMasterKey {
  readonly suite: SrtpSuite;
  /** 16 or 32 bytes, as the suite has it. */
  readonly key: Uint8Array;
  /** 12 bytes for AES-GCM, 14 for AES-CM. */
  readonly salt: Uint8Array;
  /** Master key identifier that each packet carries, 1–128 bytes. Default none. RFC 3711 §3.1. */
  readonly mki?: Uint8Array;
}

/** Longest identifier of a master key, bytes. RFC 4568 §6.1. */
export const MAX_MKI_BYTES = 128;

/** @throws TonetapError invalid-argument naming what has the wrong size. Never repeats a key. */
export function assertMasterKey({ suite, key, salt, mki }: SrtpMasterKey): void {
  const { keyBytes, saltBytes } = SUITES[suite];
  if (key.length !== keyBytes || salt.length !== saltBytes) {
    throw new TonetapError(
      "invalid-argument",
      `${suite} needs a key of ${keyBytes} bytes and a salt of ${saltBytes}, got ${key.length} and ${salt.length}`,
    );
  }
  if (mki !== undefined && (mki.length < 1 || mki.length > MAX_MKI_BYTES)) {
    throw new TonetapError("invalid-argument", `an MKI must be 1–${MAX_MKI_BYTES} bytes, got ${mki.length}`);
  }
}

function aead(suite: SrtpSuite, keyBytes: number, dtlsProfile: number): SrtpSuiteInfo {
  // RFC 7714 §12: the tag is 16 octets.
  return { suite, aead: true, keyBytes, saltBytes: 12, rtpTagBytes: 16, rtcpTagBytes: 16, dtlsProfile };
}

function counterMode(suite: SrtpSuite, rtpTagBytes: number, dtlsProfile: number): SrtpSuiteInfo {
  return { suite, aead: false, keyBytes: 16, saltBytes: 14, rtpTagBytes, rtcpTagBytes: 10, dtlsProfile };
}
