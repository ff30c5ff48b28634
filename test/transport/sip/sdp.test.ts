/** Offer and answer: what is taken, what is refused and how, and that another reader understands what we write. */
import { createRequire } from "node:module";
import fc from "fast-check";
import { expect, test } from "vitest";
import { OPUS, PCMU } from "../../../src/core/rtp.ts";
import {
  type RemoteAudio,
  readRemoteAudio,
  writeAnswer,
  writeOffer,
} from "../../../src/transport/sip/sdp.ts";
import { offer } from "./messages.ts";

interface Oracle {
  parse(sdp: string): {
    origin: { sessionVersion: number; address: string; ipVer: number };
    media: {
      type: string;
      port: number;
      protocol: string;
      payloads: string | number;
      direction?: string;
      ptime?: number;
      rtcpMux?: string;
      rtp: { payload: number; codec: string; rate: number; encoding?: number }[];
      fmtp: { payload: number; config: string }[];
    }[];
  };
}
/** An independent reader. It is CommonJS without types. */
const oracle = createRequire(import.meta.url)("sdp-transform") as Oracle;

const LOCAL = { host: "127.0.0.1", port: 5004, sessionId: 7, version: 1, crypto: [] };

function taken(sdp: string, family: "IP4" | "IP6" = "IP4"): RemoteAudio {
  const remote = readRemoteAudio(sdp, family);
  return "kind" in remote ? expect.unreachable(remote.detail) : remote;
}

function refused(sdp: string, family: "IP4" | "IP6" = "IP4") {
  const remote = readRemoteAudio(sdp, family);
  return "kind" in remote
    ? { status: remote.status, warning: remote.warningCode, why: remote.detail }
    : remote;
}

test("an offer of 5 codecs is answered in its order with its numbers, receive only, Opus asked for 16 kHz", () => {
  const sdp = offer({
    media: "RTP/AVP 96 0 8 13 101 18",
    extra: ["a=rtpmap:96 opus/48000/2", "a=fmtp:96 useinbandfec=1", "a=ptime:30", "a=sendrecv", "a=rtcp-mux"],
  });
  const answer = oracle.parse(writeAnswer(taken(sdp), LOCAL));
  expect(answer.origin).toMatchObject({ sessionVersion: 1, address: "127.0.0.1", ipVer: 4 });
  const [audio] = answer.media;
  expect(audio).toMatchObject({
    type: "audio",
    port: 5004,
    protocol: "RTP/AVP",
    payloads: "96 0 8 13 101",
    direction: "recvonly",
    ptime: 30,
    rtcpMux: "rtcp-mux",
  });
  expect(audio?.rtp.map(({ codec, rate, encoding }) => [codec, rate, encoding])).toEqual([
    ["opus", 48_000, 2],
    ["PCMU", 8_000, undefined],
    ["PCMA", 8_000, undefined],
    ["CN", 8_000, undefined],
    ["telephone-event", 8_000, undefined],
  ]);
  expect(audio?.fmtp[0]).toEqual({ payload: 96, config: "maxplaybackrate=16000;stereo=0;useinbandfec=1" });
});

test("of 4 sections the first audio that can be taken is, the others get port 0 in their places", () => {
  const sdp = `${offer({ media: "RTP/SAVP 0" })}m=video 9 RTP/AVP 31\r\nm=audio 7000 RTP/AVP 8\r\na=mid:x\r\nm=audio 7002 RTP/AVP 0\r\n`;
  const remote = taken(sdp);
  expect(remote).toMatchObject({ port: 7000, frame: { audio: 2, mid: "x" } });
  const { media } = oracle.parse(writeAnswer(remote, LOCAL));
  expect(media.map(({ type, port }) => [type, port])).toEqual([
    ["audio", 0],
    ["video", 0],
    ["audio", 5004],
    ["audio", 0],
  ]);
});

test.each([
  ["sendrecv", [], "recvonly"],
  ["sendonly", ["a=sendonly"], "recvonly"],
  ["recvonly", ["a=recvonly"], "inactive"],
  ["inactive", ["a=inactive"], "inactive"],
])("an offer of %s with %j is answered %s (RFC 3264 §6.1)", (direction, extra, answered) => {
  const remote = taken(offer({ extra }));
  expect(remote.direction).toBe(direction);
  expect(oracle.parse(writeAnswer(remote, LOCAL)).media[0]?.direction).toBe(answered);
});

