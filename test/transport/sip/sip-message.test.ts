/** SIP as bytes: what is read, what is refused and why, and that what is written reads the same. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  asUtf8,
  headerOf,
  headersOf,
  MAX_BODY_BYTES,
  MAX_HEAD_BYTES,
  MAX_HEADERS,
  parseSip,
  type SipMessage,
  serializeSip,
} from "../../../src/transport/sip/sip-message.ts";
import { readRequest } from "../../../src/transport/sip/sip-request.ts";
import { message } from "./messages.ts";

const parse = (text: string) => parseSip(Buffer.from(text, "latin1"));

test("9 compact names and any case read as the long names, with folded lines joined", () => {
  const parsed = parse(
    message(
      "OPTIONS sip:a@b SIP/2.0",
      [
        "v: SIP/2.0/UDP h;branch=z9hG4bKx",
        "F:<sip:a@b>;tag=1",
        "t :  <sip:b@c>",
        "I: 1@h",
        "cSEQ: 1",
        "\tOPTIONS",
      ],
      ["m: <sip:a@h>", "c: application/sdp", "k: timer", "s: one", " two", "l: 3"],
      "v=0",
    ),
  );
  if (parsed.kind !== "request") return expect.unreachable(parsed.kind);
  expect(parsed.headers.map(({ name }) => name)).toEqual([
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Content-Type",
    "Supported",
    "Subject",
  ]);
  expect(headerOf(parsed, "cseq")).toBe("1 OPTIONS");
  expect(headerOf(parsed, "Subject")).toBe("one two");
  expect(Buffer.from(parsed.body).toString()).toBe("v=0");
});

test("line ends of LF alone, and 2 empty lines before the start line, are taken", () => {
  const parsed = parse("\r\n\r\nBYE sip:a@b SIP/2.0\nCall-ID: x\nContent-Length: 2\n\nhi and more");
  expect(parsed).toMatchObject({
    kind: "request",
    method: "BYE",
    headers: [{ name: "Call-ID", value: "x" }],
  });
  expect(parsed.kind === "request" && parsed.body.length).toBe(2);
});

test("a name of 4 UTF-8 bytes is echoed as it came, and read as what was meant", () => {
  const bytes = Buffer.from('OPTIONS sip:a@b SIP/2.0\r\nFrom: "\u00e0 \u00c5" <sip:a@b>\r\n\r\n', "utf8");
  const parsed = parseSip(bytes);
  if (parsed.kind !== "request") return expect.unreachable(parsed.kind);
  expect(asUtf8(headerOf(parsed, "From") ?? "")).toBe('"\u00e0 \u00c5" <sip:a@b>');
  expect(serializeSip(parsed).includes(Buffer.from("\u00e0 \u00c5", "utf8"))).toBe(true);
});

test.each([
  ["no empty line at its end", "OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n", "truncated", false],
  ["no start line", "hello\r\n\r\n", "start-line", false],
  ["2 spaces in its start line", "OPTIONS  sip:a@b SIP/2.0\r\n\r\n", "start-line", true],
  ["version 7.0", "OPTIONS sip:a@b SIP/7.0\r\n\r\n", "version", true],
  ["a line without a colon", "OPTIONS sip:a@b SIP/2.0\r\nVia\r\n\r\n", "header", true],
  ["a bare carriage return", "OPTIONS sip:a@b SIP/2.0\r\nVia: a\rFrom: b\r\n\r\n", "header", true],
  ["Content-Length -1", "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n", "content-length", true],
  ["2 Content-Lengths", "OPTIONS sip:a@b SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\nab", "content-length", true],
  ["a body that is 1 byte short", "OPTIONS sip:a@b SIP/2.0\r\nl: 3\r\n\r\nab", "truncated", true],
  ["a body over the limit", `OPTIONS sip:a@b SIP/2.0\r\nl: ${MAX_BODY_BYTES + 1}\r\n\r\n`, "too-large", true],
  [
    "too many header fields",
    `A sip:a@b SIP/2.0\r\n${"A: b\r\n".repeat(MAX_HEADERS + 1)}\r\n`,
    "too-large",
    true,
  ],
  [
    "a head over the limit",
    `A sip:a@b SIP/2.0\r\nA: ${"b".repeat(MAX_HEAD_BYTES)}\r\n\r\n`,
    "too-large",
    true,
  ],
  ["a start line over the limit", `A sip:${"b".repeat(MAX_HEAD_BYTES)} SIP/2.0\r\n\r\n`, "too-large", false],
  ["a head that does not end", `A sip:a@b SIP/2.0\r\n${"b".repeat(MAX_HEAD_BYTES)}`, "too-large", true],
] as const)("a message with %s is malformed, and says why", (_, text, fault, readable) => {
  const parsed = parse(text);
  expect(parsed).toMatchObject({ kind: "malformed", fault });
  expect(parsed.kind === "malformed" && parsed.request !== undefined).toBe(readable);
});

test("what is written stays in its line: 2 line ends in a value begin no header", () => {
  const bytes = serializeSip({
    kind: "response",
    status: 200,
    reason: "OK\r\nEvil: 1",
    headers: [{ name: "Warning", value: "a\r\n\r\nEvil: 2" }],
    body: new Uint8Array(0),
  });
  const parsed = parseSip(bytes);
  if (parsed.kind !== "response") return expect.unreachable(parsed.kind);
  expect(headersOf(parsed, "Evil")).toEqual([]);
  expect(parsed.headers).toHaveLength(1);
});

test("16 kB of blanks take less than 50 ms wherever they stand: no pattern is quadratic", () => {
  const blanks = " ".repeat(MAX_HEAD_BYTES - 200);
  const hostile = [
    `OPTIONS ${blanks}x\r\n\r\n`,
    `OPTIONS sip:a@b SIP/2.0\r\nA: b${blanks}c\r\n\r\n`,
    `OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP${blanks}!\r\n\r\n`,
    `OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: "${blanks.replaceAll(" ", '\\"')}\r\n\r\n`.slice(
      0,
      MAX_HEAD_BYTES,
    ),
    `OPTIONS sip:${"a".repeat(blanks.length)}! SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n`,
  ];
  const startedMs = performance.now();
  for (const text of hostile) {
    const parsed = parse(text);
    if (parsed.kind === "request") readRequest(parsed);
  }
  expect(performance.now() - startedMs).toBeLessThan(hostile.length * 50);
});

describe("properties", () => {
  const token = fc.stringMatching(/^[A-Za-z0-9\-.!%*_+`'~]{1,12}$/);
  // Any byte but line ends, without blanks at the ends: what parsing would take off.
  const value = fc
    .array(fc.integer({ min: 1, max: 255 }), { maxLength: 30 })
    .map((codes) => String.fromCharCode(...codes).replace(/[\r\n]/g, "."))
    .map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ""));
  const name = token.filter((text) => !/^(?:content-length|[a-z])$/i.test(text));
  const headers = fc.array(
    fc.oneof(
      fc.record({ name: fc.constantFrom("Via", "From", "To", "Call-ID", "CSeq", "Contact", "Route"), value }),
      fc.record({ name: name.map((text) => `X-${text}`), value }),
    ),
    { maxLength: 20 },
  );
  const body = fc.uint8Array({ maxLength: 200 });
  const request = fc.record({
    kind: fc.constant("request" as const),
    method: token,
    uri: fc.stringMatching(/^[!-~]{1,30}$/),
    headers,
    body,
  });
  const response = fc.record({
    kind: fc.constant("response" as const),
    status: fc.integer({ min: 100, max: 699 }),
    reason: value,
    headers,
    body,
  });

  test("any of 500 messages reads as it was written", () => {
    fc.assert(
      fc.property(
        fc.oneof<[fc.Arbitrary<SipMessage>, fc.Arbitrary<SipMessage>]>(request, response),
        (sent) => {
          const parsed = parseSip(serializeSip(sent));
          expect(
            parsed.kind === "malformed" ? parsed : { ...parsed, body: Uint8Array.from(parsed.body) },
          ).toEqual(sent);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("2,000 random or damaged messages give a value each, never an exception", () => {
    const whole = Buffer.from(
      message(
        "INVITE sip:a@b;x=y SIP/2.0",
        [
          "Via: SIP/2.0/UDP [::1]:5060;branch=z9hG4bKx;rport",
          'From: "A \\" B" <sip:a@b>;tag=1',
          "To: <tel:+49-1>",
        ],
        ["Call-ID: 1@h", "CSeq: 1 INVITE", "Contact: <sip:a@[::1]:99>", "Max-Forwards: 70"],
        "v=0\r\n",
      ),
    );
    const damaged = fc
      .array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 8 })
      .map((edits) => {
        const copy = Uint8Array.from(whole);
        for (const [at, byte] of edits) copy[at] = byte;
        return copy;
      });
    const cut = fc.nat(whole.length).map((length) => whole.subarray(0, length));
    const random = fc.uint8Array({ maxLength: 400 });
    fc.assert(
      fc.property(fc.oneof(damaged, cut, random), (bytes) => {
        const parsed = parseSip(bytes);
        const readable = parsed.kind === "malformed" ? parsed.request : parsed;
        if (readable?.kind === "request") readRequest(readable);
        if (readable !== undefined) expect(parseSip(serializeSip(readable)).kind).toBeTypeOf("string");
      }),
      { numRuns: 2_000 },
    );
  });
});
