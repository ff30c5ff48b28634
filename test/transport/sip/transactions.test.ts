/** Transactions on a clock that is moved by hand: what is sent when, and that nothing stays behind. */
import { expect, test } from "vitest";
import { ClientTransaction } from "../../../src/transport/sip/client-transaction.ts";
import { InviteTransaction, RequestTransaction } from "../../../src/transport/sip/server-transactions.ts";
import type { SipResponse } from "../../../src/transport/sip/sip-message.ts";
import { ManualClock } from "../../support/manual-clock.ts";

/** A path that notes when it was used. */
function setUp(reliable: boolean) {
  const clock = new ManualClock();
  const sent: [number, string][] = [];
  const state = { ended: 0, unacknowledged: 0 };
  const path = {
    reliable,
    alive: true,
    send: (bytes: Uint8Array) => void sent.push([clock.now(), Buffer.from(bytes).toString().slice(8, 11)]),
  };
  const options = { clock, path, onEnd: () => void state.ended++ };
  const handlers = { onUnacknowledged: () => void state.unacknowledged++ };
  return { clock, sent, state, options, handlers };
}

const response = (status: number): SipResponse => ({
  kind: "response",
  status,
  reason: "x",
  headers: [],
  body: new Uint8Array(0),
});

/** 0, 500, then doubled up to 4 s, within 32 s: RFC 3261 §13.3.1.4 and timer G. */
const RHYTHM = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];

for (const reliable of [false, true]) {
  test(`a 200 without an ACK is sent 11 times in 32 s over a ${reliable ? "stream" : "datagram"}, then given up`, () => {
    const { clock, sent, state, options, handlers } = setUp(reliable);
    const invite = new InviteTransaction(options);
    invite.accept(response(200), handlers);
    clock.advance(40_000);
    expect(sent).toEqual(RHYTHM.map((at) => [at, "200"]));
    expect(state).toEqual({ ended: 1, unacknowledged: 1 });
    expect(clock.pending).toBe(0);
  });
}

test("an ACK after 600 ms stops a 200; an INVITE repeated later is absorbed until 32 s are over", () => {
  const { clock, sent, state, options, handlers } = setUp(false);
  const invite = new InviteTransaction(options);
  invite.accept(response(200), handlers);
  clock.advance(600);
  expect(invite.awaitsAck).toBe(true);
  invite.acknowledge();
  invite.repeated();
  clock.advance(31_399);
  expect(sent.map(([at]) => at)).toEqual([0, 500]);
  expect(state.ended).toBe(0);
  clock.advance(1);
  expect(state).toEqual({ ended: 1, unacknowledged: 0 });
  expect(clock.pending).toBe(0);
});

test("a 488 is repeated until its ACK, which is absorbed for 5 s more", () => {
  const { clock, sent, state, options } = setUp(false);
  const invite = new InviteTransaction(options);
  invite.provisional(response(100));
  invite.repeated();
  invite.refuse(response(488));
  clock.advance(1600);
  invite.repeated();
  invite.acknowledge();
  invite.acknowledge();
  clock.advance(4999);
  expect(sent).toEqual([
    [0, "100"],
    [0, "100"],
    [0, "488"],
    [500, "488"],
    [1500, "488"],
    [1600, "488"],
  ]);
  expect(state.ended).toBe(0);
  clock.advance(1);
  expect([state.ended, clock.pending]).toEqual([1, 0]);
});

test("over a stream a 486 is sent once, and forgotten with its ACK; without one after 32 s", () => {
  for (const acknowledged of [true, false]) {
    const { clock, sent, state, options } = setUp(true);
    const invite = new InviteTransaction(options);
    invite.refuse(response(486));
    if (acknowledged) invite.acknowledge();
    expect(state.ended).toBe(acknowledged ? 1 : 0);
    clock.advance(32_000);
    expect([sent.length, state.ended, clock.pending]).toEqual([1, 1, 0]);
  }
});

test("an ACK before any decision is nobody's: the 200 that follows is still repeated once after 500 ms", () => {
  const { clock, sent, options, handlers } = setUp(false);
  const invite = new InviteTransaction(options);
  invite.acknowledge();
  invite.accept(response(200), handlers);
  expect(invite.awaitsAck).toBe(true);
  clock.advance(500);
  expect(sent).toHaveLength(2);
  invite.close();
  expect(clock.pending).toBe(0);
});

test("the first decision of 3 stands", () => {
  const { sent, options, handlers } = setUp(true);
  const invite = new InviteTransaction(options);
  invite.refuse(response(487));
  invite.accept(response(200), handlers);
  invite.provisional(response(100));
  expect(sent).toEqual([[0, "487"]]);
  invite.close();
});

test("a BYE repeated within 32 s gets the same 200; over a stream it is forgotten at once", () => {
  const { clock, sent, state, options } = setUp(false);
  const bye = new RequestTransaction(options);
  bye.repeated();
  bye.respond(response(200));
  clock.advance(31_999);
  bye.repeated();
  clock.advance(1);
  expect([sent.length, state.ended, clock.pending]).toEqual([2, 1, 0]);
  const stream = setUp(true);
  new RequestTransaction(stream.options).respond(response(200));
  expect([stream.state.ended, stream.clock.pending]).toEqual([1, 0]);
});

function ask(reliable: boolean) {
  const { clock, sent, options } = setUp(reliable);
  const ends: (number | undefined)[] = [];
  const transaction = new ClientTransaction({
    clock,
    path: options.path,
    message: Buffer.from("BYE sip:a@b SIP/2.0"),
    onEnd: (final) => void ends.push(final?.status),
  });
  return { clock, sent: () => sent.map(([at]) => at), ends, transaction };
}

test("our BYE is sent 11 times in 32 s to a peer that is silent, once over a stream", () => {
  const { clock, sent, ends } = ask(false);
  clock.advance(32_000);
  expect(sent()).toEqual(RHYTHM);
  const stream = ask(true);
  stream.clock.advance(32_000);
  expect(stream.sent()).toEqual([0]);
  expect([ends, stream.ends, clock.pending, stream.clock.pending]).toEqual([[undefined], [undefined], 0, 0]);
});

test("after a 100 our BYE is asked for every 4 s; a 200 ends it", () => {
  const { clock, sent, ends, transaction } = ask(false);
  clock.advance(600);
  transaction.receive(response(100));
  clock.advance(9_000);
  transaction.receive(response(200));
  transaction.receive(response(200));
  clock.advance(60_000);
  expect(sent()).toEqual([0, 500, 1500, 5500, 9500]);
  expect([ends, clock.pending]).toEqual([[200], 0]);
});

test("a re-INVITE of ours is asked for at doubling pauses until a 100, and given up after 32 s", () => {
  const { clock, sent, options } = setUp(false);
  const ends: (number | undefined)[] = [];
  const transaction = new ClientTransaction({
    clock,
    path: options.path,
    message: Buffer.from("INVITE sip:a@b SIP/2.0"),
    isInvite: true,
    onEnd: (final) => void ends.push(final?.status),
  });
  clock.advance(8_000);
  transaction.receive(response(100));
  clock.advance(24_000);
  expect(sent.map(([at]) => at)).toEqual([0, 500, 1_500, 3_500, 7_500]);
  expect([ends, clock.pending]).toEqual([[undefined], 0]);
});
