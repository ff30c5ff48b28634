/** RAVDESS, speech: `Actor_01/03-01-06-01-02-01-12.wav`. Livingstone and Russo 2018, https://doi.org/10.5281/zenodo.1188976 */
import { type CorpusSpec, numbered, stemOf } from "./corpus-spec.ts";

/** Modality, channel, emotion, intensity, statement, repetition, actor. */
const NAME = /^(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)$/;
const EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise"];
const ACTORS = numbered(1, 24);

export const RAVDESS: CorpusSpec = {
  name: "ravdess",
  title: "RAVDESS",
  language: "en",
  source: "https://doi.org/10.5281/zenodo.1188976",
  speakers: ACTORS,
  emotions: {
    neutral: 96,
    calm: 192,
    happy: 192,
    sad: 192,
    angry: 192,
    fear: 192,
    disgust: 192,
    surprise: 192,
  },
  parse(path) {
    const key = stemOf(path);
    const [, modality, channel, code, level, statement, , actor = ""] = NAME.exec(key) ?? [];
    const emotion = EMOTIONS[Number(code) - 1];
    if (emotion === undefined || !ACTORS.includes(actor)) return undefined;
    if (modality !== "03") return { unusable: "it is the video's sound or none: only 03-… is audio-only" };
    if (channel !== "01") return { unusable: "it is song, not speech" };
    return {
      key,
      speaker: actor,
      // Odd-numbered actors are men.
      sex: Number(actor) % 2 === 1 ? "male" : "female",
      emotion,
      intensity: level === "02" ? "strong" : "normal",
      textId: statement ?? "",
    };
  },
  expected: () =>
    ACTORS.flatMap((actor) =>
      EMOTIONS.flatMap((emotion, i) =>
        // There is no strong neutral.
        numbered(1, emotion === "neutral" ? 1 : 2).flatMap((level) =>
          ["01-01", "01-02", "02-01", "02-02"].map(
            (statementAndRepetition) => `03-01-0${i + 1}-${level}-${statementAndRepetition}-${actor}`,
          ),
        ),
      ),
    ),
};
