/**
 * sipp is the recorder: it signals a SIPREC session of two streams and plays the first. It can play one audio stream only:
 * the second is sent by our RtpSender, to the port that sipp was answered.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/core/clock.ts";
import { PCMU } from "../../../../src/core/rtp.ts";
import { createRtpSender } from "../../../../src/transport/index.ts";
import { createSipServer, type SipServer } from "../../../../src/transport/sip/index.ts";
import { bestMatch } from "../../../support/correlation.ts";
import { pcmuFrames, telephoneVoice } from "../../../support/pcmu.ts";
import { callScenario, runSipp } from "../../../support/sipp.ts";
import { hasPeer } from "../../../support/system-peers.ts";
import { eventually } from "../../loopback.ts";
import { type Listening, listening } from "../listening.ts";
import { MIXED_TYPE, multipart, RFC_COMPLETE, streamsOffer } from "./documents.ts";

const open: SipServer[] = [];
const folders: string[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

/** The ports that sipp was answered. */
async function answeredPorts(file: string): Promise<number[]> {
  const read = (): string => (existsSync(file) ? readFileSync(file, "utf8") : "");
  await eventually(() => read().endsWith("\n"));
  return read().trim().split(" ").map(Number);
}

describe.skipIf(!hasPeer("sipp"))("sipp records", () => {
  for (const transport of ["u1", "t1"] as const) {
    test(`2 voices of 2.5 s as PCMU, signalled over ${transport} with 3 kB of body: each correlates ≥ 0.99 with its own source, BYE frees all`, async () => {
      const [anna, ben] = await Promise.all([
        telephoneVoice("anna", 500, 2_500),
        telephoneVoice("ben", 7_300, 2_500),
      ]);
      const heard: Record<string, Listening> = { alice: await listening(), bob: await listening() };
      const server = await createSipServer({
        port: 0,
        onCall: (source, { participant }) => heard[participant.participantId]?.listen(source),
      });
      open.push(server);
      const folder = await mkdtemp(join(tmpdir(), "tonetap-siprec-"));
      folders.push(folder);
      const tellsPorts = join(folder, "ports");
      const streams = [{ label: "96", port: "[rtpstream_audio_port]" }, { label: "98" }];
      const text = multipart(streamsOffer(streams), RFC_COMPLETE);
      expect(text.length).toBeGreaterThan(2_900);

      const scenario = callScenario({
        headers: ["Require: siprec"],
        body: { type: MIXED_TYPE, text },
        plays: true,
        tellsPorts,
        lengthMs: 4_500,
      });
      const port = server.addresses.get("udp")?.port ?? 0;
      const recording = runSipp({ scenario, transport, port, voice: anna.pcmu });
      const [, second = 0] = await answeredPorts(tellsPorts);
      const sender = await createRtpSender({
        clock: systemClock,
        codec: PCMU,
        payloadType: 0,
        host: "127.0.0.1",
        port: second,
      });
      await sender.play(pcmuFrames(ben.pcmu));
      await sender.close();

      const { code, log } = await recording;
      expect(code, log).toBe(0);
      for (const [name, { reference16k }] of [
        ["alice", anna],
        ["bob", ben],
      ] as const) {
        const listener = heard[name] ?? expect.unreachable(name);
        await listener.completed;
        expect(listener.stats).toMatchObject({ lost: 0, late: 0 });
        const match = bestMatch(listener.samples(), reference16k.subarray(1_600, 1_700 * 16));
        expect(match.correlation, name).toBeGreaterThanOrEqual(0.99);
      }
      expect(server.held).toMatchObject({ calls: 0, rtpPorts: 0 });
    });
  }
});
