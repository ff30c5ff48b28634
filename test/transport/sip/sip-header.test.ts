/** Header values: addresses, URIs, lists, Via, CSeq. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  formatNameAddr,
  parseCSeq,
  parseNameAddr,
  parseVia,
  splitList,
  stampVia,
} from "../../../src/transport/sip/sip-header.ts";
import { formatSipUri, parseUri } from "../../../src/transport/sip/sip-uri.ts";

test("7 kinds of addresses are read with name, user, host, port and tag", () => {
  const read = (text: string) => {
    const address = parseNameAddr(text);
    if (address === undefined) return undefined;
    const { displayName, uri, params } = address;
    return [displayName, uri.scheme, uri.user, uri.host, uri.port, params.get("tag")];
  };
  expect(read('"A \\"B\\" <C>" <sip:a%40b:secret@h.example:5070;lr>;tag=1')).toEqual([
    'A "B" <C>',
    "sip",
    "a@b",
    "h.example",
    5070,
    "1",
  ]);
  expect(read("Alice Smith <sips:alice@[2001:DB8::1]:99>; TAG = x")).toEqual([
    "Alice Smith",
    "sips",
    "alice",
    "2001:db8::1",
    99,
    "x",
  ]);
  expect(read("sip:alice@h;tag=y")).toEqual(["", "sip", "alice", "h", undefined, "y"]);
  expect(read("<tel:+1-201-555-0123;phone-context=x>;tag=z")).toEqual([
    "",
    "tel",
    "+1-201-555-0123",
    "",
    undefined,
    "z",
  ]);
  expect(read("caller<sip:caller@example.com>")).toEqual([
    "caller",
    "sip",
    "caller",
    "example.com",
    undefined,
    undefined,
  ]);
  expect(read("<sip:h.example>")).toEqual(["", "sip", "", "h.example", undefined, undefined]);
  expect(read("<nobodyKnowsThisScheme:totallyopaquecontent>")).toEqual([
    "",
    "nobodyknowsthisscheme",
    "",
    "",
    undefined,
    undefined,
  ]);
});

test.each([
  '"never ends <sip:a@b>',
  "<sip:a@b",
  "<sip:a b@c>",
  "<sip:a@b:0>",
  "<sip:a@b:65536>",
  "<sip:@>",
  "<sip:a@[::1>",
  "",
])("%s is no address", (text) => {
  expect(parseNameAddr(text)).toBeUndefined();
});

test("a list of 3 in 2 lines splits at its commas, not at those in quotes and brackets", () => {
  expect(splitList(['"a, b" <sip:a,x@h>, <sip:b@h>', "sip:c@h"])).toEqual([
    '"a, b" <sip:a,x@h>',
    "<sip:b@h>",
    "sip:c@h",
  ]);
  expect(splitList(['"a, b'])).toBeUndefined();
});

test("a Via is told where it came from: received if it says otherwise, rport if it asks (RFC 3581), 4 cases", () => {
  const stamp = (text: string, host: string): string => {
    const via = parseVia(text);
    return via === undefined ? "unreadable" : stampVia(text, via, { host, port: 4444 });
  };
  expect(stamp("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx", "10.0.0.1")).toBe(
    "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx",
  );
  expect(stamp("SIP/2.0/UDP pc.example;branch=z9hG4bKx", "192.0.2.9")).toBe(
    "SIP/2.0/UDP pc.example;branch=z9hG4bKx;received=192.0.2.9",
  );
  expect(stamp("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx", "192.0.2.9")).toBe(
    "SIP/2.0/UDP 10.0.0.1;rport=4444;branch=z9hG4bKx;received=192.0.2.9",
  );
  expect(stamp("SIP / 2.0 / TCP [2001:db8::2] : 99 ; received=6.6.6.6", "2001:db8::2")).toBe(
    "SIP / 2.0 / TCP [2001:db8::2] : 99",
  );
});

test("CSeq has at most 31 bits and 1 method", () => {
  expect(parseCSeq("0009   INVITE")).toEqual({ number: 9, method: "INVITE" });
  expect(parseCSeq("2147483647 BYE")?.number).toBe(2_147_483_647);
  for (const text of ["2147483648 BYE", "36893488147419103232 REGISTER", "-1 BYE", "1", "BYE", "1 BYE x"]) {
    expect(parseCSeq(text), text).toBeUndefined();
  }
});

test("any of 500 names and users comes back out of an address as it went in", () => {
  const printable = fc
    .string({ unit: "grapheme", maxLength: 20 })
    .map((text) => text.replace(/\p{C}/gu, "").trim());
  fc.assert(
    fc.property(
      printable,
      printable,
      fc.constantFrom("192.0.2.1", "2001:db8::1", "h.example"),
      fc.integer({ min: 1, max: 65_535 }),
      (displayName, user, host, port) => {
        const uri = formatSipUri("sip", user, host, port, { transport: "tcp", lr: "" });
        const address = parseNameAddr(formatNameAddr(displayName, uri, { tag: "t1" }));
        expect(address?.displayName).toBe(displayName);
        expect(address?.uri).toMatchObject({ scheme: "sip", user, host, port });
        expect(address?.uri.params).toEqual(
          new Map([
            ["transport", "tcp"],
            ["lr", ""],
          ]),
        );
        expect(address?.params.get("tag")).toBe("t1");
      },
    ),
    { numRuns: 500 },
  );
});

test("1,000 random texts are an address, a Via, a URI or nothing, never an exception", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii", maxLength: 60 }), (text) => {
      parseNameAddr(text);
      parseVia(text);
      parseUri(text);
      splitList([text]);
    }),
    { numRuns: 1_000 },
  );
});
