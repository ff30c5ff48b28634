/** SAVEE: `AudioData/DC/a01.wav`, or `DC_a01.wav` in one folder. Haq and Jackson 2010, http://kahlan.eps.surrey.ac.uk/savee */
import { type CorpusSpec, numbered, stemOf } from "./corpus-spec.ts";

/** Speaker, emotion, sentence. */
const NAME = /(?:^|\/)(DC|JE|JK|KL)[/_](a|d|f|h|n|sa|su)(\d\d)$/;
const EMOTIONS = new Map([
  ["a", "angry"],
  ["d", "disgust"],
  ["f", "fear"],
  ["h", "happy"],
  ["n", "neutral"],
  ["sa", "sad"],
  ["su", "surprise"],
]);
const SPEAKERS = ["DC", "JE", "JK", "KL"];

/** Sentences of each emotion; neutral has twice as many. */
const sentences = (code: string): string[] => numbered(1, code === "n" ? 30 : 15);

export const SAVEE: CorpusSpec = {
  name: "savee",
  title: "SAVEE",
  language: "en",
  source: "http://kahlan.eps.surrey.ac.uk/savee",
  speakers: SPEAKERS,
  emotions: { angry: 60, disgust: 60, fear: 60, happy: 60, neutral: 120, sad: 60, surprise: 60 },
  parse(path) {
    const [, speaker = "", code = "", sentence = ""] = NAME.exec(stemOf(path, 2)) ?? [];
    const emotion = EMOTIONS.get(code);
    if (emotion === undefined || !sentences(code).includes(sentence)) return undefined;
    return {
      key: `${speaker}_${code}${sentence}`,
      speaker,
      sex: "male",
      emotion,
      intensity: "",
      textId: `${code}${sentence}`,
    };
  },
  expected: () =>
    SPEAKERS.flatMap((speaker) =>
      [...EMOTIONS.keys()].flatMap((code) =>
        sentences(code).map((sentence) => `${speaker}_${code}${sentence}`),
      ),
    ),
};
