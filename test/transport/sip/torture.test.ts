/** Messages of RFC 4475: what a user agent server must understand, and what it must refuse. */
import { describe, expect, test } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { readMultipart } from "../../../src/transport/sip/multipart.ts";
import { headerOf, headersOf, parseSip } from "../../../src/transport/sip/sip-message.ts";
import { type IncomingRequest, type Refusal, readRequest } from "../../../src/transport/sip/sip-request.ts";
import { ACCEPT } from "../../../src/transport/sip/sip-response.ts";
import { eventually } from "../loopback.ts";
import { listen, NOTHING } from "./bench.ts";
import { Phone } from "./phone.ts";
import { INVALID, MPART01, MPART01_SIGNATURE, TORTURE_SDP, VALID } from "./torture-messages.ts";

function read(text: string): IncomingRequest | Refusal | string {
  const parsed = parseSip(Buffer.from(text, "utf8"));
  if (parsed.kind === "malformed") return parsed.fault;
  return parsed.kind === "request" ? readRequest(parsed) : `${parsed.status} ${parsed.reason}`;
}

function understood(text: string): IncomingRequest {
  const request = read(text);
  if (typeof request === "string" || "kind" in request) return expect.unreachable(JSON.stringify(request));
  return request;
}

describe("valid messages (RFC 4475 §3.1.1, §3.3, §3.4)", () => {
  test("wsinv, a short tortuous INVITE of 3 Vias, is read to its last escape", () => {
    const request = understood(VALID.wsinv);
    expect(request).toMatchObject({
      method: "INVITE",
      cseq: 9,
      fromTag: "98asjd8",
      toTag: "1918181833n",
      from: { displayName: 'J Rosenberg \\"', uri: { user: "jdrosen" } },
      contact: { displayName: 'Quoted string ""', uri: { host: "example.com" } },
      via: { transport: "UDP", host: "192.0.2.2" },
    });
    expect(request.contact?.params.get("newparam")).toBe("newvalue");
    expect(headersOf(request.message, "Via")).toHaveLength(2);
    expect(headersOf(request.message, "Subject")).toEqual([""]);
    expect(Buffer.from(request.message.body).toString()).toBe(TORTURE_SDP.slice(0, 150));
  });

  test("intmeth: 1 method, branch, tag and user of every character that may stand there", () => {
    const request = understood(VALID.intmeth);
    expect(request.fromTag).toBe("_token~1'+`*%!-.");
    expect(request.to.displayName).toBe("BEL:\u0007 NUL:\u0000 DEL:\u007f");
    expect(request.from.displayName).toBe("token1~` token2'+_ token3*%!.-");
    expect(request.via.params.get("branch")).toBe("z9hG4bK-.!%66*_+`'~");
    expect(request.uri.user).toBe("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
  });

  test("esc01, escnull and esc02: escapes are undone in users only, a zero byte ends nothing, and 1 method keeps its own", () => {
    const esc01 = understood(VALID.esc01);
    expect(esc01.uri).toMatchObject({ user: "sips:user@example.com", host: "example.net" });
    expect([esc01.to.uri.user, esc01.from.uri.user]).toEqual(["user", "I have spaces"]);
    expect(understood(VALID.escnull).to.uri.user).toBe("null-\u0000-null");
    const esc02 = understood(VALID.esc02);
    expect([esc02.method, esc02.to.displayName]).toEqual(["RE%47IST%45R", "%Z%45"]);
  });

  test("lwsdisp, semiuri, transports and inv2543 (no branch, no tag, no Max-Forwards): all 4 are taken", () => {
    const { from } = understood(VALID.lwsdisp);
    expect(from).toMatchObject({ displayName: "caller", uri: { user: "caller" } });
    const { uri } = understood(VALID.semiuri);
    expect(uri).toMatchObject({ user: "user;par=u@example.net", host: "example.com" });
    expect(understood(VALID.transports).via.transport).toBe("UDP");
    const { fromTag, toTag, from: gateway } = understood(VALID.inv2543);
    expect([fromTag, toTag, gateway.uri.user]).toEqual(["", "", "+13035551111"]);
  });

  test("longreq: a head of 3.5 kB with 34 Vias", () => {
    const { message, callId } = understood(VALID.longreq);
    expect(VALID.longreq.length).toBeGreaterThan(3_500);
    expect([headersOf(message, "Via").length, callId.length]).toEqual([34, 141]);
  });

  test("dblreq: 1 message a datagram, what follows Content-Length is nobody's", () => {
    expect(understood(VALID.dblreq).method).toBe("REGISTER");
  });

  test("mpart01: 2 parts of a body of 553 bytes, the second of them 342 binary ones, come out as they went in", () => {
    const parsed = parseSip(MPART01);
    if (parsed.kind !== "request") return expect.unreachable(parsed.kind);
    expect(readRequest(parsed)).toMatchObject({ method: "MESSAGE", fromTag: "2fb0dcc9" });
    expect(parsed.body).toHaveLength(553);
    const parts = readMultipart(parsed.body, headerOf(parsed, "Content-Type") ?? "");
    if (typeof parts === "string") return expect.unreachable(parts);
    expect(parts.map(({ fields }) => fields.get("content-type"))).toEqual([
      "text/plain",
      "application/octet-stream",
    ]);
    expect(Buffer.from(parts[0]?.body ?? []).toString()).toBe("Hello");
    expect(MPART01_SIGNATURE.equals(parts[1]?.body ?? Buffer.alloc(0))).toBe(true);
    expect(MPART01_SIGNATURE.includes(0)).toBe(true);
  });

  test("zeromf: Max-Forwards 0 is for proxies to refuse, an endpoint serves it", () => {
    expect(understood(VALID.zeromf).method).toBe("OPTIONS");
  });

  test("unreason and noreason: 2 responses with a phrase of UTF-8, and with none", () => {
    expect(read(VALID.noreason)).toBe("100 ");
    // As it came: bytes of UTF-8.
    const phrase = Buffer.from("= 2**3 * 5**2 но сто девяносто девять - простое", "utf8").toString("latin1");
    expect(read(VALID.unreason)).toBe(`200 ${phrase}`);
  });
});

/** By what reads them: a fault of the bytes, a status, or nothing. */
const OUTCOMES: Readonly<Record<keyof typeof INVALID, string | number>> = {
  // An empty parameter harms nobody.
  badinv01: "taken",
  clerr: "truncated",
  ncl: "content-length",
  scalar02: 400,
  // A response to nothing: its numbers are not looked at.
  scalarlg: "503 Service Unavailable",
  quotbal: 400,
  ltgtruri: 400,
  lwsruri: "start-line",
  lwsstart: "start-line",
  trws: "start-line",
  escruri: "taken",
  // Nobody here asks for the date.
  baddate: "taken",
  regbadct: "taken",
  badaspec: "taken",
  // Two senders in one From: RFC 4475 has it refused, or read leniently.
  baddn: "taken",
  badvers: "version",
  mismatch01: 400,
  mismatch02: 400,
  bigcode: "start-line",
  badbranch: "taken",
  insuf: 400,
  unkscm: 416,
  novelsc: 416,
  bext01: "taken",
  invut: "taken",
  multi01: 400,
  mcl01: "content-length",
  bcast: "200 OK",
  badmf: 400,
  sdp01: "taken",
};

describe("invalid messages (RFC 4475 §3.1.2, §3.2, §3.3)", () => {
  test.each(Object.entries(INVALID))(
    "%s is refused as it should be, unless it does no harm",
    (name, text) => {
      const result = read(text);
      const got = typeof result === "string" ? result : "kind" in result ? result.status : "taken";
      expect(got).toBe(OUTCOMES[name as keyof typeof INVALID]);
    },
  );
});

describe("over the wire", () => {
  // So that nothing is said to the hosts that the messages name.
  const busy = () => {
    throw new TonetapError("conflict", "busy");
  };

  test("a server that gets all 50 of them keeps nothing after 70 s, and meets no defect", async () => {
    const bench = await listen({ onCall: busy });
    await using phone = await Phone.udp(bench.udp);
    const texts = [...Object.values(VALID), ...Object.values(INVALID)];
    const all = [...texts.map((text) => Buffer.from(text, "utf8")), MPART01];
    for (const bytes of all) await phone.send(bytes.toString("latin1"));
    await phone.settled();
    expect([all.length, bench.server.stats.defects, bench.errors]).toEqual([50, 0, []]);
    for (let second = 0; second < 70; second++) bench.clock.advance(1_000);
    expect(bench.server.held).toEqual(NOTHING);
  });

  test.each([
    ["bext01", 420, "Unsupported: nothingSupportsThis, nothingSupportsThisEither"],
    ["invut", 415, `Accept: ${ACCEPT}`],
    ["novelsc", 416, ""],
    ["badvers", 505, ""],
    ["mcl01", 400, ""],
    ["regbadct", 405, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"],
    // What is not accepted in return does not matter: the answer would be SDP all the same.
    ["sdp01", 486, ""],
  ] as const)("%s is answered %i", async (name, status, header) => {
    const bench = await listen({ onCall: busy });
    await using phone = await Phone.udp(bench.udp);
    await phone.send(INVALID[name].replace(/\r\nVia: [^\r]*/, "$&;rport"));
    const final = () => phone.received.find((heard) => heard.kind === "response" && heard.status >= 200);
    await eventually(() => final() !== undefined);
    expect(final()).toMatchObject({ status });
    expect(
      final()
        ?.headers.map((field) => `${field.name}: ${field.value}`)
        .join("\n"),
    ).toContain(header);
  });
});
