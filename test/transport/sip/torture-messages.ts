/** The 49 messages of RFC 4475 by the names that it gives them, and one more (badmf); shortened where length is not the point. */
import { message } from "./messages.ts";

export const TORTURE_SDP = [
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

const USUAL = [
  "To: sip:j.user@example.com",
  "From: sip:caller@example.net;tag=134161461246",
  "Max-Forwards: 7",
  "Call-ID: usual.0ha0isndaksdjasdf3234nas",
  "Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw2349i",
];
const CONTACT = "Contact: <sip:caller@host5.example.net>";

/** The usual lines but those that begin like one of `instead`, which take their place. */
const usual = (...instead: string[]): string[] => {
  const names = new Set(instead.map((line) => line.slice(0, line.indexOf(":"))));
  return [...USUAL.filter((line) => !names.has(line.slice(0, line.indexOf(":")))), ...instead];
};
const request = (method: string, ...instead: string[]): string =>
  message(`${method} sip:user@example.com SIP/2.0`, usual(`CSeq: 8 ${method}`, ...instead));
const invite = (...instead: string[]): string => request("INVITE", CONTACT, ...instead);
const inviteLine = (start: string): string => message(start, usual("CSeq: 8 INVITE", CONTACT));
const response = (start: string, ...instead: string[]): string => message(start, usual(...instead));

const UNUSUAL_METHOD = "!interesting-Method0123456789_*+`.%indeed'~";
const LONG = "very".repeat(26);

/** §3.1.1, §3.3, §3.4: what is to be understood. */
export const VALID = {
  wsinv: message(
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
    TORTURE_SDP,
  ),
  intmeth: message(
    `${UNUSUAL_METHOD} sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0`,
    ["Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~"],
    [
      // Quoted pairs of control characters.
      'To: "BEL:\\\u0007 NUL:\\\u0000 DEL:\\\u007f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy?,/;;*@example.com>',
    ],
    [
      "From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\u0440\u0430\u0431\u043e\u0442\u0430\u044e\u0449\u0438\u0439\";tag=_token~1'+`*%!-.",
    ],
    ["Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{", `CSeq: 139122385 ${UNUSUAL_METHOD}`],
    ["Max-Forwards: 255", "extensionHeader-!.%*+_`'~:\ufeff\u5927\u505c\u96fb"],
  ),
  esc01: message("INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0", [
    "To: sip:%75se%72@example.com",
    "From: <sip:I%20have%20spaces@example.net>;tag=938",
    "i: esc01.239409asdfakjkn23onasd0-3234",
    "CSeq: 234234 INVITE",
    "Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw",
    "Contact:",
    "  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>",
  ]),
  escnull: request("REGISTER", "To: sip:null-%00-null@example.com", "Contact: <sip:%00@host5.example.com>"),
  esc02: message("RE%47IST%45R sip:registrar.example.com SIP/2.0", [
    'To: "%Z%45" <sip:resource@example.com>',
    'From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23',
    "Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf",
    "Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234",
    "CSeq: 29344 RE%47IST%45R",
    "Max-Forwards: 70",
    "Contact: <sip:alias1@host1.example.com>",
  ]),
  lwsdisp: request("OPTIONS", "From: caller<sip:caller@example.com>;tag=323"),
  longreq: message("INVITE sip:user@example.com SIP/2.0", [
    `To: "I have a user name of ${"extreme".repeat(19)} proportion" <sip:user@example.com:6000;unknownparam1=${LONG}longvalue;longparam${"name".repeat(30)}=shortvalue;${LONG}LongParameterNameWithNoValue>`,
    `F: sip:${"amazinglylongcallername".repeat(6)}@example.net;tag=12${"982".repeat(50)}424;unknownheaderparam${"name".repeat(24)}=unknowheaderparam${"value".repeat(20)};unknownValueless${"paramname".repeat(14)}`,
    `Call-ID: longreq.one${"really".repeat(20)}longcallid`,
    "CSeq: 3882340 INVITE",
    `Unknown-${"Long".repeat(20)}-Name: unknown-${"long".repeat(20)}-value; unknown-${"long".repeat(20)}-parameter-name = unknown-${"long".repeat(20)}-parameter-value`,
    `Via: SIP/2.0/TCP sip33.example.com;branch=z9hG4bK-1-33`,
    ...Array.from({ length: 32 }, (_, i) => `v: SIP/2.0/TCP sip${32 - i}.example.com`),
    `Via: SIP/2.0/TCP host.example.com;received=192.0.2.5;branch=very${"long".repeat(50)}branchvalue`,
    "Max-Forwards: 70",
    `Contact: <sip:${"amazinglylongcallername".repeat(6)}@host5.example.net>`,
  ]),
  dblreq:
    request("REGISTER", "l: 0") + message("INVITE sip:joe@example.com SIP/2.0", usual("CSeq: 8 INVITE")),
  semiuri: message("OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0", usual("CSeq: 8 OPTIONS")),
  transports: message(
    "OPTIONS sip:user@example.com SIP/2.0",
    usual("CSeq: 60 OPTIONS"),
    ["SCTP t2", "TLS t3", "UNKNOWN t4", "TCP t5"].map(
      (via) => `Via: SIP/2.0/${via}.example.com;branch=z9hG4bKk`,
    ),
  ),
  unreason: response(
    "SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое",
    "CSeq: 35 INVITE",
    CONTACT,
  ),
  noreason: response("SIP/2.0 100 ", "CSeq: 35 INVITE", CONTACT),
  inv2543: message("INVITE sip:UserB@example.com SIP/2.0", [
    "Via: SIP/2.0/UDP iftgw.example.com",
    "From: <sip:+13035551111@ift.client.example.net;user=phone>",
    "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>",
    "To: sip:+16505552222@ss1.example.net;user=phone",
    "Call-ID: inv2543.1717@ift.client.example.com",
    "CSeq: 56 INVITE",
    "Contact: <sip:+13035551111@ift.client.example.net:5060>",
  ]),
  zeromf: request("OPTIONS", "Max-Forwards: 0"),
  cparam01: request("REGISTER", "Contact: sip:+19725552222@gw1.example.net;unknownparam"),
  cparam02: request("REGISTER", "Contact: <sip:+19725552222@gw1.example.net;unknownparam>"),
  regescrt: request("REGISTER", "Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>"),
  regaut01: request("REGISTER", "Authorization: NoOneKnowsThisScheme opaque-data=here"),
  unksm2: request("REGISTER", "To: isbn:2983792873", "From: <http://www.example.com>;tag=3234233"),
} as const satisfies Readonly<Record<string, string>>;

/** §3.1.2, §3.2, §3.3: what is broken, or cannot be served. */
export const INVALID = {
  badinv01: invite("Via: SIP/2.0/UDP 192.0.2.15;;,;,,"),
  clerr: invite("Content-Type: application/sdp", "Content-Length: 9999") + TORTURE_SDP,
  ncl: invite("Content-Type: application/sdp", "Content-Length: -999") + TORTURE_SDP,
  scalar02: message("REGISTER sip:example.com SIP/2.0", usual("CSeq: 36893488147419103232 REGISTER")),
  scalarlg: response(
    "SIP/2.0 503 Service Unavailable",
    "CSeq: 9292394834772304023312 OPTIONS",
    "Retry-After: 949302838503028349304023988",
    'Warning: 1812 overture "In Progress"',
  ),
  quotbal: invite('To: "Mr. J. User <sip:j.user@example.com>'),
  ltgtruri: inviteLine("INVITE <sip:user@example.com> SIP/2.0"),
  lwsruri: inviteLine("INVITE sip:user@example.com; lr SIP/2.0"),
  lwsstart: inviteLine("INVITE  sip:user@example.com  SIP/2.0"),
  trws: inviteLine("INVITE sip:user@example.com SIP/2.0  "),
  escruri: inviteLine("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"),
  baddate: invite("Date: Fri, 01 Jan 2010 16:00:00 EST"),
  regbadct: request("REGISTER", "Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E"),
  badaspec: request("OPTIONS", 'To: "Watson, Thomas" < sip:t.watson@example.org >'),
  baddn: request("OPTIONS", "From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43"),
  badvers: message("OPTIONS sip:t.watson@example.org SIP/7.0", usual("CSeq: 8 OPTIONS")),
  mismatch01: request("OPTIONS", "CSeq: 8 INVITE"),
  mismatch02: message("NEWMETHOD sip:user@example.com SIP/2.0", usual("CSeq: 34 INVITE")),
  bigcode: response("SIP/2.0 4294967301 better not break the receiver", "CSeq: 353494 INVITE", CONTACT),
  badbranch: request("OPTIONS", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"),
  insuf: message("INVITE sip:user@example.com SIP/2.0", [
    "CSeq: 193942 INVITE",
    "Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf",
  ]),
  unkscm: inviteLine("INVITE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"),
  novelsc: inviteLine("INVITE soap.beep://192.0.2.103:3002 SIP/2.0"),
  bext01: request(
    "OPTIONS",
    "Require: nothingSupportsThis, nothingSupportsThisEither",
    "Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis",
  ),
  invut:
    invite("Content-Type: application/unknownformat", "Content-Length: 40") +
    '<audio>\r\n <pcmu port="443"/>\r\n</audio>\r\n',
  multi01: message("INVITE sip:user@company.com SIP/2.0", [
    ...usual("CSeq: 8 INVITE", CONTACT),
    "To: <sip:another@example.com>",
    "CSeq: 59 OPTIONS",
  ]),
  mcl01: `${request("OPTIONS", "Content-Length: 13", "l: 5")}There's no way to know`,
  bcast: response("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923", "CSeq: 35 INVITE"),
  badmf: request("OPTIONS", "Max-Forwards: 300"),
  sdp01: message(
    "INVITE sip:user@example.com SIP/2.0",
    usual("CSeq: 8 INVITE", CONTACT, "Accept: text/nobodyKnowsThis", "Content-Type: application/sdp"),
    TORTURE_SDP,
  ),
} as const satisfies Readonly<Record<string, string>>;

/** §3.1.1.11: a signature (CMS, RFC 3852) of 342 bytes, zero bytes among them. */
export const MPART01_SIGNATURE = Buffer.from(
  "MIIBUgYJKoZIhvcNAQcCoIIBQzCCAT8CAQExCTAHBgUrDgMCGjALBgkqhkiG9w0BBwExggEgMIIBHAIBATB8MHAxCzAJBgNVBAYTAlVT" +
    "MRMwEQYDVQQIEwpDYWxpZm9ybmlhMREwDwYDVQQHEwhTYW4gSm9zZTEOMAwGA1UEChMFc2lwaXQxKTAnBgNVBAsTIFNpcGl0IFRlc3Qg" +
    "Q2VydGlmaWNhdGUgQXV0aG9yaXR5AggBlQBxAjMBEzAHBgUrDgMCGjANBgkqhkiG9w0BAQEFAASBgI70ZvlI8FIt0uWXjp2Vquny/hWg" +
    "ZllxYpLo2iqo2DUKaM7/rjy9K/8Wdd3VZI5ZPdZHKPJiIPfpQXSeMw2aFe2r25PRDEIQLntyidKcwMmuLvvHwM/5Fy87An5PwCfhVG3k" +
    "tqo6uz5mzMtd1sZLg4MUnLjm/xgtlE/le2W8mdAF",
  "base64",
);

/** §3.1.1.11, the one message that is no text: a part of it is {@link MPART01_SIGNATURE}. */
export const MPART01 = Buffer.concat([
  Buffer.from(
    message(
      "MESSAGE sip:kumiko@example.org SIP/2.0",
      ["Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport"],
      ["Max-Forwards: 70", "Route: <sip:127.0.0.1:5080>"],
      [
        "Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuLIK0YWVKZhKv9Mj8UeXqkMVbnVq37CD+813gvYjcBUaZngQmXc9" +
          "WNZSDNGCzA+fWl9MEUHWIZo1CeJebdY/XlgKeTa0Olvq0rt70Q5jiSfbqMJmQFteeivUhkMWYUA=",
      ],
      ["Contact: <sip:fluffy@127.0.0.1:5070>", "To: <sip:kumiko@example.org>"],
      [
        "From: <sip:fluffy@example.com>;tag=2fb0dcc9",
        "Call-ID: 3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..",
      ],
      ["CSeq: 1 MESSAGE", "Content-Transfer-Encoding: binary"],
      ["Content-Type: multipart/mixed;boundary=7a9cbec02ceef655", "Date: Sat, 15 Oct 2005 04:44:56 GMT"],
      ["User-Agent: SIPimp.org/0.2.5 (curses)", "Content-Length: 553"],
    ),
  ),
  Buffer.from(
    [
      ...["--7a9cbec02ceef655", "Content-Type: text/plain", "Content-Transfer-Encoding: binary", "", "Hello"],
      ...["--7a9cbec02ceef655", "Content-Type: application/octet-stream"],
      ...["Content-Transfer-Encoding: binary", "", ""],
    ].join("\r\n"),
  ),
  MPART01_SIGNATURE,
  Buffer.from("\r\n--7a9cbec02ceef655--\r\n"),
]);
