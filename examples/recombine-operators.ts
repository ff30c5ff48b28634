/**
 * The operators on their own, without an engine: packets of one stream to windows of features, for a model or a study
 * of your own. Each stage can be left out or replaced; types say what fits where.
 */
import {
  createOpusDecoder,
  createUdpRtpSource,
  decodeAudio,
  featureFrames,
  findModel,
  jitterBuffer,
  loadModelPackage,
  MediaClock,
  slidingWindows,
  systemClock,
} from "tonetap";

const clock = systemClock;
const mediaClock = new MediaClock(clock);
const { manifest } = await loadModelPackage(await findModel("tonetap-base"));
const source = await createUdpRtpSource({ port: 5004 });

source.packets
  .pipe(
    jitterBuffer({ clock, codecs: source.codecs }),
    decodeAudio({ opus: await createOpusDecoder(), codecs: source.codecs, mediaClock }),
    featureFrames({ features: manifest.features, windowFrames: manifest.window.frames }),
    slidingWindows({ model: manifest, mediaClock, hopMs: 250 }),
  )
  .subscribe((unit) => {
    if (unit.kind === "window") {
      // unit.features is [channels, frames], normalised, lent until the next one: copy what you keep.
      console.log(unit.index, unit.mediaEndMs, unit.frames, unit.speechShare);
    } else console.log(unit.kind);
  });
