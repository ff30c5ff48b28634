/** Session timers (RFC 4028): what is agreed to, who refreshes, and what becomes of a call that nobody refreshes. */
import { describe, expect, test } from "vitest";
import {
  headerOf,
  headersOf,
  type SipRequest,
  type SipResponse,
} from "../../../src/transport/sip/sip-message.ts";
import { eventually } from "../loopback.ts";
import { type Bench, listen, NOTHING, one } from "./bench.ts";
import { offer } from "./messages.ts";
import { Phone, sdpText, tagOf } from "./phone.ts";

/** RTP's own timer out of the way. */
const quiet = (options: Parameters<typeof listen>[0] = {}): Promise<Bench> =>
  listen({ inactivityMs: 3_600_000, ...options });

const expiresOf = (response: SipResponse) => [
  headerOf(response, "Session-Expires"),
  headerOf(response, "Require"),
];

/** INVITE, 200, ACK with these header fields. */
async function call(phone: Phone, headers: string[]): Promise<{ ok: SipResponse; toTag: string }> {
  const ok = await phone.ask("INVITE", { headers, body: offer() });
  expect(ok.status).toBe(200);
  await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
  await phone.settled();
  return { ok, toTag: tagOf(ok) };
}

describe("what is agreed", () => {
  test.each([
    ["nothing asked, not known", [], [undefined, undefined]],
    ["known, not asked", ["Supported: timer"], ["1800;refresher=uac", "timer"]],
    ["asked", ["Supported: timer", "Session-Expires: 600"], ["600;refresher=uac", "timer"]],
    ["compact form", ["k: timer", "x: 600 ; refresher=uac"], ["600;refresher=uac", "timer"]],
    ["we shall", ["Supported: timer", "Session-Expires: 600;refresher=uas"], ["600;refresher=uas", "timer"]],
    ["by a proxy", ["Session-Expires: 600;refresher=uac"], ["600;refresher=uas", undefined]],
    ["too long", ["Supported: timer", "Session-Expires: 7200"], ["1800;refresher=uac", "timer"]],
    [
      "too long, but no less",
      ["Supported: timer", "Session-Expires: 7200", "Min-SE: 3600"],
      ["3600;refresher=uac", "timer"],
    ],
    ["required", ["Require: timer", "Session-Expires: 90"], ["90;refresher=uac", "timer"]],
  ])("%s: 1 interval and 1 refresher, or none", async (_, headers, expected) => {
    const bench = await quiet();
    await using phone = await Phone.udp(bench.udp);
    const { ok } = await call(phone, headers);
    expect(expiresOf(ok)).toEqual(expected);
    expect(headerOf(ok, "Supported")).toBe("timer, siprec");
  });

  test("below our least 422 says what is the least, below 90 s even to a proxy; what cannot be read is 400", async () => {
    const bench = await quiet({ minSessionExpiresS: 300 });
    await using phone = await Phone.udp(bench.udp);
    const asks: [string[], number, string | undefined][] = [
      [["Supported: timer", "Session-Expires: 299"], 422, "300"],
      [["Session-Expires: 89"], 422, "90"],
      [["Session-Expires: soon"], 400, undefined],
      [["Session-Expires: 600", "Session-Expires: 700"], 400, undefined],
      [["Session-Expires: 600", "Min-SE: -1"], 400, undefined],
    ];
    for (const [i, [headers, status, minSe]] of asks.entries()) {
      const response = await phone.ask("INVITE", { cseq: 1 + i, headers, body: offer() });
      expect([response.status, headerOf(response, "Min-SE")], headers.join()).toEqual([status, minSe]);
    }
    bench.clock.advance(32_000);
    expect(bench.server.held).toEqual(NOTHING);
  });
});

describe("the peer refreshes", () => {
  test("a re-INVITE and an UPDATE each begin the 90 s anew; 60 s after the last, a BYE ends the call as timed out", async () => {
    const bench = await quiet();
    await using phone = await Phone.udp(bench.udp);
    const headers = ["Supported: timer", "Session-Expires: 90"];
    const { toTag } = await call(phone, headers);
    bench.clock.advance(50_000);
    const again = await phone.ask("INVITE", { cseq: 2, toTag, headers, body: offer() });
    expect(expiresOf(again)).toEqual(["90;refresher=uac", "timer"]);
    await phone.send(phone.compose("ACK", { cseq: 2, toTag }));
    await phone.settled();
    bench.clock.advance(50_000);
    const update = await phone.ask("UPDATE", { cseq: 3, toTag, headers });
    expect(expiresOf(update)).toEqual(["90;refresher=uac", "timer"]);
    bench.clock.advance(59_000);
    await phone.settled();
    expect(bench.server.callCount).toBe(1);
    bench.clock.advance(1_000);

    await phone.answer(await phone.request("BYE"));

    await eventually(() => bench.server.callCount === 0);
    expect([one(bench).ended, one(bench).source.timedOut]).toEqual(["complete", true]);
  });

  test("a refresh without timers is the end of the timer, not of the call: 2 h later it is still there", async () => {
    const bench = await listen({ inactivityMs: 3_600_000, holdMs: 86_400_000 });
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await call(phone, ["Supported: timer", "Session-Expires: 90"]);
    await phone.ask("INVITE", { cseq: 2, toTag, body: `${offer()}a=inactive\r\n` });
    await phone.send(phone.compose("ACK", { cseq: 2, toTag }));
    await phone.settled();
    bench.clock.advance(7_200_000);
    expect(bench.server.callCount).toBe(1);
  });
});

