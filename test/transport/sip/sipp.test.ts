/** sipp calls: a user agent that we did not write, over UDP and TCP, with its own PCMU media. */
import { afterEach, describe, expect, test } from "vitest";
import { createSipServer, type SipServer, type SipServerOptions } from "../../../src/transport/sip/index.ts";
import { bestMatch } from "../../support/correlation.ts";
import { telephoneVoice } from "../../support/pcmu.ts";
import { callScenario, cancelScenario, hasSipp, refusedScenario, runSipp } from "../../support/sipp.ts";
import { eventually } from "../loopback.ts";
import { listening } from "./listening.ts";

const open: SipServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function listen(onCall: SipServerOptions["onCall"]): Promise<{ server: SipServer; port: number }> {
  const server = await createSipServer({ port: 0, onCall });
  open.push(server);
  return { server, port: server.addresses.get("udp")?.port ?? 0 };
}

describe.skipIf(!hasSipp())("sipp calls", () => {
  for (const transport of ["u1", "t1"] as const) {
    test(`2.5 s of a voice as PCMU, signalled over ${transport}: what is decoded correlates ≥ 0.99, and BYE ends it`, async () => {
      const voice = await telephoneVoice("anna", 500, 2_500);
      const heard = await listening();
      const { server, port } = await listen((source) => heard.listen(source));

      const scenario = callScenario({ plays: true, lengthMs: 2_800 });
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
    expect(most).toBe(20);
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
