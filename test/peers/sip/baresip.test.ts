/** baresip calls: a telephone with Opus and SRTP that we did not write. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { resample } from "../../../src/core/resampler.ts";
import { createSipServer, type SipServer } from "../../../src/transport/sip/index.ts";
import { openEngine } from "../../engine/support.ts";
import { bestMatch } from "../../support/correlation.ts";
import { bundledVoice } from "../../support/pcmu.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { wav } from "../../support/wav.ts";
import { listening } from "../../transport/sip/listening.ts";

test.skipIf(!hasPeer("baresip")).each([
  ["in the clear", [], ""],
  ["as SRTP with keys in SDP, which is required", ["srtp"], ";mediaenc=srtp-mand"],
] as const)(
  "4 s of a voice that baresip encodes as Opus correlate ≥ 0.98, no packet of 190 is lost: %s",
  async (_, modules, account) => {
    const voice = await bundledVoice("anna", 0, 4_000);
    const heard = await listening();
    const server = await createSipServer({
      port: 0,
      srtp: account === "" ? "optional" : "required",
      onCall: (source) => heard.listen(source),
    });
    try {
      await callWithBaresip(voice, modules, account, server);
      await heard.completed;

      expect(heard.stats.received).toBeGreaterThanOrEqual(190);
      expect(heard.stats).toMatchObject({ lost: 0, late: 0 });
      // baresip encodes for music by default: without the high-pass that Opus has for speech.
      const reference = voice.subarray(8_000, 3 * 16_000);
      expect(bestMatch(heard.samples(), reference).correlation).toBeGreaterThanOrEqual(0.98);
      expect(server.stats).toMatchObject({ calls: 1, refused: 0, defects: 0 });
    } finally {
      await server.close();
    }
  },
);

test.skipIf(!hasPeer("baresip"))(
  "baresip's SRTP is received in a shard: no packet of 190 is lost there, and its BYE ends the participant",
  async () => {
    const { engine, seen } = await openEngine({ shards: { count: 1 }, overload: { control: "off" } });
    await using _engine = engine;
    await using server = await createSipServer({
      port: 0,
      srtp: "required",
      openReception: engine.media.openSip,
      participantDefaults: { role: "customer", consent: "granted" },
      onCall: (source, { participant }) => engine.attach(source, participant),
    });
    await callWithBaresip(await bundledVoice("anna", 0, 4_000), ["srtp"], ";mediaenc=srtp-mand", server);

    expect((await seen.first("participant.left")).data).toMatchObject({
      participantId: "anna",
      reason: "left",
    });
    const { packets, codec } = seen.of("quality").at(-1)?.data ?? expect.unreachable("no quality");
    expect(packets.received).toBeGreaterThanOrEqual(190);
    expect(packets).toMatchObject({ lost: 0, late: 0, ignored: 0 });
    expect(codec).toBe("audio/opus");
    await expect.poll(() => server.held.rtpPorts).toBe(0);
  },
);

/** A call of 6 s that plays this voice, 16 kHz. */
async function callWithBaresip(
  voice: Float32Array,
  modules: readonly string[],
  account: string,
  server: SipServer,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "tonetap-baresip-"));
  try {
    // baresip plays files of its own rate only.
    const loud = resample(voice, 16_000, 48_000);
    await writeFile(join(folder, "voice.wav"), wav([loud, loud], 48_000, 16));
    const config = [
      "sip_listen 127.0.0.1:0",
      "net_interface 127.0.0.1",
      `audio_source aufile,${join(folder, "voice.wav")}`,
      `audio_player aufile,${join(folder, "out.wav")}`,
      `audio_alert aufile,${join(folder, "alert.wav")}`,
      "ausrc_srate 48000",
      "ausrc_channels 2",
      "module_path /usr/lib/baresip/modules",
      ...["opus", "g711", "aufile", ...modules].map((name) => `module ${name}.so`),
      ...["account", "menu"].map((name) => `module_app ${name}.so`),
      "opus_bitrate 32000",
    ];
    await writeFile(join(folder, "config"), `${config.join("\n")}\n`);
    await writeFile(
      join(folder, "accounts"),
      `<sip:anna@127.0.0.1>;regint=0;audio_codecs=opus/48000/2${account}\n`,
    );
    await writeFile(join(folder, "contacts"), "");

    const target = `sip:tonetap@127.0.0.1:${server.addresses.get("udp")?.port}`;
    const baresip = spawn("baresip", ["-f", folder, "-e", `/dial ${target}`, "-t", "6"], { stdio: "ignore" });
    await once(baresip, "exit");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
