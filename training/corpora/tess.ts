/** TESS: `OAF_angry/OAF_back_angry.wav`. Pichora-Fuller and Dupuis 2020, https://doi.org/10.5683/SP2/E8H2MF */
import { type CorpusSpec, stemOf } from "./corpus-spec.ts";

/** Speaker, word, emotion. One official file, OA_bite_neutral, lacks the F. `ps` is a pleasant surprise. */
const NAME = /^(OAF?|YAF)_([a-z]+)_(angry|disgust|fear|happy|neutral|ps|sad)$/i;
const SPEAKERS = ["OAF", "YAF"];
const CODES = ["angry", "disgust", "fear", "happy", "neutral", "ps", "sad"];

export const TESS: CorpusSpec = {
  name: "tess",
  title: "TESS",
  language: "en",
  source: "https://doi.org/10.5683/SP2/E8H2MF",
  speakers: SPEAKERS,
  emotions: { angry: 400, disgust: 400, fear: 400, happy: 400, neutral: 400, sad: 400, surprise: 400 },
  parse(path) {
    const [, name, word, code] = NAME.exec(stemOf(path)) ?? [];
    if (name === undefined || word === undefined || code === undefined) return undefined;
    const speaker = name.toUpperCase().startsWith("OA") ? "OAF" : "YAF";
    const emotion = code.toLowerCase();
    return {
      key: `${speaker}_${word}_${emotion}`.replace(/^OAF_bite_neutral$/, "OA_bite_neutral"),
      speaker,
      sex: "female",
      emotion: emotion === "ps" ? "surprise" : emotion,
      intensity: "",
      textId: word.toLowerCase(),
    };
  },
  /** Both women said each of the 200 words with each emotion. A word of which nothing is here stays unknown. */
  expected(present) {
    const words = new Set([...present].map((key) => key.split("_")[1] ?? ""));
    return SPEAKERS.flatMap((speaker) =>
      [...words].flatMap((word) =>
        CODES.map((code) => `${speaker}_${word}_${code}`.replace(/^OAF_bite_neutral$/, "OA_bite_neutral")),
      ),
    );
  },
};
