import { describe, expect, it } from "vitest";
import { detectCorpus, officialFiles, PUBLISHED_CORPORA } from "../../training/corpora/index.ts";

const named = (name: string) => PUBLISHED_CORPORA.find((spec) => spec.name === name) ?? expect.fail(name);

/** As the authors' archives pack them, and as mirrors do. */
const EXAMPLES = [
  ["ravdess", "Actor_12/03-01-06-01-02-01-12.wav", "12 female fear normal 02"],
  ["ravdess", "audio_speech_actors_01-24/Actor_01/03-01-02-02-01-02-01.wav", "01 male calm strong 01"],
  ["cremad", "AudioWAV/1001_DFA_ANG_XX.wav", "1001  angry  DFA"],
  ["cremad", "AudioMP3/1091_IEO_SAD_HI.mp3", "1091  sad high IEO"],
  ["cremad", "1040_ITH_SAD_X.wav", "1040  sad  ITH"],
  ["savee", "AudioData/DC/a01.wav", "DC male angry  a01"],
  ["savee", "KL_su15.flac", "KL male surprise  su15"],
  ["savee", "AudioData/JK/n30.wav", "JK male neutral  n30"],
  ["tess", "OAF_angry/OAF_back_angry.wav", "OAF female angry  back"],
  ["tess", "YAF_pleasant_surprised/YAF_youth_ps.wav", "YAF female surprise  youth"],
  ["tess", "OAF_neutral/OA_bite_neutral.wav", "OAF female neutral  bite"],
  ["emodb", "wav/03a01Fa.wav", "03 male happy  a01"],
  ["emodb", "wav/16b10Wb.opus", "16 female angry  b10"],
  ["emodb", "wav/08b09La.wav", "08 female boredom  b09"],
  ["emovo", "EMOVO/f1/dis-f1-b1.wav", "f1 female disgust  b1"],
  ["emovo", "m3/gio-m3-n5.wav", "m3 male happy  n5"],
] as const;

describe("PUBLISHED_CORPORA", () => {
  it.each(EXAMPLES)("%s reads all 5 things that the name %s tells", (corpus, path, told) => {
    const clip = named(corpus).parse(path);
    if (clip === undefined || "unusable" in clip) return expect.fail(path);
    expect([clip.speaker, clip.sex, clip.emotion, clip.intensity, clip.textId].join(" ")).toBe(told);
  });

  it.each([
    ["ravdess", "03-01-09-01-01-01-01.wav"],
    ["ravdess", "03-01-05-01-01-01-25.wav"],
    ["ravdess", "03-01-05-01-03-01-01.wav"],
    ["cremad", "1092_DFA_ANG_XX.wav"],
    ["cremad", "1001_DFA_BOR_XX.wav"],
    ["savee", "AudioData/DC/a16.wav"],
    ["savee", "AudioData/XX/a01.wav"],
    ["tess", "OAF_back_bored.wav"],
    ["emodb", "07a01Fa.wav"],
    ["emodb", "03a01Xa.wav"],
    ["emovo", "dis-f4-b1.wav"],
    ["emovo", "dis-f1-b4.wav"],
  ])("%s does not take %s for 1 of its own", (corpus, path) => {
    expect(named(corpus).parse(path)).toBeUndefined();
  });

  it("leaves RAVDESS's song and video out, 2 kinds that are named alike", () => {
    expect(named("ravdess").parse("Actor_01/03-02-05-01-01-01-01.wav")).toEqual({
      unusable: "it is song, not speech",
    });
    expect(named("ravdess").parse("Actor_01/01-01-05-01-01-01-01.wav")).toHaveProperty("unusable");
  });

  it("has the 6 official sizes: 1440, 7442, 480, 2800, 535, 588", () => {
    expect(PUBLISHED_CORPORA.map((spec) => [spec.name, officialFiles(spec), spec.speakers.length])).toEqual([
      ["ravdess", 1440, 24],
      ["cremad", 7442, 91],
      ["savee", 480, 4],
      ["tess", 2800, 2],
      ["emodb", 535, 10],
      ["emovo", 588, 6],
    ]);
  });

  it.each(["ravdess", "savee", "emovo"])(
    "lists every recording of %s: 1 a key, in the official numbers",
    (name) => {
      const spec = named(name);
      const keys = spec.expected?.(new Set()) ?? [];
      expect(new Set(keys).size).toBe(officialFiles(spec));
      const counts: Record<string, number> = {};
      for (const key of keys) {
        const clip = spec.parse(`${key}.wav`);
        if (clip === undefined || "unusable" in clip) return expect.fail(key);
        expect(clip.key).toBe(key);
        counts[clip.emotion] = (counts[clip.emotion] ?? 0) + 1;
      }
      expect(counts).toEqual(spec.emotions);
    },
  );

  it("expects of TESS all 14 recordings of a word of which 1 is here, and OA_bite_neutral by its official name", () => {
    const keys = named("tess").expected?.(new Set(["YAF_bite_sad"])) ?? [];
    expect(keys).toHaveLength(14);
    expect(keys).toContain("OA_bite_neutral");
    expect(keys).not.toContain("OAF_bite_neutral");
  });

  it("counts CREMA-D by the official table: 91 actors, 12 sentences, 20 recordings never published", () => {
    const spec = named("cremad");
    const levels = (emotion: string, sentence: string): string[] =>
      sentence === "IEO" && emotion !== "NEU" ? ["LO", "MD", "HI"] : ["XX"];
    const sentences = ["DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI"];
    const names = spec.speakers.flatMap((actor) =>
      sentences.flatMap((sentence) =>
        ["ANG", "DIS", "FEA", "HAP", "NEU", "SAD"].flatMap((emotion) =>
          levels(emotion, sentence).map((level) => `AudioWAV/${actor}_${sentence}_${emotion}_${level}.wav`),
        ),
      ),
    );
    expect(names).toHaveLength(officialFiles(spec) + 20);
    expect(names.every((name) => spec.parse(name) !== undefined)).toBe(true);
    expect(detectCorpus(names)).toBe(spec);
  });
});

describe("detectCorpus", () => {
  it.each(PUBLISHED_CORPORA.map((spec) => [spec.name]))(
    "knows %s by 2 or more of its names, and by a third of others among them",
    (name) => {
      const paths = EXAMPLES.filter(([corpus]) => corpus === name).map(([, path]) => path as string);
      expect(detectCorpus([...paths, "notes/intro.wav"])?.name).toBe(name);
    },
  );

  it("takes none for a corpus when only 1 of 3 names fits, as BanglaSER's fit RAVDESS", () => {
    const paths = ["03-01-01-01-01-01-07.wav", "03-01-01-01-03-01-07.wav", "03-01-01-01-01-03-34.wav"];
    expect(detectCorpus(paths)).toBeUndefined();
    expect(detectCorpus([])).toBeUndefined();
  });
});