describe("we refresh", () => {
  const OURS = ["Supported: timer", "Session-Expires: 90;refresher=uas"];

  test("an UPDATE each 45 s to a peer that allows it, with numbers that rise; unanswered, the call ends", async () => {
    const bench = await quiet();
    await using phone = await Phone.udp(bench.udp);
    await call(phone, [...OURS, "Allow: INVITE, ACK, BYE, UPDATE"]);
    for (let round = 1; round <= 3; round++) {
      bench.clock.advance(45_000);
      await eventually(() => phone.requests("UPDATE").length === round);
      const update = phone.requests("UPDATE").at(-1) ?? expect.unreachable();
      expect(headerOf(update, "CSeq")).toBe(`${round} UPDATE`);
      expect(headersOf(update, "Session-Expires")).toEqual(["90;refresher=uac"]);
      expect(update.body).toHaveLength(0);
      await phone.answer(update, 200, ["Session-Expires: 90;refresher=uac"]);
      await phone.settled();
    }
    bench.clock.advance(45_000);
    await phone.settled();
    bench.clock.advance(15_000);
    await phone.answer(await phone.request("BYE"));
    await eventually(() => bench.server.callCount === 0);
    expect(one(bench).source.timedOut).toBe(true);
  });

  test("a re-INVITE that changes nothing to a peer without UPDATE: its 200 is acknowledged each of 2 times", async () => {
    const bench = await quiet();
    await using phone = await Phone.udp(bench.udp);
    const { ok, toTag } = await call(phone, OURS);
    bench.clock.advance(45_000);
    const invite = await phone.request("INVITE");
    expect(Buffer.from(invite.body).toString()).toBe(sdpText(ok));
    // Both at once is one too many (RFC 3261 §14.2).
    expect((await phone.ask("INVITE", { cseq: 2, toTag, body: offer() })).status).toBe(491);
    for (let time = 1; time <= 2; time++) {
      await phone.answer(
        invite,
        200,
        ["Session-Expires: 90;refresher=uac", "Contact: <sip:moved@127.0.0.1:9>"],
        offer(),
      );
      await eventually(() => phone.requests("ACK").length === time);
    }
    const [ack] = phone.requests("ACK");
    expect([headerOf(ack ?? expect.unreachable(), "CSeq"), ack?.uri]).toEqual([
      "1 ACK",
      "sip:moved@127.0.0.1:9",
    ]);
    await phone.settled();
    bench.clock.advance(59_000);
    expect(bench.server.callCount).toBe(1);
  });

  test("422 is asked again with what it wants, 491 within 2 s, 481 ends the call at once", async () => {
    const bench = await quiet();
    await using phone = await Phone.udp(bench.udp);
    await call(phone, [...OURS, "Allow: UPDATE"]);
    const next = async (count: number): Promise<SipRequest> => {
      await eventually(() => phone.requests("UPDATE").length === count);
      return phone.requests("UPDATE").at(-1) ?? expect.unreachable();
    };
    bench.clock.advance(45_000);
    await phone.answer(await next(1), 422, ["Min-SE: 120"]);
    const larger = await next(2);
    expect([headerOf(larger, "Session-Expires"), headerOf(larger, "Min-SE")]).toEqual([
      "120;refresher=uac",
      "120",
    ]);
    await phone.answer(larger, 491, []);
    await phone.settled();
    bench.clock.advance(2_000);
    await phone.answer(await next(3), 481, []);
    await phone.answer(await phone.request("BYE"));
    await eventually(() => bench.server.callCount === 0);
    bench.clock.advance(32_000);
    expect(bench.server.held).toEqual(NOTHING);
    expect(bench.clock.pending).toBe(0);
  });

  test("the peer hangs up while 1 refresh is under way: nothing is left of it after 32 s", async () => {
    const bench = await quiet();
    await using phone = await Phone.udp(bench.udp);
    const { toTag } = await call(phone, OURS);
    bench.clock.advance(45_000);
    await phone.request("INVITE");
    await phone.ask("BYE", { cseq: 2, toTag });
    for (let second = 0; second < 70; second++) bench.clock.advance(1_000);
    await eventually(() => bench.server.held.transactions === 0);
    expect(bench.server.held).toEqual(NOTHING);
    expect(phone.requests("BYE")).toHaveLength(0);
  });
});
