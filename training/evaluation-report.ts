/** What `npm run evaluate` prints for people. */
import type { ModelPackage } from "../src/inference/index.ts";
import type { Interval } from "./bootstrap.ts";
import type { CorpusResult, EvaluationResult } from "./evaluation.ts";
import type { Figures } from "./metrics.ts";
import type { Scores } from "./scores.ts";

const TITLES: Readonly<Record<keyof Scores, string>> = {
  uar: "UAR",
  accuracy: "accuracy (WA)",
  macroF1: "macro-F1",
};
const TITLE_WIDTH = 15;
const COLUMN_WIDTH = 26;

const row = (title: string, ...cells: string[]): string =>
  `  ${title.padEnd(TITLE_WIDTH)}${cells.map((cell) => cell.padEnd(COLUMN_WIDTH)).join("")}`.trimEnd();
const percent = (share: number): string => `${(100 * share).toFixed(1).padStart(5)} %`;
const range = ([from, to]: Interval): string => `${(100 * from).toFixed(1)}–${(100 * to).toFixed(1)}`;

export function evaluationReport(model: ModelPackage, { corpora }: EvaluationResult): string {
  const line = corpora[0]?.lines[0]?.line ?? "";
  return [
    `${model.id}, line ${line}; whole recordings, as the mean over windows of 3 s every 0.5 s`,
    "In brackets 95 % intervals, had other recordings been taken; below UAR, had other speakers.",
    ...corpora.flatMap((corpus) => ["", ...corpusLines(model, corpus)]),
  ].join("\n");
}

function corpusLines(model: ModelPackage, result: CorpusResult): string[] {
  const { warm, cold } = result.figures;
  const score = (name: keyof Scores): string =>
    row(TITLES[name], ...[warm, cold].map((of) => `${percent(of[name])}  (${range(of.interval[name])})`));
  const { below } = warm.abstention;
  const lines = [
    `${result.corpus}: ${warm.recordings} recordings, ${result.speakers} speakers`,
    ...labelLines(model, result),
    row("", "after 30 s of the voice", "from the first word"),
    score("uar"),
    ...speakerLines(warm, cold),
    ...sexLines(warm, cold),
    score("accuracy"),
    score("macroF1"),
    row("ECE", percent(warm.ece), percent(cold.ece)),
    row(`top p ≥ ${below}`, ...[warm, cold].map((of) => `${percent(of.abstention.coverage)} of recordings`)),
    row("  UAR of these", ...[warm, cold].map((of) => percent(of.abstention.uar))),
    ...confusionLines(warm),
  ];
  if (result.lines.length > 1) lines.push(...lineLines(result));
  if (model.manifest.corpora.includes(result.corpus)) {
    lines.push(
      `  The model was trained on ${result.corpus}: these are no figures for voices it never heard.`,
    );
  }
  return lines;
}

function labelLines(model: ModelPackage, { figures, countedAs, withoutLabel }: CorpusResult): string[] {
  const shared = figures.warm.labels;
  const never = model.manifest.labels.filter((label) => !shared.includes(label));
  const lines = [row("labels", `${shared.join(", ")}: both sides have them, and guesses go only to them`)];
  if (never.length > 0) lines.push(row("", `${never.join(", ")}: no recording has them`));
  for (const [emotion, { label, recordings }] of Object.entries(countedAs)) {
    lines.push(row("", `${emotion}: ${recordings} recordings count as ${label}`));
  }
  for (const [emotion, recordings] of Object.entries(withoutLabel)) {
    lines.push(row("", `${emotion}: ${recordings} recordings not judged, the model has no such label`));
  }
  return lines;
}

function speakerLines(warm: Figures, cold: Figures): string[] {
  if (warm.speakerInterval === undefined || cold.speakerInterval === undefined) return [];
  const ends = (of: Figures): string => {
    const ranked = Object.entries(of.speakers).sort(([, a], [, b]) => a.uar - b.uar);
    const [worst, best] = [ranked[0], ranked[ranked.length - 1]];
    if (worst === undefined || best === undefined) return "";
    return [worst, best].map(([speaker, { uar }]) => `${(100 * uar).toFixed(0)} (${speaker})`).join(" to ");
  };
  const intervals = [warm.speakerInterval.uar, cold.speakerInterval.uar];
  return [
    row("  speakers", ...intervals.map((interval) => `${" ".repeat(9)}(${range(interval)})`)),
    row("  each alone", ends(warm), ends(cold)),
  ];
}

/** Only where there is something to compare. */
function sexLines(warm: Figures, cold: Figures): string[] {
  const sexes = Object.keys(warm.sexes);
  if (sexes.length < 2) return [];
  return sexes.map((sex) => {
    const speakers = warm.sexes[sex]?.speakers ?? 0;
    return row(
      `  ${sex}`,
      `${percent(warm.sexes[sex]?.uar ?? 0)}  (${speakers} speakers)`,
      percent(cold.sexes[sex]?.uar ?? 0),
    );
  });
}

function confusionLines({ labels, confusion }: Figures): string[] {
  const cell = (text: string | number): string => String(text).slice(0, 8).padStart(9);
  return [
    `  ${"said → judged".padEnd(TITLE_WIDTH)}${labels.map(cell).join("")}`,
    ...confusion.map((counts, i) => `  ${(labels[i] ?? "").padEnd(TITLE_WIDTH)}${counts.map(cell).join("")}`),
  ];
}

function lineLines({ lines }: CorpusResult): string[] {
  const cells = (of: "warm" | "cold") => (i: (typeof lines)[number]) =>
    `${percent(i.figures[of].uar)}, ${percent(i.unchanged[of]).trim()} as before`;
  return [
    row("UAR through", "after 30 s of the voice", "from the first word"),
    ...lines.map((result) => row(`  ${result.line}`, cells("warm")(result), cells("cold")(result))),
  ];
}
