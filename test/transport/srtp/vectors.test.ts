/** The published test vectors of RFC 3711 and RFC 7714, and libsrtp's for whole packets of AES-CM. */
import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createAesCm } from "../../../src/transport/srtp/aes-cm.ts";
import { createAesGcm } from "../../../src/transport/srtp/aes-gcm.ts";
import { createTransform } from "../../../src/transport/srtp/create-transform.ts";
import { deriveSessionKeys } from "../../../src/transport/srtp/key-derivation.ts";
import { hex, toHex } from "./support.ts";

const NO_MKI = new Uint8Array(0);

describe("RFC 3711 appendix B", () => {
  const master = {
    suite: "AES_CM_128_HMAC_SHA1_80",
    key: hex("e1f97a0d3e018be0d64fa32c06de4139"),
    salt: hex("0ec675ad498afeebb6960b3aabe6"),
  } as const;

  test("B.3: one master key gives the 3 session keys of RTP", () => {
    const { encryption, salt, authentication } = deriveSessionKeys(master, "rtp");

    expect(toHex(encryption)).toBe("c61e7a93744f39ee10734afe3ff7a087");
    expect(toHex(salt)).toBe("30cbbc08863d8c85d49db34a9ae1");
    expect(toHex(authentication)).toBe("cebe321f6ff7716b6fd4ab49af256a156d38baa4");
  });

  test("B.2: the first 3 blocks of keystream of packet 0", () => {
    const keys = {
      encryption: hex("2b7e151628aed2a6abf7158809cf4f3c"),
      salt: hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd"),
      authentication: new Uint8Array(20),
    };
    const packet = new Uint8Array(12 + 48);

    const sealed = createAesCm({ rtp: keys, rtcp: keys, mki: NO_MKI }, 10, 10).sealRtp(packet, 12, 0, 0);

    expect(toHex(sealed.subarray(12, 60))).toBe(
      "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0",
    );
  });

  test("libsrtp's RTP and RTCP packets come out byte for byte, and open again", () => {
    const plainRtp = hex(`800f1234decafbadcafebabe${"ab".repeat(16)}`);
    const plainRtcp = hex(`81c8000bcafebabe${"ab".repeat(16)}`);
    const rtp = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb";
    const rtcp = "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798";
    const transform = createTransform(master);

    const sealedRtp = transform.sealRtp(plainRtp, 12, 0xcafebabe, 0x1234);
    const sealedRtcp = transform.sealRtcp(plainRtcp, 0xcafebabe, 1);

    expect(toHex(sealedRtp)).toBe(rtp);
    expect(toHex(sealedRtcp)).toBe(rtcp);
    expect(transform.openRtp(sealedRtp, 12, 0xcafebabe, 0x1234)).toBe(true);
    expect(toHex(sealedRtp.subarray(0, 28))).toBe(toHex(plainRtp));
    expect(transform.openRtcp(sealedRtcp, 0xcafebabe, 1, true)).toBe(true);
    expect(toHex(sealedRtcp.subarray(0, 24))).toBe(toHex(plainRtcp));
  });

  test("the two-hash HMAC equals node's own for 300 lengths", () => {
    const authentication = hex("cebe321f6ff7716b6fd4ab49af256a156d38baa4");
    const keys = { encryption: new Uint8Array(16), salt: new Uint8Array(14), authentication };
    const transform = createAesCm({ rtp: keys, rtcp: keys, mki: NO_MKI }, 10, 10);

    for (let payloadBytes = 0; payloadBytes < 300; payloadBytes++) {
      const packet = Uint8Array.from({ length: 12 + payloadBytes }, (_, i) => 7 * i);
      const sealed = transform.sealRtp(packet, 12, 1, 5 * 0x1_0000 + 1);
      const hmac = createHmac("sha1", authentication)
        .update(sealed.subarray(0, packet.length))
        .update(hex("00000005"));
      expect(toHex(sealed.subarray(packet.length))).toBe(hmac.digest("hex").slice(0, 20));
    }
  });
});

describe("RFC 7714 §16 and §17", () => {
  const plainRtp = hex(
    "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
  );
  const plainRtcp = hex(
    "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
  );
  const marsSsrc = 0x4d617273;
  const gcm = (keyBytes: number) => {
    const keys = {
      encryption: Uint8Array.from({ length: keyBytes }, (_, i) => i),
      salt: Buffer.from("Quid pro quo"),
      authentication: new Uint8Array(0),
    };
    return createAesGcm({ rtp: keys, rtcp: keys, mki: NO_MKI });
  };

  test.each([
    [
      128,
      "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
    ],
    [
      256,
      "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    ],
  ])("§16: RTP under %i bits", (bits, expected) => {
    const transform = gcm(bits / 8);

    const sealed = transform.sealRtp(plainRtp, 12, 0x5501a0b2, 0xf17b);

    expect(toHex(sealed)).toBe(expected);
    expect(transform.openRtp(sealed, 12, 0x5501a0b2, 0xf17b)).toBe(true);
    expect(toHex(sealed.subarray(0, plainRtp.length))).toBe(toHex(plainRtp));
  });

  test.each([
    [
      128,
      "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    ],
    [
      256,
      "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
    ],
  ])("§17.1 and §17.2: RTCP under %i bits", (bits, expected) => {
    const transform = gcm(bits / 8);

    const sealed = transform.sealRtcp(plainRtcp, marsSsrc, 0x5d4);

    expect(toHex(sealed)).toBe(expected);
    expect(transform.openRtcp(sealed, marsSsrc, 0x5d4, true)).toBe(true);
    expect(toHex(sealed.subarray(0, plainRtcp.length))).toBe(toHex(plainRtcp));
  });

  test("§17.3: RTCP that is authenticated only, 128 bits", () => {
    const tagged = hex(`${toHex(plainRtcp)}841dd9683dd78ec92ae58790125f62b3000005d4`);

    expect(gcm(16).openRtcp(tagged, marsSsrc, 0x5d4, false)).toBe(true);
    expect(toHex(tagged.subarray(0, plainRtcp.length))).toBe(toHex(plainRtcp));
  });
});
