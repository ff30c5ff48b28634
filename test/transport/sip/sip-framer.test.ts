/** A byte stream cut into messages, however it arrives. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type SipFrame, SipFramer } from "../../../src/transport/sip/sip-framer.ts";
import { MAX_BODY_BYTES, MAX_HEAD_BYTES } from "../../../src/transport/sip/sip-message.ts";
import { message } from "./messages.ts";

const text = (frames: readonly SipFrame[]): string[] =>
  frames.map((frame) =>
    frame.kind === "message" ? Buffer.from(frame.bytes).toString("latin1") : frame.kind,
  );

test("3 messages come out whole, in whatever pieces 200 streams bring them", () => {
  const whole = [
    message("OPTIONS sip:a@b SIP/2.0", ["Via: x"]),
    message("INVITE sip:a@b SIP/2.0", ["l : 7"], "v=0\r\n\r\n"),
    message("BYE sip:a@b SIP/2.0", ["Content-Length:", "  5"], "\r\n\r\nx"),
  ];
  const stream = Buffer.from(whole.join(""), "latin1");
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 40 }), (cuts) => {
      const edges = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
      const framer = new SipFramer();
      const frames = edges.flatMap((end, i) => framer.push(stream.subarray(edges[i - 1] ?? 0, end)));
      expect(text(frames)).toEqual(whole);
      expect(framer.pending).toBe(0);
    }),
    { numRuns: 200 },
  );
});

test("2 line ends are a ping, in 1 piece or 2; 1 line end is nothing", () => {
  const framer = new SipFramer();
  expect(text(framer.push(Buffer.from("\r\n\r\n")))).toEqual(["ping"]);
  expect(text(framer.push(Buffer.from("\r\n")))).toEqual([]);
  expect(text(framer.push(Buffer.from("\r\n")))).toEqual(["ping"]);
  const bye = message("BYE sip:a@b SIP/2.0");
  expect(text(framer.push(Buffer.from(`\r\n${bye}`)))).toEqual([bye]);
});

test.each([
  ["a Content-Length of words", "BYE sip:a@b SIP/2.0\r\nContent-Length: many\r\n\r\n", ["message", "lost"]],
  ["a body over the limit", `BYE sip:a@b SIP/2.0\r\nl: ${MAX_BODY_BYTES + 1}\r\n\r\n`, ["message", "lost"]],
  ["a head that never ends", "x".repeat(MAX_HEAD_BYTES + 1), ["message", "lost"]],
])("%s loses the stream: %s bytes more are ignored", (_, bytes, kinds) => {
  const framer = new SipFramer();
  expect(framer.push(Buffer.from(bytes)).map(({ kind }) => kind)).toEqual(kinds);
  expect(framer.push(Buffer.from(message("BYE sip:a@b SIP/2.0")))).toEqual([]);
  expect(framer.pending).toBe(0);
});

test("500 random streams give frames, never an exception, and hold at most one message", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }), (chunks) => {
      const framer = new SipFramer();
      for (const chunk of chunks) framer.push(chunk);
      expect(framer.pending).toBeLessThanOrEqual(MAX_HEAD_BYTES + MAX_BODY_BYTES + 300);
    }),
    { numRuns: 500 },
  );
});
