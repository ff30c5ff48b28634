/** CPU time of one participant's chain, stage by stage: decode, features, windows. Prints µs a 20 ms Opus packet. */
import { type Observable, Subject } from "rxjs";
import { systemClock } from "../src/core/clock.ts";
import { DEFAULT_FEATURE_SPEC, featureChannels } from "../src/core/feature-spec.ts";
import type { MediaUnit } from "../src/core/media.ts";
import { MediaClock } from "../src/core/media-clock.ts";
import type { Normalisation } from "../src/core/model.ts";
import { OPUS } from "../src/core/rtp.ts";
import { createOpusDecoder, decodeAudio, featureFrames, slidingWindows } from "../src/stream/index.ts";
import { mediaUnits, OPUS_TYPE, startUnit } from "../test/support/media-units.ts";
import { encodeOpus } from "../test/support/opus-encoding.ts";
import { speechLike } from "../test/support/speech-like.ts";

const PARTICIPANTS = 20;
const ROUNDS = 3;
const STAGES = ["nothing", "decode", "decode, features", "decode, features, windows"] as const;

const channels = featureChannels(DEFAULT_FEATURE_SPEC);
const normalisation: Normalisation = {
  kind: "speaker",
  mean: new Array<number>(channels).fill(0),
  std: new Array<number>(channels).fill(10),
  priorFrames: 300,
  maxFrames: 6_000,
};
const model = { features: DEFAULT_FEATURE_SPEC, window: { frames: 300, minFrames: 40 }, normalisation };
const codecs = new Map([[OPUS_TYPE, OPUS]]);
const talk = speechLike({
  seconds: 30,
  spurts: [
    [0.5, 14],
    [16, 29],
  ],
});
const units = [startUnit, ...mediaUnits(await encodeOpus(talk))];

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

async function chain(source: Observable<MediaUnit>, stages: number): Promise<Observable<unknown>> {
  if (stages === 0) return source;
  const mediaClock = new MediaClock(systemClock);
  const pcm = source.pipe(decodeAudio({ opus: await createOpusDecoder(), codecs, mediaClock }));
  if (stages === 1) return pcm;
  const frames = pcm.pipe(featureFrames({ features: model.features, windowFrames: model.window.frames }));
  return stages === 2 ? frames : frames.pipe(slidingWindows({ model, mediaClock }));
}

/** µs a packet, with packets of all participants interleaved as they are on a server. */
async function measure(stages: number): Promise<number> {
  const sources = Array.from({ length: PARTICIPANTS }, () => new Subject<MediaUnit>());
  for (const source of sources) (await chain(source, stages)).subscribe();
  const before = cpuUs();
  for (const unit of units) for (const source of sources) source.next(unit);
  const used = cpuUs() - before;
  for (const source of sources) source.complete();
  return used / (PARTICIPANTS * (units.length - 1));
}

await measure(STAGES.length - 1);
for (let round = 0; round < ROUNDS; round++) {
  for (const [stages, name] of STAGES.entries()) {
    console.log(`${(await measure(stages)).toFixed(1).padStart(6)} µs  ${name}`);
  }
}
