/** How loud the band is in which voices are. Whether it is speech is ../voice-activity.ts. */
import type { FeatureSpec } from "../../core/feature-spec.ts";
import { hannWindow } from "./spectrum.ts";

/** Mains hum, rumble and breath on the microphone lie below. */
const LOW_HZ = 200;
/** Voices are weak above, noise is not. */
const HIGH_HZ = 4_000;

/** fftSize/2 + 1 weights on the power spectrum whose sum is the mean square of the audio between 200 and 4,000 Hz. */
export function speechBand({ frameLength, fftSize, sampleRateHz }: FeatureSpec): Float64Array {
  // Parseval, for a windowed frame: both halves of the spectrum, less the window's own power.
  const windowPower = hannWindow(frameLength).reduce((sum, w) => sum + w * w, 0);
  return Float64Array.from({ length: fftSize / 2 + 1 }, (_, k) => {
    const hz = (k * sampleRateHz) / fftSize;
    return hz >= LOW_HZ && hz <= HIGH_HZ ? 2 / (fftSize * windowPower) : 0;
  });
}
