/** Real browsers in the example's room: what they send through mediasoup, what the room hears, what the pages show. */
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import type { RtpPacket } from "../../../src/core/rtp.ts";
import { PIPELINE_RATE_HZ } from "../../../src/core/units.ts";
import type { Engine, TonetapEvent } from "../../../src/index.ts";
import { createOpusDecoder } from "../../../src/stream/opus-decoder.ts";
import { readAudioFile } from "../../../src/transport/file/audio-file.ts";
import { resample } from "../../../src/transport/file/resampler.ts";
import { attachRouter, type MediasoupRouter } from "../../../src/transport/mediasoup/index.ts";
import { launchChromium } from "../../support/chromium.ts";
import { bestMatch, opusHighPass } from "../../support/correlation.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { mediasoupMissing } from "./setup.ts";
import { collect, eventually } from "./support.ts";

const PAGE_RATE_HZ = 48_000;
/** Two sentences, and half a second before them. */
const SPEECH_S = 7;
const TICKS_PER_SAMPLE = 48_000 / PIPELINE_RATE_HZ;
const PEERS = fileURLToPath(new URL("../node_modules", import.meta.url));

/** Gives the page a microphone that says what `speak()` is called for, and nothing else: no echo canceller. */
const MICROPHONE = `(() => {
  const context = new AudioContext({ sampleRate: ${PAGE_RATE_HZ} });
  const microphone = context.createMediaStreamDestination();
  microphone.channelCount = 1;
  navigator.mediaDevices.getUserMedia = async () => microphone.stream;
  window.speak = async () => {
    const pcm = new Float32Array(await (await fetch("/speech.f32")).arrayBuffer());
    const buffer = context.createBuffer(1, pcm.length, ${PAGE_RATE_HZ});
    buffer.copyToChannel(pcm, 0);
    const player = context.createBufferSource();
    player.buffer = buffer;
    player.connect(microphone);
    const ended = new Promise((resolve) => { player.onended = resolve; });
    player.start();
    await ended;
  };
})()`;

interface ExampleRoom {
  readonly url: string;
  readonly engine: Engine;
  readonly router: MediasoupRouter & {
    dump(): Promise<{ transportIds: string[]; mapConsumerIdProducerId: object[] }>;
  };
  close(): Promise<void>;
}