test("c=0.0.0.0 is a hold of RFC 2543, 1 direction for the session counts for its sections", () => {
  expect(taken(offer({ host: "0.0.0.0" })).blackHole).toBe(true);
  expect(taken(offer().replace("t=0 0", "t=0 0\r\na=inactive")).direction).toBe("inactive");
});

test("IPv6 is taken where it is served: 1 address each way", () => {
  const remote = taken(offer({ host: "2001:db8::7" }), "IP6");
  expect(remote.host).toBe("2001:db8::7");
  const answer = oracle.parse(writeAnswer(remote, { ...LOCAL, host: "::1" }));
  expect(answer.origin).toMatchObject({ address: "::1", ipVer: 6 });
});

test.each([
  ["no SDP", "hello", 400, undefined, /v=0/],
  ["a broken m= line", "v=0\r\nm=audio x\r\n", 400, undefined, /m= line/],
  ["a port of 65536", "v=0\r\nc=IN IP4 h\r\nm=audio 65536 RTP/AVP 0\r\n", 400, undefined, /m= line/],
  ["no c= line", "v=0\r\nm=audio 1 RTP/AVP 0\r\n", 400, undefined, /c= line/],
  ["33 sections", `v=0\r\nc=IN IP4 h\r\n${"m=audio 1 RTP/AVP 0\r\n".repeat(33)}`, 400, undefined, /32/],
  ["no audio", "v=0\r\nc=IN IP4 h\r\nm=video 1 RTP/AVP 31\r\n", 488, 304, /no audio/],
  ["audio with port 0", offer({ port: 0 }), 488, 304, /no audio/],
  ["SRTP without a key", offer({ media: "RTP/SAVP 0" }), 488, 302, /no usable crypto line: there is none/],
  ["DTLS only", offer({ media: "UDP/TLS/RTP/SAVPF 111" }), 488, 302, /RTP\/AVP and RTP\/SAVP are taken/],
  ["G.729 only", offer({ media: "RTP/AVP 18 101" }), 488, 305, /no common codec/],
  [
    "Opus at a wrong rate",
    offer({ media: "RTP/AVP 96", extra: ["a=rtpmap:96 opus/16000"] }),
    488,
    305,
    /no common/,
  ],
  ["IPv6 to an IPv4 server", offer({ host: "::1" }), 488, 301, /IP4 only/],
])("%s is refused: %#", (_, sdp, status, warning, why) => {
  expect(refused(sdp)).toEqual({ status, warning, why: expect.stringMatching(why) });
});

test("our offer names 5 codecs, and reads as an offer that we would take", () => {
  const ours = writeOffer(LOCAL);
  expect(oracle.parse(ours).media[0]).toMatchObject({ payloads: "111 0 8 13 101", direction: "recvonly" });
  expect([...taken(ours).codecs.values()].slice(0, 2)).toEqual([OPUS, PCMU]);
});

test("1,000 random or damaged texts are an offer or a refusal of 400 or 488, never an exception", () => {
  const whole = offer({ extra: ["a=rtpmap:96 opus/48000/2", "a=ptime:20"] });
  const damaged = fc
    .array(fc.tuple(fc.nat(whole.length - 1), fc.string({ unit: "binary-ascii", maxLength: 3 })), {
      maxLength: 5,
    })
    .map((edits) => edits.reduce((text, [at, put]) => text.slice(0, at) + put + text.slice(at + 1), whole));
  fc.assert(
    fc.property(fc.oneof(damaged, fc.string({ unit: "binary-ascii" })), (text) => {
      const remote = readRemoteAudio(text, "IP4");
      if ("kind" in remote) expect([400, 488]).toContain(remote.status);
      else expect(oracle.parse(writeAnswer(remote, LOCAL)).media).toHaveLength(remote.frame.sections.length);
    }),
    { numRuns: 1_000 },
  );
});
