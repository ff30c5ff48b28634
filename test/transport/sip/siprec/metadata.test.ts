/** Reading recording metadata, multipart bodies and role rules: the RFCs' examples, and what hostile recorders send. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readMultipart } from "../../../../src/transport/sip/multipart.ts";
import { RecordingMetadata, readMetadata } from "../../../../src/transport/sip/siprec/recording-metadata.ts";
import { RoleRules } from "../../../../src/transport/sip/siprec/role-rules.ts";
import { readXml } from "../../../../src/transport/sip/siprec/xml-tree.ts";
import {
  ALICE,
  MIXED_TYPE,
  metadata,
  multipart,
  NAMESPACE,
  ORACLE,
  RFC_COMPLETE,
  RFC_HOLD,
  RFC_OFFER,
  RFC_RESUME,
  SESSION,
  TRANSFER,
} from "./documents.ts";

function learn(...documents: string[]): RecordingMetadata {
  const known = new RecordingMetadata();
  for (const xml of documents) {
    const read = readMetadata(xml);
    if ("kind" in read) expect.unreachable(read.detail);
    else expect(known.apply(read)).toBeUndefined();
  }
  return known;
}

const namesIn = (known: RecordingMetadata, label: string): string[] =>
  known.sendersOf(label).map(({ name }) => name);

const detailOf = (xml: string): string => {
  const read = readMetadata(xml);
  return "kind" in read ? `${read.status} ${read.detail}` : "taken";
};

describe("the metadata of RFC 7865", () => {
  test("its complete example has 2 people, of whom Alice is in streams 96 and 97, Bob in 98 and 99", () => {
    const known = learn(RFC_COMPLETE);
    expect(known.people.map(({ id, aor, name }) => [id, aor, name])).toEqual([
      [ALICE, "sip:alice@atlanta.com", "Alice"],
      ["zSfPoSvdSDCmU3A3TRDxAw==", "sip:bob@biloxi.com", "Bob"],
    ]);
    expect(["96", "97", "98", "99", "100"].map((label) => namesIn(known, label))).toEqual([
      ["Alice"],
      ["Alice"],
      ["Bob"],
      ["Bob"],
      [],
    ]);
    expect(known.sessionId).toBe(SESSION);
  });

  test("2 partial updates hold and resume Alice; Bob, who is not named or says the same, stays", () => {
    expect(namesIn(learn(RFC_COMPLETE, RFC_HOLD), "96")).toEqual([]);
    expect(namesIn(learn(RFC_COMPLETE, RFC_HOLD), "98")).toEqual(["Bob"]);
    expect(namesIn(learn(RFC_COMPLETE, RFC_HOLD, RFC_RESUME), "96")).toEqual(["Alice"]);
    expect(namesIn(learn(RFC_COMPLETE, RFC_HOLD, RFC_RESUME), "98")).toEqual(["Bob"]);
  });

  test("a transfer: 1 person is gone, 1 takes over the stream", () => {
    const known = learn(RFC_COMPLETE, TRANSFER);
    expect(known.people.map(({ name }) => name)).toEqual(["Alice", "Carol"]);
    expect(namesIn(known, "98")).toEqual(["Carol"]);
  });

  test("a second snapshot forgets all 2 people of the first", () => {
    expect(learn(RFC_COMPLETE, metadata([{ id: "dan", sends: ["1"] }])).people).toHaveLength(1);
  });

  test("the drafts' form of Oracle's SBC: 2 people, each in its stream, names without their quotes", () => {
    const known = learn(ORACLE);
    expect([namesIn(known, "96"), namesIn(known, "98")]).toEqual([["WIRELESS CALLER"], ["4075550277"]]);
    expect(known.sessionId).toBe("KaN/G7StRcxaeBcmQo4f5w==");
  });

  test("role and consent in our namespace: taken in 2 places, refused with 400 when they are misspelt", () => {
    const tag = (name: string, value: string) =>
      `<t:${name} xmlns:t="urn:tonetap:siprec:1">${value}</t:${name}>`;
    const person = (extra: string) => metadata([{ id: "dan", extra }]);
    const [dan] = learn(person(tag("role", "Customer") + tag("consent", "granted"))).people;
    expect([dan?.role, dan?.consent]).toEqual(["customer", "granted"]);
    const [eve] = learn(person(`<extensiondata>${tag("role", "agent")}</extensiondata>`)).people;
    expect(eve?.role).toBe("agent");
    expect(detailOf(person(tag("consent", "grnted")))).toMatch(/^400 consent in the metadata must be one of/);
    // A foreign element of that name says nothing.
    expect(learn(person("<role>agent</role>")).people[0]?.role).toBeUndefined();
  });
});

describe("XML that is not taken", () => {
  const laughs = [
    '<!DOCTYPE lolz [<!ENTITY lol "lol">',
    ...Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i} "${`&l${i - 1};`.repeat(10)}">`),
    `]><recording xmlns="${NAMESPACE}">&l8;</recording>`,
  ].join("");

  test.each([
    ["a billion laughs", laughs, /a DTD is not taken/],
    [
      "an external entity",
      `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>`,
      /a DTD is not taken/,
    ],
    ["an entity of nowhere", `<recording xmlns="${NAMESPACE}">&lol;</recording>`, /entity/],
    ["17 levels", `${"<a>".repeat(17)}${"</a>".repeat(17)}`, /more than 16 elements/],
    ["2,049 elements", `<a>${"<b/>".repeat(2_048)}</a>`, /more than 2048 elements/],
    ["an open element", `<recording xmlns="${NAMESPACE}">`, /unclosed tag/],
    ["2 roots", "<a/><b/>", /document/],
    ["an attribute twice", `<recording xmlns="${NAMESPACE}" a="1" a="2"/>`, /duplicate attribute/],
    ["nothing", "", /./],
    ["another namespace", '<recording xmlns="urn:example"/>', /no recording element of RFC 7865/],
    ["another root", `<stream xmlns="${NAMESPACE}"/>`, /no recording element of RFC 7865/],
  ])("%s is 400 in words, within 5 s", (_, xml, words) => {
    const start = performance.now();
    expect(detailOf(xml)).toMatch(/^400 /);
    expect(detailOf(xml)).toMatch(words);
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  test("65 people, or 65 streams, are refused and change nothing", () => {
    const known = learn(RFC_COMPLETE);
    const crowd = Array.from({ length: 65 }, (_, i) => ({ id: `p${i}` }));
    const many = [{ id: "dan", sends: Array.from({ length: 65 }, (_, i) => `l${i}`) }];
    for (const people of [crowd, many]) {
      const read = readMetadata(metadata(people));
      expect("kind" in read ? read : known.apply(read)).toMatchObject({ status: 400 });
    }
    expect(known.people).toHaveLength(2);
  });

  test("1,000 damaged documents are metadata or a refusal of 400, never an exception", () => {
    const damaged = fc
      .tuple(fc.nat(RFC_COMPLETE.length), fc.nat(20), fc.string({ maxLength: 8 }))
      .map(([at, cut, put]) => RFC_COMPLETE.slice(0, at) + put + RFC_COMPLETE.slice(at + cut));
    fc.assert(
      fc.property(damaged, (xml) => {
        const read = readMetadata(xml);
        if ("kind" in read) expect(read.status).toBe(400);
        else new RecordingMetadata().apply(read);
      }),
      { numRuns: 1_000 },
    );
  });

  test("text and CDATA are 1 text, prefixes make no difference", () => {
    const root = readXml(`<r:a xmlns:r="urn:x" b="1" r:c="2"> one <![CDATA[<two>]]></r:a>`);
    expect(root).toMatchObject({ name: "a", namespace: "urn:x", text: "one <two>" });
    expect(typeof root === "string" ? [] : [...root.attributes]).toEqual([["b", "1"]]);
  });
});

describe("a multipart body", () => {
  const bytes = (text: string) => Buffer.from(text, "utf8");
  const whole = multipart(RFC_OFFER, RFC_COMPLETE);
  const texts = (text: string, type = MIXED_TYPE) => {
    const parts = readMultipart(bytes(text), type);
    return typeof parts === "string" ? parts : parts.map(({ body }) => Buffer.from(body).toString());
  };

  test("gives its 2 parts as they were put in", () => {
    expect(texts(whole)).toEqual([RFC_OFFER.replace(/\r\n$/, ""), RFC_COMPLETE]);
  });

  test("4 ways to write it: quoted, bare line ends, blanks behind the boundary, preamble and epilogue", () => {
    expect(texts("--a b\r\n\r\nx\r\n--a b--", 'multipart/mixed; charset=utf-8; boundary="a b"')).toEqual([
      "x",
    ]);
    expect(texts("--foobar\n\nx\n--foobar--\n")).toEqual(["x"]);
    expect(texts("--foobar \t\r\n\r\nx\r\n--foobar--  \r\n")).toEqual(["x"]);
    expect(texts("read this\r\n--foobar\r\n\r\n--foobarred\r\n--foobar--\r\n--foobar\r\n\r\ny")).toEqual([
      "--foobarred",
    ]);
  });

  test.each([
    ["no boundary", whole, "multipart/mixed", /names no boundary/],
    ["a boundary of 71", whole, `multipart/mixed;boundary=${"x".repeat(71)}`, /names no boundary/],
    ["another boundary", whole, "multipart/mixed;boundary=barfoo", /does not stand in it/],
    ["no end", whole.replace("--foobar--", ""), MIXED_TYPE, /cut off/],
    ["no parts", "--foobar--\r\n", MIXED_TYPE, /no parts/],
    ["9 parts", `${"--foobar\r\n\r\nx\r\n".repeat(9)}--foobar--`, MIXED_TYPE, /more than 8 parts/],
    ["no empty line", "--foobar\r\nContent-Type: x\r\n--foobar--", MIXED_TYPE, /no empty line/],
    ["a broken field", "--foobar\r\nnonsense\r\n\r\nx\r\n--foobar--", MIXED_TYPE, /unreadable/],
    [
      "2 kB of fields",
      `--foobar\r\nA: ${"x".repeat(2_100)}\r\n\r\nx\r\n--foobar--`,
      MIXED_TYPE,
      /2048 bytes/,
    ],
  ])("%s is said in words", (_, text, type, words) => {
    expect(texts(text, type)).toMatch(words);
  });

  test("cut anywhere before its closing boundary it is never 2 parts", () => {
    fc.assert(
      fc.property(fc.nat(whole.length - "foobar--\r\n".length - 1), (length) => {
        expect(typeof texts(whole.slice(0, length))).toBe("string");
      }),
      { numRuns: 300 },
    );
  });

  test("500 random bodies and boundaries are parts or a sentence", () => {
    const piece = fc.constantFrom("--", "a", "\r\n", "\n", ":", " ", "Content-Type", "--a", "--a--");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const parts = readMultipart(bytes(pieces.join("")), "multipart/mixed;boundary=a");
        if (typeof parts !== "string") expect(parts.length).toBeLessThanOrEqual(8);
      }),
      { numRuns: 500 },
    );
  });
});

describe("role rules", () => {
  test("of 5 rules the first that fits counts; scheme, host or user is what the pattern names", () => {
    const rules = new RoleRules([
      "sip:*@agents.example=agent",
      "boss@*=employee",
      "1???=agent",
      "+49*=customer",
      "tel:*=patient",
    ]);
    const roles = [
      "sip:Anna@AGENTS.example;user=phone",
      "sips:anna@agents.example",
      "sip:boss@pbx.example",
      "sip:1234@pbx.example",
      "sip:12345@pbx.example",
      "sip:+4930123@pbx.example",
      "tel:+1555",
      "",
    ].map((aor) => rules.roleOf(aor));
    expect(roles).toEqual([
      "agent",
      undefined,
      "employee",
      "agent",
      undefined,
      "customer",
      "patient",
      undefined,
    ]);
  });

  test("3 rules that are none are named", () => {
    for (const rule of ["agent", "*=boss", "=agent"]) {
      expect(() => new RoleRules([rule])).toThrow(/recordingRoles must be PATTERN=ROLE/);
    }
  });

  test("30 stars against 10,000 characters take less than 5 s", () => {
    const rules = new RoleRules([`${"*a".repeat(30)}b=agent`]);
    const start = performance.now();
    expect(rules.roleOf(`sip:${"a".repeat(10_000)}@x`)).toBeUndefined();
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});