describe.skipIf(mediasoupMissing() !== undefined || !hasPeer("chromium"))(
  "Chromium in the example's mediasoup room",
  () => {
    let room: ExampleRoom;
    let browser: Browser;
    let speech: Float32Array;
    const events: TonetapEvent[] = [];
    const heard = new Map<string, { source: AudioSource; packets: RtpPacket[]; end: unknown }>();

    beforeAll(async () => {
      const path = "../../../examples/mediasoup-room/server.js";
      const { openRoom } = (await import(path)) as {
        openRoom(options: object): Promise<ExampleRoom>;
      };
      room = await openRoom({ port: 0, nodePaths: [PEERS] });
      room.engine.events$.subscribe((event) => events.push(event));
      // A second tap beside the room's own keeps the packets.
      attachRouter(
        {
          attach: async (source, { participantId }) => {
            heard.set(participantId, Object.assign(collect(source), { source }));
            return source;
          },
        },
        room.router,
        {
          graceMs: 0,
          participantOf: ({ appData }) => ({ callId: "packets", participantId: String(appData.name) }),
        },
      );
      const file = await readAudioFile(
        fileURLToPath(new URL("../../../assets/demo/anna.opus", import.meta.url)),
      );
      const whole = resample(file.samples, file.sampleRateHz, PAGE_RATE_HZ);
      speech = whole.subarray(0, SPEECH_S * PAGE_RATE_HZ);
      browser = await launchChromium();
    });
    afterAll(async () => {
      await browser?.close();
      await room?.close();
    });

    const enter = async (name: string, consent: boolean): Promise<Page> => {
      const page = await browser.newPage();
      const body = Buffer.from(speech.buffer, speech.byteOffset, speech.byteLength);
      await page.route("**/speech.f32", (route) => route.fulfill({ body }));
      await page.addInitScript(MICROPHONE);
      await page.goto(room.url);
      await page.getByLabel("Your name").fill(name);
      if (consent) await page.getByRole("checkbox").check();
      await page.getByRole("button", { name: "Join" }).click();
      await page.getByText("connected").waitFor();
      return page;
    };
    const of = (type: TonetapEvent["type"], name: string): TonetapEvent[] =>
      events.filter(
        (event) => event.type === type && "participantId" in event.data && event.data.participantId === name,
      );

    test("2 pages talk: 7 s come through with correlation ≥ 0.95, events say who spoke, both pages show it", async () => {
      const [anna, ben] = [await enter("Anna", true), await enter("Ben", false)];
      await eventually(() => heard.has("Anna"));

      await anna.evaluate("speak()");
      await eventually(() => of("tonetap.speech.ended", "Anna").length >= 2);

      const packets = heard.get("Anna")?.packets ?? [];
      const { audio, configurations } = await decode(packets);
      const source = resample(speech, PAGE_RATE_HZ, PIPELINE_RATE_HZ);
      const { correlation } = bestMatch(audio, opusHighPass(source, PIPELINE_RATE_HZ));
      console.log(`Chromium ${browser.version()} through mediasoup: correlation ${correlation.toFixed(4)}`);
      expect(correlation).toBeGreaterThanOrEqual(0.95);
      // RFC 6716 table 2: configurations 8–11 are SILK-only wideband, what opusMaxPlaybackRate asks for.
      expect([...configurations].every((toc) => toc >= 8 && toc <= 11)).toBe(true);
      expect(packets.every(({ audioLevel }) => audioLevel !== undefined)).toBe(true);
      expect(of("tonetap.emotion", "Anna").length).toBeGreaterThanOrEqual(5);
      // Ben said nothing, and gave no consent.
      expect(of("tonetap.emotion", "Ben").length).toBe(0);
      for (const page of [anna, ben]) {
        const [annas, bens] = ["Anna", "Ben"].map((hasText) => page.locator(".person", { hasText }));
        expect(await annas?.locator("meter").count()).toBe(room.engine.manifest.labels.length);
        expect(await bens?.textContent()).toContain("not analysed");
      }
      await ben.close();
      await eventually(() => of("tonetap.participant.left", "Ben").length === 1);
      await anna.close();
      await eventually(() => of("tonetap.participant.left", "Anna").length === 1);
      expect(of("tonetap.participant.joined", "Anna").length).toBe(1);
      const { transportIds, mapConsumerIdProducerId } = await room.router.dump();
      expect([transportIds.length, mapConsumerIdProducerId.length]).toEqual([0, 0]);
    });

    test("a page that mutes and unmutes, then reloads, stays 1 participant and is heard 3 times", async () => {
      const page = await enter("Clara", true);
      const spoken = () => of("tonetap.speech.ended", "Clara").length;
      const speakOnce = async (who: Page): Promise<void> => {
        const before = spoken();
        await who.evaluate("speak()");
        await eventually(() => spoken() > before);
      };

      await speakOnce(page);
      await page.getByRole("button", { name: "Mute" }).click();
      await page.getByRole("button", { name: "Unmute" }).click();
      await page.getByRole("button", { name: "Mute" }).waitFor();
      await speakOnce(page);
      await page.close();
      const again = await enter("Clara", true);
      await speakOnce(again);
      await again.close();
      await eventually(() => of("tonetap.participant.left", "Clara").length === 1);

      expect(of("tonetap.participant.joined", "Clara").length).toBe(1);
    });
  },
);

/** Opus → PCM at the pipeline's rate on the packets' own time line, and the configurations that were used. */
async function decode(
  packets: readonly RtpPacket[],
): Promise<{ audio: Float32Array; configurations: Set<number> }> {
  const decoder = await createOpusDecoder();
  const configurations = new Set<number>();
  const first = packets[0]?.timestamp ?? 0;
  const pieces: { at: number; samples: Float32Array }[] = [];
  for (const { payload, timestamp } of packets) {
    if (payload.length > 0) configurations.add((payload[0] ?? 0) >> 3);
    const samples = decoder.decode(payload);
    if (samples !== undefined) pieces.push({ at: ((timestamp - first) >>> 0) / TICKS_PER_SAMPLE, samples });
  }
  decoder.close();
  // Silence before and behind, so that the reference fits wherever it lies.
  const end = Math.max(...pieces.map(({ at, samples }) => at + samples.length));
  const audio = new Float32Array(end + 2 * PIPELINE_RATE_HZ);
  for (const { at, samples } of pieces) audio.set(samples, PIPELINE_RATE_HZ + at);
  return { audio, configurations };
}
