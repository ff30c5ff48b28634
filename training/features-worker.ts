/** One thread of `npm run features`: a file in, its features through every line out. The order of work is features.ts. */
import { parentPort } from "node:worker_threads";
import { TonetapError } from "../src/core/errors.ts";
import type { FeatureSpec } from "../src/core/feature-spec.ts";
import { resample } from "../src/core/resampler.ts";
import { PIPELINE_RATE_HZ } from "../src/core/units.ts";
import { readAudioFile, resampleTo16k } from "../src/transport/file/audio-file.ts";
import { clipFeatures, trimTrailingZeros } from "./clip-features.ts";
import { parseLine, splitSpeed, throughLine } from "./line.ts";
import type { JobAnswer } from "./worker-pool.ts";

export interface FeatureJob {
  readonly id: number;
  readonly path: string;
  readonly trimZeros: boolean;
  /** Line names, each perhaps with `@speed`. */
  readonly lines: readonly string[];
  readonly spec: FeatureSpec;
}

/** The features, one entry a line. */
export interface FeatureJobResult extends JobAnswer {
  readonly outputs?: readonly { readonly features: Float16Array<ArrayBuffer>; readonly speech: Uint8Array }[];
}

async function run(job: FeatureJob): Promise<FeatureJobResult> {
  try {
    const read = resampleTo16k(await readAudioFile(job.path));
    const samples = job.trimZeros ? trimTrailingZeros(read) : read;
    const outputs = [];
    for (const name of job.lines) {
      const { line, speed } = splitSpeed(name);
      const played = resample(samples, Math.round(PIPELINE_RATE_HZ * speed), PIPELINE_RATE_HZ);
      const clip = clipFeatures(await throughLine(played, parseLine(line)), job.spec);
      if (clip.frames === 0) throw new TonetapError("media", "it is shorter than one frame");
      outputs.push({ features: new Float16Array(clip.values), speech: clip.speech });
    }
    return { id: job.id, outputs };
  } catch (error) {
    return { id: job.id, reason: TonetapError.from(error).message };
  }
}

parentPort?.on("message", (job: FeatureJob) => {
  void run(job).then((result) => {
    parentPort?.postMessage(result, result.outputs?.map((output) => output.features.buffer) ?? []);
  });
});
