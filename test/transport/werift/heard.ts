/** What has been heard of a WHIP publisher, and how well it matches what was played. */
import { fileURLToPath } from "node:url";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import { resample } from "../../../src/core/resampler.ts";
import type { RtpPacket, SenderReport } from "../../../src/core/rtp.ts";
import { PIPELINE_RATE_HZ } from "../../../src/core/units.ts";
import { createOpusDecoder } from "../../../src/stream/opus-decoder.ts";
import { readAudioFile } from "../../../src/transport/file/audio-file.ts";
import { splitRed } from "../../../src/transport/red.ts";
import { bestMatch, opusHighPass } from "../../support/correlation.ts";
import { PAGE_RATE_HZ } from "./publisher-page.ts";

const SPEECH = fileURLToPath(new URL("../../../assets/demo/anna.opus", import.meta.url));
/** Two sentences, and half a second before them. */
const SPEECH_S = 7;
const TICKS_PER_SAMPLE = 48_000 / PIPELINE_RATE_HZ;

export interface Heard {
  readonly source: AudioSource;
  readonly packets: RtpPacket[];
  /** `lateMs`: wall time when it came, less the time that it tells. */
  readonly reports: (SenderReport & { readonly lateMs: number })[];
  ended: boolean;
}

/** Keeps everything that a source says from now on. */
export function hear(source: AudioSource): Heard {
  const heard: Heard = { source, packets: [], reports: [], ended: false };
  const end = (): void => {
    heard.ended = true;
  };
  source.packets.subscribe({
    next: (packet) => heard.packets.push(packet),
    error: end,
    complete: end,
  });
  source.senderReports?.subscribe((report) =>
    heard.reports.push({ ...report, lateMs: Date.now() - report.ntpWallMs }),
  );
  return heard;
}

/**
 * By how much the sender's clock is behind this machine's, ms, as far as its reports can say: a report is as old as its
 * way here, which a busy machine makes long, and the one that came quickest says it best.
 */
export function clockLagMs({ reports }: Heard): number {
  return Math.min(...reports.map(({ lateMs }) => lateMs));
}

/** The first seconds of the demo's Anna, mono, {@link PAGE_RATE_HZ}. */
export async function loadSpeech(seconds = SPEECH_S): Promise<Float32Array> {
  const file = await readAudioFile(SPEECH);
  return resample(file.samples, file.sampleRateHz, PAGE_RATE_HZ).subarray(0, seconds * PAGE_RATE_HZ);
}

/** How well it matches `speech`, and which Opus frames it came in. */
export async function match(
  heard: Heard,
  speech: Float32Array,
): Promise<{ correlation: number; configurations: Map<string, number> }> {
  const { audio, configurations } = await decode(heard);
  const reference = opusHighPass(resample(speech, PAGE_RATE_HZ, PIPELINE_RATE_HZ), PIPELINE_RATE_HZ);
  return { correlation: bestMatch(audio, reference).correlation, configurations };
}

/** Puts the audio where its timestamps say, silence where DTX sent nothing, and counts the kinds of Opus frames. */
export async function decode(
  heard: Heard,
): Promise<{ audio: Float32Array; configurations: Map<string, number> }> {
  const decoder = await createOpusDecoder();
  const configurations = new Map<string, number>();
  const first = heard.packets[0]?.timestamp ?? 0;
  const pieces: { at: number; samples: Float32Array }[] = [];
  for (const packet of heard.packets) {
    let { payload } = packet;
    if (heard.source.codecs.get(packet.payloadType)?.mimeType === "audio/red") {
      const red = splitRed(payload);
      if (red === "malformed") throw new Error("malformed RED");
      payload = red.primary.payload;
    }
    const toc = payload[0] ?? 0;
    const kind = `config ${toc >> 3} ${(toc & 4) === 0 ? "mono" : "stereo"}`;
    configurations.set(kind, (configurations.get(kind) ?? 0) + 1);
    const samples = decoder.decode(payload);
    if (samples !== undefined) {
      pieces.push({ at: ((packet.timestamp - first) >>> 0) / TICKS_PER_SAMPLE, samples });
    }
  }
  decoder.close();
  // Silence before and behind, so that the reference fits wherever it lies.
  const end = Math.max(...pieces.map(({ at, samples }) => at + samples.length));
  const audio = new Float32Array(end + 2 * PIPELINE_RATE_HZ);
  for (const { at, samples } of pieces) audio.set(samples, PIPELINE_RATE_HZ + at);
  return { audio, configurations };
}
