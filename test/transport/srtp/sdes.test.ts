import { expect, test } from "vitest";
import {
  chooseSdes,
  createSdes,
  createSrtpSession,
  formatSdes,
  parseInlineKey,
  parseSdes,
  SRTP_SUITES,
} from "../../../src/transport/srtp/index.ts";
import { packetNumber, rtpPacket, toHex } from "./support.ts";

/** RFC 4568 §4.1 and §6.1. */
const KEY = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

test("RFC 4568's own line gives 16 bytes of key, 14 of salt and an MKI of 4", () => {
  const crypto = parseSdes(`a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^20|1:32`);

  expect(crypto).toMatchObject({ tag: 1, suite: "AES_CM_128_HMAC_SHA1_80" });
  expect([crypto.key.length, crypto.salt.length]).toEqual([16, 14]);
  expect(toHex(crypto.mki ?? "none")).toBe(`${"00".repeat(31)}01`);
});

test("a line of each of the 4 suites comes back as it was written", () => {
  for (const suite of SRTP_SUITES) {
    const crypto = createSdes(7, suite);
    expect(parseSdes(formatSdes(crypto))).toEqual(crypto);
    const withMki = { ...crypto, mki: Buffer.from("00ff01", "hex") };
    expect(parseSdes(formatSdes(withMki))).toEqual(withMki);
  }
});

test("2 ends that exchanged lines understand each other in both directions", () => {
  const offer = createSdes(1, "AEAD_AES_128_GCM");
  const chosen = chooseSdes([formatSdes(offer)]);
  const answer = createSdes(chosen.tag, chosen.suite);
  const caller = createSrtpSession({ remote: parseSdes(formatSdes(answer)), local: offer });
  const callee = createSrtpSession({ remote: chosen, local: answer });

  const heard = callee.receiver.unprotectRtp(caller.sender?.protectRtp(rtpPacket(5)) ?? new Uint8Array(0));
  const report = Uint8Array.of(0x80, 201, 0, 1, 0, 0, 0, 9);
  const feedback = caller.receiver.unprotectRtcp(callee.sender?.protectRtcp(report) ?? new Uint8Array(0));

  expect(packetNumber(heard)).toBe(5);
  expect(feedback).toEqual(report);
});

test("of 4 lines the first one that we speak is chosen, in the offerer's order", () => {
  const lines = [
    `1 F8_128_HMAC_SHA1_80 inline:${KEY}`,
    `2 AES_CM_128_HMAC_SHA1_80 inline:${KEY} UNENCRYPTED_SRTP`,
    `3 AES_CM_128_HMAC_SHA1_32 inline:${KEY} WSH=128 -later=1`,
    `4 AES_CM_128_HMAC_SHA1_80 inline:${KEY}`,
  ];

  expect(chooseSdes(lines)).toMatchObject({ tag: 3, suite: "AES_CM_128_HMAC_SHA1_32" });
});

test("an offer without a usable line is refused with the reason for each of its 2 lines", () => {
  const lines = [`1 F8_128_HMAC_SHA1_80 inline:${KEY}`, "2 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ="];

  expect(() => chooseSdes(lines)).toThrow(
    /F8_128_HMAC_SHA1_80.*must be 30 bytes \(key and salt\) in base64, got 5 bytes/,
  );
  expect(() => chooseSdes([])).toThrow("no usable crypto line: there is none");
});

test.each([
  ["no key", "1 AES_CM_128_HMAC_SHA1_80", "protocol"],
  ["a tag of letters", `x AES_CM_128_HMAC_SHA1_80 inline:${KEY}`, "protocol"],
  ["a tag of 10 digits", `1234567890 AES_CM_128_HMAC_SHA1_80 inline:${KEY}`, "protocol"],
  ["no base64", `1 AES_CM_128_HMAC_SHA1_80 inline:***${KEY.slice(3)}`, "protocol"],
  ["a key that is too long", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}AAAA`, "protocol"],
  ["a lifetime of letters", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|long`, "protocol"],
  ["an MKI before the lifetime", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|1:4|2^20`, "protocol"],
  ["an MKI of 0 bytes", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|1:0`, "protocol"],
  ["an MKI that does not fit its bytes", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|256:1`, "protocol"],
  ["an MKI of 129 bytes", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|1:129`, "protocol"],
  ["4 parts of a key", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^20|1:4|x`, "protocol"],
  ["2 keys", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^20|1:4;inline:${KEY}|2^20|2:4`, "unavailable"],
  ["an index-dependent key", `1 AES_CM_128_HMAC_SHA1_80 inline:${KEY} KDR=1`, "unavailable"],
  ["2,000 characters", `1 AES_CM_128_HMAC_SHA1_80 inline:${"A".repeat(2000)}`, "protocol"],
])("a line with %s is refused", (_what, line, code) => {
  expect(() => parseSdes(line)).toThrow(expect.objectContaining({ code }));
});

test("a message of 1 refused key does not repeat it", () => {
  const secret = "c2VjcmV0c2VjcmV0";

  for (const line of [`1 AES_CM_128_HMAC_SHA1_80 inline:${secret}`, `1 UNKNOWN inline:${secret}`]) {
    expect(() => parseSdes(line)).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining(secret) }),
    );
  }
});

test("an inline key is 28 bytes for 128-bit GCM, with or without its prefix", () => {
  const inline = Buffer.alloc(28, 3).toString("base64");

  expect(parseInlineKey("AEAD_AES_128_GCM", inline)).toEqual(
    parseInlineKey("AEAD_AES_128_GCM", `inline:${inline}`),
  );
  expect(parseInlineKey("AEAD_AES_128_GCM", inline).salt).toHaveLength(12);
});
