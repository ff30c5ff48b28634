/**
 * Our parser held against two that others wrote: `sip` 0.0.6 and sip.js 0.21. Where they read a message otherwise, the
 * difference is named here, with who is right by RFC 3261 and RFC 4475.
 */
import { createRequire } from "node:module";
import fc from "fast-check";
import { Parser } from "sip.js/lib/core/messages/parser.js";
import { describe, expect, test } from "vitest";
import { splitList } from "../../../src/transport/sip/sip-header.ts";
import { headersOf, parseSip } from "../../../src/transport/sip/sip-message.ts";
import { readRequest } from "../../../src/transport/sip/sip-request.ts";
import { INVALID, VALID } from "./torture-messages.ts";

/** What of a request all three can say. Undefined: not taken. */
interface Reading {
  readonly method: string;
  readonly uri: string;
  readonly fromTag: string;
  readonly toTag: string;
  readonly callId: string;
  readonly cseq: number;
  readonly vias: number;
  readonly body: string;
}

function ours(text: string): Reading | undefined {
  const parsed = parseSip(Buffer.from(text, "utf8"));
  if (parsed.kind !== "request") return undefined;
  const request = readRequest(parsed);
  if ("kind" in request) return undefined;
  const { method, fromTag, toTag, callId, cseq } = request;
  const vias = splitList(headersOf(parsed, "Via"))?.length ?? 0;
  const body = Buffer.from(parsed.body).toString("utf8");
  return { method, uri: parsed.uri, fromTag, toTag, callId, cseq, vias, body };
}

interface SipMessage {
  readonly method?: string;
  readonly uri: string;
  readonly headers: {
    readonly from?: { readonly params: Readonly<Record<string, string>> };
    readonly to?: { readonly params: Readonly<Record<string, string>> };
    readonly "call-id"?: string;
    readonly cseq?: { readonly seq: number };
    readonly via?: readonly unknown[];
  };
  readonly content: string;
}
const sip = createRequire(import.meta.url)("sip") as { parse: (bytes: Buffer) => SipMessage | undefined };

function bySip(text: string): Reading | undefined {
  const message = sip.parse(Buffer.from(text, "utf8"));
  if (message?.method === undefined) return undefined;
  const { from, to, via, cseq, "call-id": callId = "" } = message.headers;
  return {
    method: message.method,
    uri: message.uri,
    fromTag: from?.params.tag ?? "",
    toTag: to?.params.tag ?? "",
    callId,
    cseq: cseq?.seq ?? -1,
    vias: via?.length ?? 0,
    body: Buffer.from(message.content, "latin1").toString("utf8"),
  };
}

const silent = { warn: () => undefined, error: () => undefined } as never;

function bySipJs(text: string): Reading | undefined {
  const message = Parser.parseMessage(text, silent);
  if (message === undefined || !("ruri" in message)) return undefined;
  const { method, ruri, fromTag = "", toTag = "", callId = "", cseq = -1, body } = message;
  const vias = message.getHeaders("via").length;
  return { method, uri: ruri?.toRaw() ?? "", fromTag, toTag, callId, cseq, vias, body };
}

/** `same`, `refuses`, or the fields that they read otherwise. */
function compare(text: string, oracle: (text: string) => Reading | undefined): string {
  const [we, they] = [ours(text), oracle(text)];
  if (we === undefined) return they === undefined ? "same" : "takes";
  if (they === undefined) return "refuses";
  const fields = (Object.keys(we) as (keyof Reading)[]).filter((field) => we[field] !== they[field]);
  return fields.length === 0 ? "same" : fields.join();
}

