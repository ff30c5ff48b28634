/** EMO-DB: `wav/03a01Fa.wav`. Burkhardt and others 2005, http://emodb.bilderbar.info */
import { type CorpusSpec, stemOf } from "./corpus-spec.ts";

/** Speaker, sentence, emotion (of the German word), take. */
const NAME = /^(\d\d)([ab]\d\d)([WLEAFTN])([a-z])$/;
const EMOTIONS = new Map([
  ["W", "angry"],
  ["L", "boredom"],
  ["E", "disgust"],
  ["A", "fear"],
  ["F", "happy"],
  ["T", "sad"],
  ["N", "neutral"],
]);
const MEN = ["03", "10", "11", "12", "15"];
const WOMEN = ["08", "09", "13", "14", "16"];

/** Takes that listeners recognised were kept, the others not: which ones follows no rule, so there is no list. */
export const EMO_DB: CorpusSpec = {
  name: "emodb",
  title: "EMO-DB",
  language: "de",
  source: "http://emodb.bilderbar.info",
  speakers: [...MEN, ...WOMEN].sort(),
  emotions: { angry: 127, boredom: 81, disgust: 46, fear: 69, happy: 71, sad: 62, neutral: 79 },
  parse(path) {
    const key = stemOf(path);
    const [, speaker = "", sentence = "", code = ""] = NAME.exec(key) ?? [];
    const emotion = EMOTIONS.get(code);
    const isMan = MEN.includes(speaker);
    if (emotion === undefined || (!isMan && !WOMEN.includes(speaker))) return undefined;
    return { key, speaker, sex: isMan ? "male" : "female", emotion, intensity: "", textId: sentence };
  },
};
