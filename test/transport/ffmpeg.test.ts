/** ffmpeg as the sender: what a program that we did not write puts on the wire goes through source and jitter buffer. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lastValueFrom, toArray } from "rxjs";
import { expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import type { SenderReport } from "../../src/core/rtp.ts";
import {
  createJitterStats,
  createSdes,
  createUdpRtpSource,
  jitterBuffer,
  type SrtpSuite,
} from "../../src/transport/index.ts";

const found = spawnSync("ffmpeg", ["-hide_banner", "-encoders"], { encoding: "utf8" });
const usable = found.status === 0 && found.stdout.includes("libopus");
if (!usable)
  console.warn("NOTICE: ffmpeg with libopus is not installed: 4 tests with it as RTP sender are SKIPPED");

const SECONDS = 1;

interface Case {
  readonly rtcp: "same-port" | "next-port";
  readonly flags: readonly string[];
  readonly end: string;
  /** ffmpeg has no AES-GCM for SRTP. */
  readonly suite?: SrtpSuite;
  /** ffmpeg's name for it, if another: under the SDES name its SRTCP tag is 32 bits, where RFC 4568 §6.2 has 80. */
  readonly ffmpegSuite?: string;
}

const CASES: readonly Case[] = [
  { rtcp: "same-port", flags: ["-rtpflags", "+send_bye"], end: "BYE" },
  { rtcp: "next-port", flags: [], end: "1 s of silence" },
  {
    rtcp: "same-port",
    flags: ["-rtpflags", "+send_bye"],
    end: "BYE",
    suite: "AES_CM_128_HMAC_SHA1_80",
  },
  {
    rtcp: "next-port",
    flags: [],
    end: "1 s of silence",
    suite: "AES_CM_128_HMAC_SHA1_32",
    ffmpegSuite: "SRTP_AES128_CM_HMAC_SHA1_32",
  },
];

for (const { rtcp, flags, end, suite, ffmpegSuite } of CASES) {
  test.skipIf(!usable)(
    `all 50 Opus packets of ffmpeg arrive in order, with RTCP on the ${rtcp}, ended by ${end}, ${suite ?? "plain"}`,
    async () => {
      const remote = suite === undefined ? undefined : createSdes(1, suite);
      const source = await createUdpRtpSource({
        clock: systemClock,
        rtcp,
        inactivityMs: 1000,
        ...(remote === undefined ? {} : { srtp: { remote } }),
      });
      const stats = createJitterStats();
      const buffer = jitterBuffer({ clock: systemClock, codecs: source.codecs, stats });
      const done = lastValueFrom(source.packets.pipe(buffer, toArray()));
      const reports: SenderReport[] = [];
      source.senderReports.subscribe((report) => reports.push(report));

      const { host, port } = source.address;
      const rtcpPort = rtcp === "same-port" ? `?rtcpport=${port}` : "";
      const srtp =
        remote === undefined
          ? []
          : [
              "-srtp_out_suite",
              ffmpegSuite ?? remote.suite,
              "-srtp_out_params",
              Buffer.concat([remote.key, remote.salt]).toString("base64"),
            ];
      const startedMs = systemClock.wall();
      const tone = `sine=frequency=300:duration=${SECONDS}:sample_rate=48000`;
      const ffmpeg = spawn(
        "ffmpeg",
        ["-loglevel", "error", "-re", "-f", "lavfi", "-i", tone, "-c:a", "libopus", "-b:a", "24k"].concat([
          "-payload_type",
          "111",
          "-f",
          "rtp",
          ...flags,
          ...srtp,
          `${remote === undefined ? "rtp" : "srtp"}://${host}:${port}${rtcpPort}`,
        ]),
        { stdio: ["ignore", "ignore", "inherit"] },
      );
      expect(await once(ffmpeg, "exit")).toEqual([0, null]);
      const units = await done;

      // The encoder's look-ahead can add a last packet.
      expect(stats.received).toBeGreaterThanOrEqual(50);
      expect(stats.received).toBeLessThanOrEqual(51);
      expect(units[0]).toMatchObject({ kind: "reset", reason: "start" });
      const packets = units.filter((unit) => unit.kind === "packet");
      expect(packets).toHaveLength(stats.received);
      packets.forEach((unit, i) => {
        expect(unit).toMatchObject({ clockRateHz: 48_000, audio: { payloadType: 111 } });
        expect(unit.ticks - (packets[0]?.ticks ?? 0)).toBe(i * 960);
      });
      expect(stats).toMatchObject({ lost: 0, late: 0, duplicate: 0, reordered: 0, resets: 0 });
      expect(source.stats).toMatchObject({ packets: stats.received, foreign: 0, malformed: { rtcp: 0 } });
      expect(source.refused).toEqual({});

      expect(reports.length).toBeGreaterThanOrEqual(1);
      const wall = reports[0]?.ntpWallMs ?? 0;
      expect(wall).toBeGreaterThan(startedMs - 1000);
      expect(wall).toBeLessThan(systemClock.wall());
    },
  );
}
