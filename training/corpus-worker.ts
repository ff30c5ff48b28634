/** One thread of `npm run corpus -- check`: a file in, what can be measured of it out; or two, and how alike they are. */
import { parentPort } from "node:worker_threads";
import { TonetapError } from "../src/core/errors.ts";
import { readAudioFile, resampleTo16k } from "../src/transport/file/audio-file.ts";
import { type AudioFacts, audioFacts } from "./audio-facts.ts";
import { soundCorrelation } from "./duplicates.ts";
import type { JobAnswer } from "./worker-pool.ts";

export type CorpusJob =
  | { readonly id: number; readonly kind: "measure"; readonly path: string }
  | { readonly id: number; readonly kind: "compare"; readonly path: string; readonly other: string };

export interface CorpusAnswer extends JobAnswer {
  /** Of `measure`. */
  readonly facts?: AudioFacts;
  /** Of `compare`. */
  readonly correlation?: number;
}

async function run(job: CorpusJob): Promise<CorpusAnswer> {
  try {
    const audio = await readAudioFile(job.path);
    if (job.kind === "measure") return { id: job.id, facts: audioFacts(audio.samples, audio.sampleRateHz) };
    const other = await readAudioFile(job.other);
    return { id: job.id, correlation: soundCorrelation(resampleTo16k(audio), resampleTo16k(other)) };
  } catch (error) {
    return { id: job.id, reason: TonetapError.from(error).message };
  }
}

parentPort?.on("message", (job: CorpusJob) => {
  void run(job).then((answer) => parentPort?.postMessage(answer));
});
