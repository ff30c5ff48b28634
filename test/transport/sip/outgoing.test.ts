import { createServer } from "node:net";
import { expect, test } from "vitest";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import { createSipServer, type SipServerOptions } from "../../../src/transport/sip/index.ts";
import { SipDialog } from "../../../src/transport/sip/sip-dialog.ts";
import { headerOf, headersOf, parseSip } from "../../../src/transport/sip/sip-message.ts";
import { readRequest } from "../../../src/transport/sip/sip-request.ts";
import { createCertificate, hasOpenssl } from "../../support/certificate.ts";
import { eventually } from "../loopback.ts";
import { message, offer } from "./messages.ts";
import { Phone, tagOf } from "./phone.ts";

async function listen(options: Partial<SipServerOptions> = {}) {
  const sources: AudioSource[] = [];
  const server = await createSipServer({
    port: 0,
    onCall: (source) => {
      sources.push(source);
      source.packets.subscribe();
    },
    ...options,
  });
  const port = (name: "udp" | "tcp" | "tls"): number => server.addresses.get(name)?.port ?? 0;
  return { server, sources, port };
}

function dialogOf(routes: readonly string[]): SipDialog {
  const parsed = parseSip(
    Buffer.from(
      message("INVITE sip:us@example.com SIP/2.0", [
        "Via: SIP/2.0/UDP h;branch=z9hG4bKx",
        "From: <sip:anna@example.com>;tag=theirs",
        "To: <sip:us@example.com>",
        "Call-ID: c1",
        "CSeq: 7 INVITE",
        "Contact: <sip:anna@192.0.2.7:5062;transport=udp?Priority=urgent>",
        ...routes.map((route) => `Record-Route: ${route}`),
      ]),
    ),
  );
  const request = parsed.kind === "request" ? readRequest(parsed) : expect.unreachable(parsed.kind);
  return new SipDialog("kind" in request ? expect.unreachable(request.detail) : request, "ours");
}

const TARGET = "sip:anna@192.0.2.7:5062;transport=udp";

test("without a route a BYE goes to the contact; tags and numbers of 2 requests are ours", () => {
  const dialog = dialogOf([]);
  const [first, second] = [
    dialog.createRequest({ method: "BYE" }, "v"),
    dialog.createRequest({ method: "BYE" }, "v"),
  ];
  expect(first.uri).toBe(TARGET);
  expect(headerOf(first, "From")).toBe("<sip:us@example.com>;tag=ours");
  expect(headerOf(first, "To")).toBe("<sip:anna@example.com>;tag=theirs");
  expect([headerOf(first, "CSeq"), headerOf(second, "CSeq")]).toEqual(["1 BYE", "2 BYE"]);
  expect(headersOf(first, "Route")).toEqual([]);
});

test("a loose router of 2 keeps the contact in the Request-URI, a strict one wants itself there (RFC 3261 §12.2.1.1)", () => {
  const loose = dialogOf(["<sip:p1.example;lr>, <sip:p2.example>"]);
  const bye = loose.createRequest({ method: "BYE" }, "v");
  expect([bye.uri, headersOf(bye, "Route"), loose.nextHop.host]).toEqual([
    TARGET,
    ["<sip:p1.example;lr>", "<sip:p2.example>"],
    "p1.example",
  ]);
  const strict = dialogOf(["<sip:p1.example>", "<sip:p2.example;lr>"]).createRequest({ method: "BYE" }, "v");
  expect([strict.uri, headersOf(strict, "Route")]).toEqual([
    "sip:p1.example",
    ["<sip:p2.example;lr>", `<${TARGET}>`],
  ]);
});

test("sequence numbers rise: 8 after 7, not 7, not 6", () => {
  const dialog = dialogOf([]);
  expect([7, 6, 8, 8, 100].map((cseq) => dialog.advance(cseq))).toEqual([false, false, true, false, true]);
});

test("a phone behind NAT, whose Via and Contact name 10.9.9.9, is told BYE where it really is", async () => {
  const { server, sources, port } = await listen();
  await using phone = await Phone.udp({ host: "127.0.0.1", port: port("udp") });
  const translated = (text: string): string => {
    const [head = "", body = ""] = text.split("\r\n\r\n");
    return `${head.replaceAll(`127.0.0.1:${phone.port}`, "10.9.9.9:5060").replace(";branch", ";rport;branch")}\r\n\r\n${body}`;
  };
  await phone.send(translated(phone.compose("INVITE", { body: offer() })));
  const ok = await phone.response("1 INVITE");
  await phone.send(translated(phone.compose("ACK", { toTag: tagOf(ok) })));
  await phone.settled();
  await sources[0]?.close();
  const bye = await phone.request("BYE");
  expect(bye.uri).toBe("sip:anna@10.9.9.9:5060;transport=udp");
  await phone.answer(bye);
  await eventually(() => server.callCount === 0);
  await server.close();
});

test("a TCP connection that was lost is made anew to the contact for 1 BYE", async () => {
  const { server, sources, port } = await listen();
  const heard: string[] = [];
  const home = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      heard.push(chunk.toString());
      const lines = chunk.toString().split("\r\n");
      const copied = lines.filter((line) => /^(?:Via|From|To|Call-ID|CSeq):/.test(line));
      socket.write(message("SIP/2.0 200 OK", copied));
    });
  });
  await new Promise<void>((resolve) => home.listen(0, "127.0.0.1", resolve));
  const address = home.address();
  const homePort = typeof address === "object" ? address?.port : undefined;
  {
    await using phone = await Phone.stream({ host: "127.0.0.1", port: port("tcp") });
    const contact = `127.0.0.1:${phone.port};transport=tcp`;
    const invite = phone.compose("INVITE", { body: offer() });
    await phone.send(invite.replace(contact, `127.0.0.1:${homePort};transport=tcp`));
    const ok = await phone.response("1 INVITE");
    await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
    await phone.settled();
  }
  await eventually(() => server.held.connections === 0);
  await sources[0]?.close();
  await eventually(() => server.callCount === 0);
  expect(heard.join("")).toMatch(new RegExp(`^BYE sip:anna@127.0.0.1:${homePort};transport=tcp SIP/2.0`));
  await server.close();
  await new Promise<void>((resolve) => home.close(() => resolve()));
});

test("a peer that cannot be reached any more is 1 unsent message, and the call is over at once", async () => {
  const { server, sources, port } = await listen();
  {
    await using phone = await Phone.stream({ host: "127.0.0.1", port: port("tcp") });
    await phone.call();
    await phone.settled();
  }
  await eventually(() => server.held.connections === 0);
  await sources[0]?.close();
  await eventually(() => server.callCount === 0);
  expect(server.stats.unsent).toBe(1);
  await server.close();
});

test.skipIf(!hasOpenssl())(
  "a call over TLS: Contact says transport=tls, and BYE comes over the same connection",
  async () => {
    const tls = { ...createCertificate(), port: 0 };
    const { server, sources, port } = await listen({ tls });
    await using phone = await Phone.stream({ host: "127.0.0.1", port: port("tls") }, "TLS");
    const ok = await phone.ask("INVITE", { body: offer() });
    expect(headerOf(ok, "Contact")).toBe(`<sip:tonetap@127.0.0.1:${port("tls")};transport=tls>`);
    await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
    await phone.settled();
    await sources[0]?.close();
    await phone.answer(await phone.request("BYE"));
    await eventually(() => server.callCount === 0);
    await server.close();
    await eventually(() => phone.closed);
  },
);