/** Message → what `sip` and what sip.js make of it, where it is not what we do. */
const DIFFERENCES: Readonly<Record<string, readonly [sip: string, sipJs: string]>> = {
  // sip.js counts header lines, not the two elements of one line.
  wsinv: ["same", "vias"],
  // sip.js writes anew, or unescapes, what it shall hand on as it is.
  intmeth: ["same", "uri"],
  esc01: ["same", "uri"],
  semiuri: ["same", "uri"],
  // %45 in a method is three characters (RFC 4475 §3.1.1.5): `sip` makes REGISTER of it.
  esc02: ["method", "same"],
  // RFC 4475 §3.3.4: To and From may be of any scheme.
  unksm2: ["same", "refuses"],
  // To `sip` a Content-Length of 0 is none: the second message becomes the first one's body.
  dblreq: ["body", "same"],
  // Empty parameters and elements of Via: harmless, and met. `sip` counts the empty ones.
  badinv01: ["vias", "refuses"],
  // A body shorter than Content-Length (RFC 4475 §3.1.2.2): 400. Neither minds.
  clerr: ["takes", "takes"],
  ncl: ["takes", "same"],
  // RFC 4475 §3.1.2.4: beyond 31 bits; as numbers of JavaScript they are not even kept exactly.
  scalar02: ["takes", "takes"],
  quotbal: ["takes", "same"],
  ltgtruri: ["takes", "same"],
  trws: ["takes", "same"],
  // RFC 4475 §3.1.2.13–16: leniency that sip.js does not have, in headers that do not matter to the call.
  regbadct: ["same", "refuses"],
  badaspec: ["same", "refuses"],
  // `Bell, Alexander <…>`: to `sip` the name is all there is.
  baddn: ["fromTag", "refuses"],
  badvers: ["takes", "takes"],
  mismatch01: ["takes", "takes"],
  mismatch02: ["takes", "takes"],
  insuf: ["takes", "takes"],
  // Schemes that nobody here serves (416).
  unkscm: ["takes", "takes"],
  novelsc: ["takes", "takes"],
  // Two To and two CSeq: both take the last.
  multi01: ["takes", "takes"],
  // Two lengths: both believe one.
  mcl01: ["takes", "takes"],
  badmf: ["takes", "takes"],
};

describe("messages of RFC 4475", () => {
  test.each(Object.entries({ ...VALID, ...INVALID }))(
    "%s: 2 others read it as is said here",
    (name, text) => {
      const expected = DIFFERENCES[name] ?? ["same", "same"];
      expect([compare(text, bySip), compare(text, bySipJs)]).toEqual(expected);
    },
  );
});

describe("messages as people send them", () => {
  const word = fc.stringMatching(/^[A-Za-z0-9]{1,12}$/);
  const host = fc.stringMatching(/^[a-z]{1,8}\.example$/);
  const space = fc.constantFrom("", " ", "  ", "\t");
  const uri = fc
    .tuple(word, host, fc.constantFrom("", ":5070", ";lr", ";transport=tcp"))
    .map(([user, at, tail]) => `sip:${user}@${at}${tail}`);
  const name = fc.constantFrom("", '"Anna" ', '"A, <B>; \\"C\\"" ', "Anna B ");
  const message = fc
    .record({
      method: fc.constantFrom("INVITE", "OPTIONS", "BYE", "UPDATE"),
      uri,
      from: fc.tuple(name, uri, word, space),
      to: fc.tuple(name, uri, fc.option(word)),
      callId: fc.tuple(word, host).map(([local, at]) => `${local}@${at}`),
      cseq: fc.nat(2 ** 31 - 1),
      vias: fc.array(fc.tuple(host, word), { minLength: 1, maxLength: 3 }),
      body: fc.string({ maxLength: 60 }),
      compact: fc.boolean(),
      seed: fc.nat(1_000),
    })
    .map((parts) => {
      const { compact, from, to, vias } = parts;
      const key = (long: string, short: string): string => (compact ? short : long);
      const toTag = to[2] === null ? "" : `;tag=${to[2]}`;
      const lines = [
        ...vias.map(([at, branch]) => `${key("Via", "v")}: SIP/2.0/UDP ${at}:5060;branch=z9hG4bK${branch}`),
        `${key("From", "f")}:${from[3]}${from[0]}<${from[1]}>;tag=${from[2]}`,
        `${key("To", "t")}: ${to[0]}<${to[1]}>${toTag}`,
        `${key("Call-ID", "i")}: ${parts.callId}`,
        `CSeq: ${parts.cseq} ${parts.method}`,
        "Max-Forwards: 70",
        "Contact: <sip:anna@host.example>",
        `${key("Content-Length", "l")}: ${Buffer.byteLength(parts.body)}`,
      ];
      const turn = parts.seed % lines.length;
      const turned = [...lines.slice(turn), ...lines.slice(0, turn)];
      return `${parts.method} ${parts.uri} SIP/2.0\r\n${turned.join("\r\n")}\r\n\r\n${parts.body}`;
    });

  test("500 of them are read the same by all 3", () => {
    fc.assert(
      fc.property(message, (text) => {
        const we = ours(text);
        expect(we).toBeDefined();
        expect(bySip(text)).toEqual(we);
        expect(bySipJs(text)).toEqual(we);
      }),
      { numRuns: 500 },
    );
  });
});
