import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { writeWhipAnswer } from "../../../src/transport/werift/whip-answer.ts";
import {
  MAX_CANDIDATES,
  parseIceFragment,
  parseWhipOffer,
  type WhipOffer,
} from "../../../src/transport/werift/whip-offer.ts";

/** What Chromium 156 offers for addTransceiver(audio, sendonly), shortened. */
const CHROMIUM = `v=0
o=- 289864636618038666 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS 581b7b48
m=audio 34535 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 127.0.0.1
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:2970940324 1 udp 2122194687 127.0.0.1 34535 typ host generation 0 network-id 3
a=candidate:2970940325 1 udp 2122194687 6b1d2c3e-1.local 34536 typ host generation 0 network-id 3
a=candidate:1 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active
a=ice-ufrag:lONb
a=ice-pwd:RdFuxixfVaqVOrR+JYwYgraz
a=ice-options:trickle
a=fingerprint:sha-256 85:D3:00:3A:78:E6:34:8D:BF:4D:C2:1F:FF:66:54:D2:C4:AC:D0:44:0A:D9:F4:75:3A:EF:54:E8:75:9B:9A:6B
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:581b7b48 55294d0f
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=ssrc:888908179 cname:RT/TcY7qzL1hjoDP
a=ssrc:888908179 msid:581b7b48 55294d0f
`;

const VIDEO = `m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
a=mid:v
a=sendonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
`;

const LOCAL = {
  ufrag: "abcd",
  pwd: "0123456789012345678901",
  fingerprints: ["sha-256 00:11"],
  setup: "active",
  candidates: ["candidate:1 1 udp 1 127.0.0.1 5000 typ host"],
} as const;

const answerTo = (offer: WhipOffer): string[] => writeWhipAnswer(offer, LOCAL, 7).trimEnd().split("\r\n");
const mLines = (lines: readonly string[]): string[] => lines.filter((line) => line.startsWith("m="));

