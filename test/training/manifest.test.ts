import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseCsv, parseManifest } from "../../training/manifest.ts";

describe("parseCsv", () => {
  it("gives back 1 to 5 fields with commas, quotes and line ends, whatever they hold", () => {
    const field = fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "\r", " ", "ü") });
    const table = fc.array(fc.array(field, { minLength: 2, maxLength: 5 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(table, fc.constantFrom("\n", "\r\n"), fc.boolean(), (rows, lineEnd, endsWithLineEnd) => {
        const text = rows
          .map((row) => row.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(","))
          .join(lineEnd);
        expect(parseCsv(endsWithLineEnd ? text + lineEnd : text)).toEqual(rows);
      }),
    );
  });

  it("refuses a quote in the middle of 1 field", () => {
    expect(() => parseCsv('a,b\nx,y"z\n')).toThrowError(/stray quote in record 2/);
  });
});

describe("parseManifest", () => {
  it("takes 9 other words for the emotions, as corpora and tools use them, and a duration if it is one", () => {
    const words = "anger,disgusted,anxiety,fearful,happiness,joy,sadness,surprised,bored".split(",");
    const lines = words.map((word, i) => `${i}.wav,s1,${word},${i === 0 ? "1.5" : "long"}`);
    const { rows, problems } = parseManifest(["file,speaker,emotion,duration_s", ...lines].join("\n"), "x");
    expect(problems).toEqual([]);
    expect(rows.map(({ emotion }) => emotion).join(",")).toBe(
      "angry,disgust,fear,fear,happy,happy,sad,surprise,boredom",
    );
    expect(rows.map(({ durationS }) => durationS)).toEqual([1.5, ...new Array(8).fill(undefined)]);
  });

  it("names the 2 columns that are missing", () => {
    expect(() => parseManifest("file,sex\na.wav,f\n", "calls.csv")).toThrowError(
      "calls.csv lacks the column speaker, emotion",
    );
  });

  it("keeps 2 good lines of 5 and says of each other what is wrong with it", () => {
    const text = [
      "\uFEFFfile,speaker,emotion,corpus",
      "a.wav,s1,Angry,mine",
      "b.wav,s1,grumpy,mine",
      "c.wav,,sad,mine",
      ",s1,sad,mine",
      "d.wav,s2,calm,",
    ].join("\n");
    const { rows, problems } = parseManifest(text, "folder");
    expect(rows.map(({ file, corpus, emotion }) => `${file} ${corpus} ${emotion}`)).toEqual([
      "a.wav mine angry",
      "d.wav folder calm",
    ]);
    expect(problems.map(({ file, reason }) => `${file}: ${reason.slice(0, 24)}`)).toEqual([
      'b.wav: unknown emotion "grumpy"',
      "c.wav: its speaker is empty",
      "folder, record 5: its file is empty",
    ]);
  });
});
