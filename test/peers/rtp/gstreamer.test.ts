/** GStreamer sends to a port of POST /v1/rtp, by the commands that docs/rtp.md shows. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resample } from "../../../src/core/resampler.ts";
import { bestMatch, opusHighPass } from "../../support/correlation.ts";
import { bundledVoice } from "../../support/pcmu.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { wav } from "../../support/wav.ts";
import { RtpService } from "./rtp-service.ts";

const SECONDS = 5;

describe.skipIf(!hasPeer("gst-launch"))("gst-launch-1.0 as the sender", () => {
  let service: RtpService;
  let voice: Float32Array;
  let folder: string;
  beforeAll(async () => {
    service = await RtpService.open();
    voice = await bundledVoice("anna", 0, SECONDS * 1000);
    folder = await mkdtemp(join(tmpdir(), "tonetap-gst-"));
    await writeFile(join(folder, "call.wav"), wav([resample(voice, 16_000, 48_000)], 48_000, 16));
  });
  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const cases = [
    ["Opus", "opusenc audio-type=voice ! rtpopuspay pt=111", {}, 0.95],
    ["PCMU", "audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay", {}, 0.99],
    [
      "L16 at 16 kHz",
      "audio/x-raw,rate=16000,channels=1 ! rtpL16pay pt=96",
      { codecs: { 96: "L16/16000" } },
      0.99,
    ],
  ] as const;
  test.each(cases)(
    `${SECONDS} s as %s come through, 0 lost, and are events of who spoke`,
    async (name, encode, body, floor) => {
      const participant = name.replaceAll(/\W/g, "");
      const { port, heard } = await service.door(participant, body);
      const pipeline = `filesrc location=${folder}/call.wav ! wavparse ! audioconvert ! audioresample ! ${encode} ! udpsink host=127.0.0.1 port=${port}`;

      const gst = spawn("gst-launch-1.0", ["-q", ...pipeline.split(" ")], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      expect(await once(gst, "exit")).toEqual([0, null]);
      await expect.poll(() => heard.samples().length).toBeGreaterThan((SECONDS - 0.2) * 16_000);
      await service.detach(participant);
      await heard.completed;

      expect(heard.stats).toMatchObject({ lost: 0, late: 0, resets: 0 });
      const reference = voice.slice(0, (SECONDS - 0.3) * 16_000);
      const fair = name === "Opus" ? opusHighPass(reference, 16_000) : reference;
      // PCMU has the telephone's band only, as GStreamer's resampler leaves it.
      const shown = name === "PCMU" ? resample(resample(fair, 16_000, 8_000), 8_000, 16_000) : fair;
      const { correlation } = bestMatch(heard.samples(), shown.slice(0, 70_000));
      console.log(
        `GStreamer ${name}: correlation ${correlation.toFixed(4)}, ${heard.stats.received} packets`,
      );
      expect(correlation).toBeGreaterThan(floor);
      expect(service.of("tonetap.emotion", participant).length).toBeGreaterThanOrEqual(3);
      expect(service.of("tonetap.participant.left", participant)[0]?.data.reason).toBe("removed");
    },
  );
});
