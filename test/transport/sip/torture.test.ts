/** Messages of RFC 4475, by the names that it gives them: what a user agent server must understand, and what it must refuse. */
import { describe, expect, test } from "vitest";
import { headersOf, parseSip } from "../../../src/transport/sip/sip-message.ts";
import { type IncomingRequest, type Refusal, readRequest } from "../../../src/transport/sip/sip-request.ts";
import { message } from "./messages.ts";

const SDP = [
  "v=0",
  "o=mhandley 29739 7272939 IN IP4 192.0.2.3",
  "s=-",
  "c=IN IP4 192.0.2.4",
  "t=0 0",
  "m=audio 49217 RTP/AVP 0 12",
  "m=video 3227 RTP/AVP 31",
  "a=rtpmap:31 LPC",
  "",
].join("\r\n");

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

const simple = (method: string, lines: readonly string[], start = `${method} sip:user@example.com SIP/2.0`) =>
  message(start, [...lines]);

const USUAL = [
  "To: sip:j.user@example.com",
  "From: sip:caller@example.net;tag=134161461246",
  "Max-Forwards: 7",
  "Call-ID: usual.0ha0isndaksdjasdf3234nas",
  "Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw2349i",
];

describe("valid messages (RFC 4475 §3.1.1, §3.3)", () => {
  test("wsinv, a short tortuous INVITE of 3 Vias, is read to its last escape", () => {
    const request = understood(
      message(
        "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0",
        ["TO :", " sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n"],
        ['from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>', "  ;", "  tag = 98asjd8"],
        ["MaX-fOrWaRdS: 0068", "Call-ID: wsinv.ndaksdj@192.0.2.1", "Content-Length   : 150"],
        ["cseq: 0009", "  INVITE", "Via  : SIP  /   2.0", " /UDP", "    192.0.2.2;branch=390skdjuw", "s :"],
        ["NewFangledHeader:   newfangled value", " continued newfangled value"],
        ["UnknownHeaderWithUnusualValue: ;;,,;;,;", "Content-Type: application/sdp", "Route:"],
        [" <sip:services.example.com;lr;unknownwith=value;unknown-no-value>"],
        ["v:  SIP  / 2.0  / TCP     spindle.example.com   ;", "  branch  =   z9hG4bK9ikj8  ,"],
        [" SIP  /    2.0   / UDP  192.168.255.111   ; branch=", " z9hG4bK30239"],
        ['m:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =', "      newvalue ;"],
        ["  secondparam ; q = 0.33"],
        SDP,
      ),
    );
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
    expect(Buffer.from(request.message.body).toString()).toBe(SDP.slice(0, 150));
  });

  test("intmeth: 1 method, branch, tag and user of every character that may stand there", () => {
    const method = "!interesting-Method0123456789_*+`.%indeed'~";
    const request = understood(
      message(
        `${method} sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0`,
        ["Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~"],
        [
          'To: "BEL:\u0007 NUL:\u0000 DEL:\u007f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy?,/;;*@example.com>',
        ],
        [
          "From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\u0440\u0430\u0431\u043e\u0442\u0430\u044e\u0449\u0438\u0439\";tag=_token~1'+`*%!-.",
        ],
        ["Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{", `CSeq: 139122385 ${method}`],
        ["Max-Forwards: 255", "extensionHeader-!.%*+_`'~:\u5927\u505c\u96fb"],
      ),
    );
    expect(request.fromTag).toBe("_token~1'+`*%!-.");
    expect(request.to.displayName).toBe("BEL:\u0007 NUL:\u0000 DEL:\u007f");
    expect(request.from.displayName).toBe("token1~` token2'+_ token3*%!.-");
    expect(request.via.params.get("branch")).toBe("z9hG4bK-.!%66*_+`'~");
    expect(request.uri.user).toBe("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
  });

  test("esc01 and escnull: 4 escapes are undone in users only, a zero byte ends nothing", () => {
    const esc01 = understood(
      message("INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0", [
        "To: sip:%75se%72@example.com",
        "From: <sip:I%20have%20spaces@example.net>;tag=938",
        "i: esc01.239409asdfakjkn23onasd0-3234",
        "CSeq: 234234 INVITE",
        "Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw",
        "Contact:",
        "  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>",
      ]),
    );
    expect(esc01.uri).toMatchObject({ user: "sips:user@example.com", host: "example.net" });
    expect([esc01.to.uri.user, esc01.from.uri.user]).toEqual(["user", "I have spaces"]);
    const escnull = understood(
      simple("REGISTER", ["CSeq: 1 REGISTER", ...USUAL.slice(1), "To: sip:null-%00-null@example.com"]),
    );
    expect(escnull.to.uri.user).toBe("null-\u0000-null");
  });

  test("lwsdisp, semiuri, transports and inv2543 (no branch, no tag, no Max-Forwards): all 4 are taken", () => {
    expect(
      understood(
        simple("OPTIONS", [
          "CSeq: 60 OPTIONS",
          ...USUAL.filter((line) => !line.startsWith("From")),
          "From: caller<sip:caller@example.com>;tag=323",
        ]),
      ).from,
    ).toMatchObject({ displayName: "caller", uri: { user: "caller" } });
    expect(
      understood(
        simple(
          "OPTIONS",
          ["CSeq: 8 OPTIONS", ...USUAL],
          "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0",
        ),
      ).uri,
    ).toMatchObject({ user: "user;par=u@example.net", host: "example.com" });
    const others = ["SCTP t2", "TLS t3", "UNKNOWN t4", "TCP t5"].map(
      (via) => `Via: SIP/2.0/${via}.example.com;branch=z9hG4bKk`,
    );
    expect(understood(simple("OPTIONS", ["CSeq: 60 OPTIONS", ...USUAL, ...others])).via.transport).toBe(
      "UDP",
    );
    const inv2543 = understood(
      message("INVITE sip:UserB@example.com SIP/2.0", [
        "Via: SIP/2.0/UDP iftgw.example.com",
        "From: <sip:+13035551111@ift.client.example.net;user=phone>",
        "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>",
        "To: sip:+16505552222@ss1.example.net;user=phone",
        "Call-ID: inv2543.1717@ift.client.example.com",
        "CSeq: 56 INVITE",
        "Contact: <sip:+13035551111@ift.client.example.net:5060>",
      ]),
    );
    expect([inv2543.fromTag, inv2543.toTag, inv2543.from.uri.user]).toEqual(["", "", "+13035551111"]);
  });

  test("dblreq: 1 message a datagram, what follows Content-Length is nobody's", () => {
    const first = simple("REGISTER", ["CSeq: 8 REGISTER", ...USUAL, "l: 0"]);
    expect(understood(first + simple("INVITE", ["CSeq: 8 INVITE", ...USUAL])).method).toBe("REGISTER");
  });

  test("zeromf: Max-Forwards 0 is for proxies to refuse, an endpoint serves it", () => {
    const lines = [
      "CSeq: 39234321 OPTIONS",
      ...USUAL.filter((line) => !line.startsWith("Max")),
      "Max-Forwards: 0",
    ];
    expect(understood(simple("OPTIONS", lines)).method).toBe("OPTIONS");
  });

  test("unreason and noreason: 2 responses with a phrase of UTF-8, and with none", () => {
    expect(read("SIP/2.0 100 \r\nVia: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2\r\n\r\n")).toBe("100 ");
    expect(read("SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e\r\nl: 0\r\n\r\n")).toMatch(/^200 = 2\*\*3/);
  });
});

describe("invalid messages (RFC 4475 §3.1.2, §3.3)", () => {
  const without = (name: string, ...more: string[]) => [
    ...USUAL.filter((line) => !line.startsWith(name)),
    "CSeq: 8 INVITE",
    "Contact: <sip:caller@host5.example.net>",
    ...more,
  ];
  const invite = (...lines: string[]) => simple("INVITE", lines);
  test.each([
    ["badinv01", invite(...without("Via", "Via: SIP/2.0/UDP 192.0.2.15;;,;,,")), "taken"],
    [
      "clerr",
      message("INVITE sip:user@example.com SIP/2.0", without("-", "Content-Length: 9999"), SDP),
      "truncated",
    ],
    [
      "ncl",
      message("INVITE sip:user@example.com SIP/2.0", without("-", "Content-Length: -999"), SDP),
      "content-length",
    ],
    ["scalar02", invite(...USUAL, "CSeq: 36893488147419103232 INVITE"), 400],
    ["quotbal", invite(...without("To", 'To: "Mr. J. User <sip:j.user@example.com>')), 400],
    ["ltgtruri", simple("INVITE", without("-"), "INVITE <sip:user@example.com> SIP/2.0"), 400],
    ["lwsruri", simple("INVITE", without("-"), "INVITE sip:user@example.com; lr SIP/2.0"), "start-line"],
    ["lwsstart", simple("INVITE", without("-"), "INVITE  sip:user@example.com  SIP/2.0"), "start-line"],
    ["trws", simple("INVITE", without("-"), "INVITE sip:user@example.com SIP/2.0  "), "start-line"],
    [
      "escruri",
      simple("INVITE", without("-"), "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"),
      "taken",
    ],
    ["badvers", simple("OPTIONS", without("-"), "OPTIONS sip:t.watson@example.org SIP/7.0"), "version"],
    ["mismatch01", simple("OPTIONS", without("-")), 400],
    ["insuf", invite("CSeq: 193942 INVITE", "Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf"), 400],
    [
      "unkscm",
      simple("INVITE", without("-"), "INVITE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"),
      416,
    ],
    ["multi01", invite(...without("-", "To: <sip:another@example.com>", "CSeq: 59 OPTIONS")), 400],
    ["badmf", invite(...without("Max", "Max-Forwards: 300")), 400],
  ])("%s is refused as it should be, unless it does no harm", (_, text, outcome) => {
    const result = read(text);
    const got = typeof result === "string" ? result : "kind" in result ? result.status : "taken";
    expect(got).toBe(outcome);
  });
});
