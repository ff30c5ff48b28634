/** GStreamer's webrtcbin publishes over WHIP. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { hasPeer, PYTHON } from "../../support/system-peers.ts";
import { wav } from "../../support/wav.ts";
import { clockLagMs, loadSpeech, match } from "../../transport/werift/heard.ts";
import { PAGE_RATE_HZ } from "../../transport/werift/publisher-page.ts";
import { TappedEngine } from "./tapped-engine.ts";

const SENDER = fileURLToPath(new URL("whip-sender.py", import.meta.url));
const SILENCE_S = 3;

describe.skipIf(!hasPeer("webrtcbin"))("GStreamer publishing over WHIP", () => {
  test("7 s of speech come through with correlation ≥ 0.95, 0 lost, and its events say who spoke", async () => {
    const speech = await loadSpeech();
    const folder = await mkdtemp(join(tmpdir(), "tonetap-gstreamer-"));
    const file = join(folder, "speech.wav");
    const audio = new Float32Array(SILENCE_S * PAGE_RATE_HZ + speech.length);
    audio.set(speech, SILENCE_S * PAGE_RATE_HZ);
    await writeFile(file, wav([audio], PAGE_RATE_HZ, 16));
    await using tap = await TappedEngine.open();

    const query = "call=gst&participant=anna&role=customer&consent=granted";
    const child = spawn(PYTHON, [SENDER, `${tap.url}whip?${query}`, file], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const pipe of [child.stdout, child.stderr]) {
      pipe.on("data", (text: Buffer) => {
        said += text;
      });
    }
    const [code] = await once(child, "close");
    await rm(folder, { recursive: true });
    expect(code, said).toBe(0);
    await expect.poll(() => tap.of("tonetap.participant.left", "anna").length).toBe(1);

    const [heard] = tap.heard;
    if (heard === undefined) throw new Error(said);
    const { correlation, configurations } = await match(heard, speech);
    console.log(
      `GStreamer webrtcbin: correlation ${correlation.toFixed(4)}, ${heard.reports.length} reports`,
      configurations,
    );
    expect(correlation).toBeGreaterThanOrEqual(0.95);
    for (const [i, { sequence }] of heard.packets.entries()) {
      expect((sequence - (heard.packets[0]?.sequence ?? 0)) & 0xffff).toBe(i);
    }
    expect(heard.reports.length).toBeGreaterThanOrEqual(1);
    expect(Math.abs(clockLagMs(heard))).toBeLessThan(500);
    expect(tap.of("tonetap.emotion", "anna").length).toBeGreaterThanOrEqual(5);
    expect(tap.of("tonetap.participant.left", "anna")[0]?.data).toMatchObject({ reason: "left" });
    expect(tap.endpoint.sessionCount).toBe(0);
  });
});
