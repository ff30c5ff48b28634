/** CREMA-D: `AudioWAV/1001_DFA_ANG_XX.wav`. Cao and others 2014, https://doi.org/10.1109/TAFFC.2014.2336244 */
import { type CorpusSpec, numbered, stemOf } from "./corpus-spec.ts";

/** Actor, sentence, emotion, level. One official file, 1040_ITH_SAD_X, has a level of one letter. */
const NAME =
  /^(10\d\d)_(DFA|IEO|IOM|ITH|ITS|IWL|IWW|MTI|TAI|TIE|TSI|WSI)_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?)$/;
const EMOTIONS = new Map([
  ["ANG", "angry"],
  ["DIS", "disgust"],
  ["FEA", "fear"],
  ["HAP", "happy"],
  ["NEU", "neutral"],
  ["SAD", "sad"],
]);
const LEVELS = new Map([
  ["LO", "low"],
  ["MD", "medium"],
  ["HI", "high"],
]);
const ACTORS = numbered(1001, 1091, 4);

/** Twenty of the 7,462 that a full table of actors, sentences and emotions would have were never published: no list. */
export const CREMA_D: CorpusSpec = {
  name: "cremad",
  title: "CREMA-D",
  language: "en",
  source: "https://github.com/CheyneyComputerScience/CREMA-D",
  speakers: ACTORS,
  emotions: { angry: 1271, disgust: 1271, fear: 1271, happy: 1271, neutral: 1087, sad: 1271 },
  parse(path) {
    const key = stemOf(path);
    const [, actor = "", sentence = "", code = "", level = ""] = NAME.exec(key) ?? [];
    const emotion = EMOTIONS.get(code);
    if (emotion === undefined || !ACTORS.includes(actor)) return undefined;
    return {
      key: key.replace(/_X$/, "_XX"),
      speaker: actor,
      // Only VideoDemographics.csv tells.
      sex: "",
      emotion,
      intensity: LEVELS.get(level) ?? "",
      textId: sentence,
    };
  },
};
