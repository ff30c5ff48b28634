/** A SIP server for tests: its calls noted, its clock moved by hand, closed after each test. */
import { afterEach, expect } from "vitest";
import type { TonetapError } from "../../../src/core/errors.ts";
import type { RtpPacket } from "../../../src/core/rtp.ts";
import {
  createSipServer,
  type SipCallInfo,
  type SipServer,
  type SipServerOptions,
} from "../../../src/transport/sip/index.ts";
import { SipSource } from "../../../src/transport/sip/sip-source.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { eventually } from "../loopback.ts";
import type { Target } from "./phone.ts";

export interface Taken {
  readonly source: SipSource;
  readonly call: SipCallInfo;
  readonly packets: RtpPacket[];
  ended: string;
}

export interface Bench extends AsyncDisposable {
  readonly server: SipServer;
  readonly clock: ManualClock;
  readonly taken: Taken[];
  readonly errors: TonetapError[];
  readonly udp: Target;
  readonly tcp: Target;
}

const open: Bench[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bench) => bench[Symbol.asyncDispose]()));
});

export async function listen(options: Partial<SipServerOptions> = {}): Promise<Bench> {
  const clock = new ManualClock();
  const taken: Taken[] = [];
  const errors: TonetapError[] = [];
  const server = await createSipServer({
    port: 0,
    clock,
    onError: (error) => errors.push(error),
    onCall: (source, call) => {
      if (!(source instanceof SipSource)) return expect.unreachable("another source");
      const entry: Taken = { source, call, packets: [], ended: "" };
      taken.push(entry);
      source.packets.subscribe({
        next: (packet) => entry.packets.push(packet),
        complete: () => {
          entry.ended = "complete";
        },
        error: (error) => {
          entry.ended = String(error);
        },
      });
    },
    ...options,
  });
  const address = (name: "udp" | "tcp"): Target => server.addresses.get(name) ?? { host: "", port: 0 };
  const bench: Bench = {
    server,
    clock,
    taken,
    errors,
    udp: address("udp"),
    tcp: address("tcp"),
    // Time is moved until it is closed: nobody answers its BYEs any more.
    [Symbol.asyncDispose]: async () => {
      let closed = false;
      void server.close().then(() => {
        closed = true;
      });
      await eventually(() => {
        clock.advance(1_000);
        return closed;
      });
    },
  };
  open.push(bench);
  return bench;
}

/** The first call. */
export const one = (bench: Bench): Taken => bench.taken[0] ?? expect.unreachable("no call came");

/** What a server holds that has nothing to do. */
export const NOTHING = { calls: 0, transactions: 0, connections: 0, rtpPorts: 0 };
