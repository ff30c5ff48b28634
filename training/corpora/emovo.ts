/** EMOVO: `f1/dis-f1-b1.wav`. Costantini and others 2014, https://aclanthology.org/L14-1478 */
import { type CorpusSpec, stemOf } from "./corpus-spec.ts";

/** Emotion (of the Italian word), speaker, sentence. */
const NAME = /^(dis|gio|neu|pau|rab|sor|tri)-([fm][123])-(b[123]|d[12]|l[1-4]|n[1-5])$/;
const EMOTIONS = new Map([
  ["dis", "disgust"],
  ["gio", "happy"],
  ["neu", "neutral"],
  ["pau", "fear"],
  ["rab", "angry"],
  ["sor", "surprise"],
  ["tri", "sad"],
]);
const SPEAKERS = ["f1", "f2", "f3", "m1", "m2", "m3"];
const SENTENCES = ["b1", "b2", "b3", "d1", "d2", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5"];

export const EMOVO: CorpusSpec = {
  name: "emovo",
  title: "EMOVO",
  language: "it",
  source: "https://aclanthology.org/L14-1478",
  speakers: SPEAKERS,
  emotions: { angry: 84, disgust: 84, fear: 84, happy: 84, neutral: 84, sad: 84, surprise: 84 },
  parse(path) {
    const key = stemOf(path);
    const [, code = "", speaker = "", sentence = ""] = NAME.exec(key) ?? [];
    const emotion = EMOTIONS.get(code);
    if (emotion === undefined) return undefined;
    return {
      key,
      speaker,
      sex: speaker.startsWith("f") ? "female" : "male",
      emotion,
      intensity: "",
      textId: sentence,
    };
  },
  expected: () =>
    [...EMOTIONS.keys()].flatMap((code) =>
      SPEAKERS.flatMap((speaker) => SENTENCES.map((sentence) => `${code}-${speaker}-${sentence}`)),
    ),
};
