import { expect, test } from "vitest";
import { ReplayWindow, SRTP_SUITES, SrtpReceiver, SrtpSender } from "../../../src/transport/srtp/index.ts";
import { masterKey, packetNumber, rtpPacket } from "./support.ts";

test.each(SRTP_SUITES)("%s: 200,000 packets over 3 rollovers pass, each once", (suite) => {
  const sender = new SrtpSender(masterKey(suite));
  const receiver = new SrtpReceiver(masterKey(suite));
  let passed = 0;

  for (let n = 65_000; n < 265_000; n += 50) {
    const packet = sender.protectRtp(rtpPacket(n));
    if (packetNumber(receiver.unprotectRtp(packet.slice())) === n) passed++;
    expect(receiver.unprotectRtp(packet)).toBe("replayed");
  }

  expect(passed).toBe(4_000);
  expect(receiver.stats).toMatchObject({ rtp: 4_000, rejected: { replayed: 4_000, "not-authentic": 0 } });
});

test("a packet that is 1,000 late passes over the rollover, one that is 1,100 late is too old", () => {
  const sender = new SrtpSender(masterKey("AEAD_AES_128_GCM"));
  const receiver = new SrtpReceiver(masterKey("AEAD_AES_128_GCM"));
  const packets = Array.from({ length: 1_200 }, (_, i) => sender.protectRtp(rtpPacket(65_000 + i)));
  const unprotect = (i: number) => packetNumber(receiver.unprotectRtp(packets[i] ?? new Uint8Array(0)));

  expect(unprotect(0)).toBe(65_000);
  expect(unprotect(1_199)).toBe(66_199);
  expect(unprotect(199)).toBe(65_199);
  expect(unprotect(99)).toBe("too-old");
});

test("a receiver that joins after 2 rollovers is told so, and reads on", () => {
  const sender = new SrtpSender(masterKey("AES_CM_128_HMAC_SHA1_80"));
  for (let n = 0; n <= 140_000; n += 20_000) sender.protectRtp(rtpPacket(n));
  const packet = sender.protectRtp(rtpPacket(140_001));
  const early = new SrtpReceiver(masterKey("AES_CM_128_HMAC_SHA1_80"));
  const told = new SrtpReceiver(masterKey("AES_CM_128_HMAC_SHA1_80"));

  told.resume(0x1234_5678, 140_000);

  expect(early.unprotectRtp(packet)).toBe("not-authentic");
  expect(packetNumber(told.unprotectRtp(packet))).toBe(140_001);
});

test("of 3 SSRCs under a limit of 2 the third is refused, and the first two go on", () => {
  const sender = new SrtpSender(masterKey("AEAD_AES_128_GCM"));
  const receiver = new SrtpReceiver(masterKey("AEAD_AES_128_GCM"), { maxSources: 2 });
  const send = (n: number, ssrc: number) =>
    packetNumber(receiver.unprotectRtp(sender.protectRtp(rtpPacket(n, ssrc))));

  expect([send(1, 1), send(2, 2), send(3, 3), send(4, 1)]).toEqual([1, 2, "too-many-sources", 4]);
  expect(receiver.sources).toBe(2);
});

test("1,000 forgeries of as many SSRCs get no context", () => {
  const forger = new SrtpSender(masterKey("AEAD_AES_128_GCM", 1));
  const receiver = new SrtpReceiver(masterKey("AEAD_AES_128_GCM"), { maxSources: 2 });

  for (let ssrc = 0; ssrc < 1_000; ssrc++) receiver.unprotectRtp(forger.protectRtp(rtpPacket(1, ssrc)));

  expect(receiver.sources).toBe(0);
  expect(receiver.stats.rejected["not-authentic"]).toBe(1_000);
});

test("a forgery 30,000 ahead does not move the window", () => {
  const sender = new SrtpSender(masterKey("AEAD_AES_128_GCM"));
  const forger = new SrtpSender(masterKey("AEAD_AES_128_GCM", 1));
  const receiver = new SrtpReceiver(masterKey("AEAD_AES_128_GCM"));
  receiver.unprotectRtp(sender.protectRtp(rtpPacket(1)));

  receiver.unprotectRtp(forger.protectRtp(rtpPacket(30_001)));

  expect(packetNumber(receiver.unprotectRtp(sender.protectRtp(rtpPacket(2))))).toBe(2);
});

test("a packet of every length from 0 to 60 bytes that is none is too short or not authentic", () => {
  for (const suite of SRTP_SUITES) {
    const receiver = new SrtpReceiver(masterKey(suite));
    for (let bytes = 0; bytes <= 60; bytes++) {
      // CSRCs, an extension and padding, all announced.
      const packet = new Uint8Array(bytes).fill(0xbf);
      expect(["too-short", "not-authentic"]).toContain(receiver.unprotectRtp(packet));
      expect(["too-short", "not-authentic"]).toContain(receiver.unprotectRtcp(packet));
    }
  }
});

test("SRTCP passes once, with its index counted from 0 for each SSRC", () => {
  for (const suite of SRTP_SUITES) {
    const sender = new SrtpSender(masterKey(suite));
    const receiver = new SrtpReceiver(masterKey(suite));
    const report = Uint8Array.of(0x80, 201, 0, 1, 0, 0, 0, 9);
    const first = sender.protectRtcp(report);
    const second = sender.protectRtcp(report);

    expect(receiver.unprotectRtcp(second.slice())).toEqual(report);
    expect(receiver.unprotectRtcp(first.slice())).toEqual(report);
    expect(receiver.unprotectRtcp(first)).toBe("replayed");
    expect(receiver.stats).toMatchObject({ rtcp: 2, rejected: { replayed: 1 } });
  }
});

test("a sender protects sequence number 7 once", () => {
  const sender = new SrtpSender(masterKey("AEAD_AES_128_GCM"));
  sender.protectRtp(rtpPacket(7));

  expect(() => sender.protectRtp(rtpPacket(7))).toThrow(expect.objectContaining({ code: "conflict" }));
  expect(() => sender.protectRtp(new Uint8Array(11))).toThrow(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});

test("a key of 15 bytes is refused with both sizes, and without the key", () => {
  const key = { ...masterKey("AES_CM_128_HMAC_SHA1_80"), key: new Uint8Array(15) };

  expect(() => new SrtpReceiver(key)).toThrow(
    "AES_CM_128_HMAC_SHA1_80 needs a key of 16 bytes and a salt of 14, got 15 and 14",
  );
});

test("a window of 64 remembers 64 packets", () => {
  const window = new ReplayWindow(64);
  window.add(100);

  expect([window.check(100), window.check(37), window.check(36), window.check(101)]).toEqual([
    "replayed",
    "fresh",
    "too-old",
    "fresh",
  ]);
  window.add(164);
  expect(window.check(101)).toBe("fresh");
  expect(window.check(100)).toBe("too-old");
});
