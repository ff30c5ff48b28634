/** Our SRTP against werift's, both ways: what one protects, the other opens. */
import { expect, test } from "vitest";
import { RtpHeader, SrtcpSession, SrtpSession } from "werift";
import { SrtpReceiver, SrtpSender, srtpSuiteInfo } from "../../../src/transport/srtp/index.ts";
import { masterKey, rtpPacket } from "./support.ts";

/** Those that werift has. */
const SUITES = ["AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"] as const;

function weriftConfig(suite: (typeof SUITES)[number]) {
  const ours = masterKey(suite);
  const key = Buffer.from(ours.key);
  const salt = Buffer.from(ours.salt);
  const profile: 1 | 7 = srtpSuiteInfo(suite).dtlsProfile === 7 ? 7 : 1;
  return {
    keys: { localMasterKey: key, localMasterSalt: salt, remoteMasterKey: key, remoteMasterSalt: salt },
    profile,
  };
}

test.each(SUITES)("%s: 3,000 of werift's RTP packets over a rollover open here", (suite) => {
  const werift = new SrtpSession(weriftConfig(suite));
  const receiver = new SrtpReceiver(masterKey(suite));

  for (let n = 64_000; n < 67_000; n++) {
    const plain = Buffer.from(rtpPacket(n));
    const sealed = werift.encrypt(plain.subarray(12), RtpHeader.deSerialize(plain));
    expect(receiver.unprotectRtp(sealed)).toEqual(plain);
  }
});

test.each(SUITES)("%s: 3,000 of our RTP packets over a rollover open in werift", (suite) => {
  const werift = new SrtpSession(weriftConfig(suite));
  const sender = new SrtpSender(masterKey(suite));

  for (let n = 64_000; n < 67_000; n++) {
    const plain = Buffer.from(rtpPacket(n));
    expect(werift.decrypt(Buffer.from(sender.protectRtp(plain)))).toEqual(plain);
  }
});

test.each(SUITES)("%s: 100 RTCP packets pass in both directions", (suite) => {
  const werift = new SrtcpSession(weriftConfig(suite));
  const sender = new SrtpSender(masterKey(suite));
  const receiver = new SrtpReceiver(masterKey(suite));

  for (let words = 1; words <= 100; words++) {
    const plain = Buffer.alloc(4 * (words + 1), words);
    plain.set([0x80, 201, 0, words, 0, 0, 0, 9]);
    expect(receiver.unprotectRtcp(werift.encrypt(plain))).toEqual(plain);
    expect(werift.decrypt(Buffer.from(sender.protectRtcp(plain)))).toEqual(plain);
  }
});
