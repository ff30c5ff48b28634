/** From a master key to what protects and unprotects single packets. */
import { createAesCm } from "./aes-cm.ts";
import { createAesGcm } from "./aes-gcm.ts";
import { deriveSessionKeys } from "./key-derivation.ts";
import { type SrtpMasterKey, srtpSuiteInfo } from "./srtp-suite.ts";
import type { SrtpTransform, TransformKeys } from "./srtp-transform.ts";

export function createTransform(master: SrtpMasterKey): SrtpTransform {
  const keys: TransformKeys = {
    rtp: deriveSessionKeys(master, "rtp"),
    rtcp: deriveSessionKeys(master, "rtcp"),
    mki: master.mki ?? new Uint8Array(0),
  };
  const { aead, rtpTagBytes, rtcpTagBytes } = srtpSuiteInfo(master.suite);
  return aead ? createAesGcm(keys) : createAesCm(keys, rtpTagBytes, rtcpTagBytes);
}