describe("parseWhipOffer", () => {
  it("takes RED and Opus of Chromium's 8 formats, its audio level id 1 and 1 of 3 candidates", () => {
    const offer = parseWhipOffer(CHROMIUM);

    expect(offer.codecs.map(({ payloadType, codec }) => [payloadType, codec.mimeType])).toEqual([
      [63, "audio/red"],
      [111, "audio/opus"],
    ]);
    expect(offer.audioLevelId).toBe(1);
    expect(offer.reducedSdp.match(/a=candidate.*/g)).toEqual([
      "a=candidate:2970940324 1 udp 2122194687 127.0.0.1 34535 typ host",
    ]);
    expect(offer.reducedSdp).toContain("a=ssrc:888908179 cname:RT/TcY7qzL1hjoDP\r\n");
  });

  it("answers 3 m-lines with 3, in order: video and data have port 0 and are not in the group", () => {
    const offer = parseWhipOffer(
      `${CHROMIUM.replace("BUNDLE 0", "BUNDLE 0 v d")}${VIDEO}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d\n`,
    );
    const answer = answerTo(offer);

    expect(mLines(answer)).toEqual([
      "m=audio 9 UDP/TLS/RTP/SAVPF 63 111",
      "m=video 0 UDP/TLS/RTP/SAVPF 96",
      "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
    ]);
    expect(answer).toContain("a=group:BUNDLE 0");
    expect(answer.filter((line) => line === "a=inactive")).toHaveLength(2);
    expect(mLines(offer.reducedSdp.split("\r\n"))).toHaveLength(1);
  });

  it("gives bundle-only audio the transport of the 1st m-line, video, which then idles instead of being rejected", () => {
    const transport = CHROMIUM.match(/^a=(ice-ufrag|ice-pwd|fingerprint|setup).*\n/gm) ?? [];
    const bare = transport.reduce((sdp, line) => sdp.replace(line, ""), CHROMIUM);
    const [session, audio] = [bare.slice(0, bare.indexOf("m=")), bare.slice(bare.indexOf("m="))];
    const offer = parseWhipOffer(
      session.replace("BUNDLE 0", "BUNDLE v 0") +
        VIDEO +
        transport.join("") +
        audio.replace("m=audio 34535", "m=audio 0").replace("a=mid:0", "a=mid:0\na=bundle-only"),
    );

    expect(offer.iceUfrag).toBe("lONb");
    expect(offer.audio).toBe(1);
    const answer = answerTo(offer);
    expect(mLines(answer)).toEqual(["m=video 9 UDP/TLS/RTP/SAVPF 96", "m=audio 9 UDP/TLS/RTP/SAVPF 63 111"]);
    expect(answer).toContain("a=group:BUNDLE v 0");
    expect(answer.slice(0, answer.indexOf("m=audio 9 UDP/TLS/RTP/SAVPF 63 111"))).toEqual(
      expect.arrayContaining(["a=inactive", "a=rtpmap:96 VP8/90000", "a=ice-ufrag:abcd", "a=rtcp-mux"]),
    );
  });

  it.each([
    [
      "RED of another payload type",
      CHROMIUM.replace("a=fmtp:63 111/111", "a=fmtp:63 110/110"),
      ["audio/opus"],
    ],
    ["no Opus", CHROMIUM.replace("opus/48000/2", "opus-x/48000/2"), ["audio/PCMU"]],
    [
      "PCMA by its static number",
      CHROMIUM.replace(/m=audio.*/, "m=audio 9 UDP/TLS/RTP/SAVPF 8"),
      ["audio/PCMA"],
    ],
  ])("with %s takes 1 codec", (_, sdp, taken) => {
    expect(parseWhipOffer(sdp).codecs.map(({ codec }) => codec.mimeType)).toEqual(taken);
  });

  it("echoes NACK for payload type 111 only when it was offered, and rtcp-rsize likewise", () => {
    const plain = answerTo(parseWhipOffer(CHROMIUM.replace("a=rtcp-rsize\n", "")));
    const offered = answerTo(parseWhipOffer(CHROMIUM.replace("111 transport-cc", "111 nack")));

    expect(plain.filter((line) => /^a=rtcp-(fb|rsize)/.test(line))).toEqual([]);
    expect(offered.filter((line) => /^a=rtcp-(fb|rsize)/.test(line))).toEqual([
      "a=rtcp-rsize",
      "a=rtcp-fb:111 nack",
    ]);
  });

  it(`hands on ${MAX_CANDIDATES} of 200 candidates`, () => {
    const many = Array.from(
      { length: 200 },
      (_, i) => `a=candidate:${i} 1 udp 1 127.0.0.1 ${1000 + i} typ host\n`,
    ).join("");

    expect(parseWhipOffer(CHROMIUM + many).reducedSdp.match(/a=candidate/g)).toHaveLength(MAX_CANDIDATES);
  });

  it("of 300 damaged offers, refuses each with a protocol error or answers every m-line", () => {
    const lines = `${CHROMIUM}${VIDEO}`.trimEnd().split("\n");
    const damage = fc.record({
      drop: fc.array(fc.nat(lines.length - 1), { maxLength: 4 }),
      swap: fc.option(fc.tuple(fc.nat(lines.length - 1), fc.nat(lines.length - 1))),
      cut: fc.option(fc.tuple(fc.nat(lines.length - 1), fc.nat(60))),
      junk: fc.option(fc.tuple(fc.nat(lines.length - 1), fc.string({ unit: "binary", maxLength: 40 }))),
    });

    fc.assert(
      fc.property(damage, ({ drop, swap, cut, junk }) => {
        const damaged = [...lines];
        if (swap !== null)
          [damaged[swap[0]], damaged[swap[1]]] = [damaged[swap[1]] ?? "", damaged[swap[0]] ?? ""];
        if (cut !== null) damaged[cut[0]] = damaged[cut[0]]?.slice(0, cut[1]) ?? "";
        if (junk !== null) damaged[junk[0]] += junk[1];
        const sdp = damaged.filter((_, index) => !drop.includes(index)).join("\r\n");
        try {
          const offer = parseWhipOffer(sdp);
          const whole = mLines(answerTo(offer)).length === offer.sections.length;
          return whole && !/[^\r]\n|\r[^\n]/.test(offer.reducedSdp);
        } catch (error) {
          return error instanceof TonetapError && error.code === "protocol";
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("parseIceFragment", () => {
  it("keeps the 1 usable candidate of 5", () => {
    const fragment = parseIceFragment(
      [
        "a=ice-ufrag:lONb",
        "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host",
        "a=candidate:2 2 udp 2122260223 192.0.2.1 61765 typ host",
        "a=candidate:3 1 udp 2122260223 localhost 61764 typ host",
        "a=candidate:4 1 udp 2122260223 192.0.2.1 70000 typ host",
        "a=candidate:5 1 udp 2122260223 192.0.2.1",
        "a=end-of-candidates",
      ].join("\r\n"),
    );

    expect(fragment).toEqual({
      ufrag: "lONb",
      pwd: undefined,
      candidates: ["candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host"],
    });
  });
});
