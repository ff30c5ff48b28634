/** sipp calls: a user agent that we did not write, over UDP and TCP, with its own PCMU media. */
import { afterEach, describe, expect, test } from "vitest";
import { OPUS } from "../../../src/core/rtp.ts";
import { RtpStream } from "../../../src/transport/index.ts";
import { createSipServer, type SipServer, type SipServerOptions } from "../../../src/transport/sip/index.ts";
import { bestMatch, opusHighPass } from "../../support/correlation.ts";
import { encodeOpus } from "../../support/opus-encoding.ts";
import { writePcap } from "../../support/pcap.ts";
import { bundledVoice, telephoneVoice } from "../../support/pcmu.ts";
import {
  callScenario,
  cancelScenario,
  refusedScenario,
  runSipp,
  wrongPasswordScenario,
} from "../../support/sipp.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { eventually } from "../loopback.ts";
import { listening } from "./listening.ts";

const open: SipServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function listen(
  onCall: SipServerOptions["onCall"],
  options: Partial<SipServerOptions> = {},
): Promise<{ server: SipServer; port: number }> {
  const server = await createSipServer({ port: 0, onCall, ...options });
  open.push(server);
  return { server, port: server.addresses.get("udp")?.port ?? 0 };
}

describe.skipIf(!hasPeer("sipp"))("sipp calls", () => {
  for (const transport of ["u1", "t1"] as const) {
    test(`2.5 s of a voice as PCMU, signalled over ${transport}: what is decoded correlates ≥ 0.99, and BYE ends it`, async () => {
      const voice = await telephoneVoice("anna", 500, 2_500);
      const heard = await listening();
      const { server, port } = await listen((source) => heard.listen(source));

      const scenario = callScenario({ plays: true, lengthMs: 5_000 });
      const { code, log } = await runSipp({ scenario, transport, port, voice: voice.pcmu });

      expect(code, log).toBe(0);
      await heard.completed;
      expect(heard.stats).toMatchObject({ lost: 0, late: 0 });
      expect(heard.stats.received).toBeGreaterThanOrEqual(124);
      // sipp's first and last packets are its own affair.
      const match = bestMatch(heard.samples(), voice.reference16k.subarray(1_600, 2_300 * 16));
      expect(match.correlation).toBeGreaterThanOrEqual(0.99);
      expect(server.callCount).toBe(0);
    });
  }

  test.skipIf(process.getuid?.() !== 0)(
    "3 s of Opus out of a pcap: 150 packets in sequence, what is decoded correlates ≥ 0.95",
    async () => {
      const voice = await bundledVoice("anna", 500, 3_000);
      const stream = new RtpStream({ codec: OPUS, payloadType: 96 });
      const packets = await encodeOpus(voice);
      const pcap = writePcap(
        packets.map((payload, i) => ({ atMs: 20 * i, bytes: stream.packet({ payload }) })),
      );
      const heard = await listening();
      const { port } = await listen((source) => heard.listen(source));

      const media = { media: "RTP/AVP 96", lines: ["a=rtpmap:96 opus/48000/2"] };
      const scenario = callScenario({ ...media, plays: "pcap", lengthMs: 6_000 });
      const { code, log } = await runSipp({ scenario, transport: "u1", port, voice: pcap });

      expect(code, log).toBe(0);
      await heard.completed;
      expect(heard.stats).toMatchObject({ received: 150, lost: 0, late: 0 });
      const reference = opusHighPass(voice, 16_000).subarray(1_600, 2_700 * 16);
      expect(bestMatch(heard.samples(), reference).correlation).toBeGreaterThanOrEqual(0.95);
    },
  );

  test("20 calls at once over IPv6, of which each has 2 ports of its own", async () => {
    let calls = 0;
    const { server, port } = await listen(
      (source) => {
        calls++;
        source.packets.subscribe();
      },
      { host: "::1" },
    );
    const scenario = callScenario({ lengthMs: 500 });
    const { code, log } = await runSipp({ scenario, transport: "u1", port, calls: 20, host: "::1" });
    expect(code, log).toBe(0);
    expect([calls, server.stats.refused, server.held.rtpPorts]).toEqual([20, 0, 0]);
  });

  test("5 calls with digest credentials are taken, 1 with a wrong password is not", async () => {
    const users = new Map([["anna", "s3cret"]]);
    const names: (string | undefined)[] = [];
    const { port, server } = await listen((_, { digestUser }) => void names.push(digestUser), {
      // sipp 3.6 reads the first challenge only, and knows no SHA-256.
      digest: { users, algorithms: ["MD5"] },
    });
    const call = (scenario: string, calls: number, password: string) =>
      runSipp({ scenario, transport: "u1", port, calls, credentials: { user: "anna", password } });
    const right = await call(callScenario({ challenged: true, lengthMs: 100 }), 5, "s3cret");
    expect(right.code, right.log).toBe(0);
    const wrong = await call(wrongPasswordScenario(), 1, "guess");
    expect(wrong.code, wrong.log).toBe(0);
    expect(names).toEqual(Array(5).fill("anna"));
    expect(server.callCount).toBe(0);
  });

  test("20 calls at once over UDP, with 10 % of all messages lost each way, are 20 sources that complete", async () => {
    let completed = 0;
    let live = 0;
    let most = 0;
    const { server, port } = await listen((source) => {
      most = Math.max(most, ++live);
      source.packets.subscribe({
        complete: () => {
          live--;
          completed++;
        },
      });
    });
    const scenario = callScenario({ lengthMs: 2_500 });
    const { code, log } = await runSipp({ scenario, transport: "u1", port, calls: 20, lossPercent: 10 });
    expect(code, log).toBe(0);
    await eventually(() => completed === 20);
    // Who lost its INVITE again and again came when others had gone.
    expect(most).toBeGreaterThan(10);
    expect(server.stats).toMatchObject({ calls: 20, refused: 0, defects: 0 });
    expect(server.held).toMatchObject({ calls: 0, rtpPorts: 0 });
  });

  test("20 calls at once over TCP, 1 connection each", async () => {
    let calls = 0;
    const { server, port } = await listen((source) => {
      calls++;
      source.packets.subscribe();
    });
    const { code, log } = await runSipp({
      scenario: callScenario({ lengthMs: 500 }),
      transport: "tn",
      port,
      calls: 20,
    });
    expect(code, log).toBe(0);
    expect(calls).toBe(20);
    await eventually(() => server.held.connections === 0);
  });

  test("G.729 alone and SRTP alone: 488 each", async () => {
    const { server, port } = await listen(() => undefined);
    for (const media of ["RTP/AVP 18", "RTP/SAVP 0"]) {
      const { code, log } = await runSipp({ scenario: refusedScenario(488, media), transport: "u1", port });
      expect(code, log).toBe(0);
    }
    expect(server.callCount).toBe(0);
  });

  test("a CANCEL while the owner decides: 200 and 487, and 1 source completes", async () => {
    let completed = false;
    const { server, port } = await listen(async (source) => {
      await new Promise<void>((resolve) => {
        source.packets.subscribe({
          complete: () => {
            completed = true;
            resolve();
          },
        });
      });
    });
    const { code, log } = await runSipp({ scenario: cancelScenario(), transport: "u1", port });
    expect(code, log).toBe(0);
    await eventually(() => completed && server.held.rtpPorts === 0);
  });
});
