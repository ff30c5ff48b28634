import { describe, expect, test } from "vitest";
import { l16, OPUS, PCMA, PCMU } from "../../src/core/rtp.ts";
import { codecOfRtpmap } from "../../src/transport/rtpmap.ts";

describe("codecOfRtpmap", () => {
  test.each([
    ["opus/48000/2", OPUS],
    ["OPUS", OPUS],
    ["PCMU/8000", PCMU],
    ["pcma/8000/1", PCMA],
    ["L16/16000", l16(16_000)],
    ["l16/44100/2", l16(44_100, 2)],
  ])("reads %s as SDP has it", (name, codec) => {
    expect(codecOfRtpmap(name)).toEqual(codec);
  });

  test.each(["", "opus/16000", "G722/8000", "L16", "L16/4000", "L16/16000/9", "L16/400000"])(
    "refuses %j in words",
    (name) => {
      expect(() => codecOfRtpmap(name)).toThrow(`got ${JSON.stringify(name)}`);
    },
  );
});
