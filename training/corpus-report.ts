/** What `npm run corpus -- check` prints for people. */
import { type CorpusCheck, FAULTS, type Fault, isClean, type Tally } from "./corpus-check.ts";

/** Names of one kind that are listed; the rest is counted. `--json` has all. */
const MOST_NAMES = 8;
const TITLE_WIDTH = 13;
const TITLES: Readonly<Record<Fault, string>> = {
  unreadable: "unreadable",
  cut: "cut off",
  abrupt: "abrupt",
  silent: "silent",
  clipped: "clipped",
  zeroPadded: "zero-padded",
  short: "short",
};

export function corpusReport(check: CorpusCheck): string {
  const { published, corpus, labelledBy, folder, files, speakers, emotions, durationS } = check;
  const what = published === undefined || published === corpus ? corpus : `${corpus} (${published})`;
  const by = labelledBy === "manifest" ? "its manifest.csv" : "its file names";
  const minutes = `${(durationS.total / 60).toFixed(1)} min`;
  const range = `${durationS.shortest.toFixed(2)}–${durationS.longest.toFixed(2)} s each`;
  const rates = check.sampleRatesHz.map((hz) => `${hz} Hz`).join(", ");
  return [
    `${what}: ${folder}, labelled by ${by}`,
    row("files", against(files)),
    row("speakers", against(speakers)),
    ...Object.entries(emotions).map(([emotion, count]) => row(emotion, against(count))),
    row("sound", [minutes, range, rates].join(", ")),
    ...missingLines(check),
    ...(Object.keys(FAULTS) as Fault[]).flatMap((fault) => faultLines(check, fault)),
    ...duplicateLines(check),
    ...listed(
      row("labels", `${count(check.problems.length)}  files and lines left out or doubtful`),
      check.problems.map(({ file, reason }) => `${file}: ${reason}`),
    ),
    isClean(check) ? "  Nothing is wrong." : "",
  ]
    .filter((line) => line !== "")
    .join("\n");
}

const row = (title: string, text: string): string => `  ${title.padEnd(TITLE_WIDTH)}${text}`;

const count = (files: number): string => String(files).padStart(5);

function against({ found, official }: Tally): string {
  if (official === undefined) return count(found);
  const difference = found - official;
  const remark =
    difference === 0 ? "" : difference < 0 ? `, ${-difference} missing` : `, ${difference} too many`;
  return `${count(found)} of ${official}${remark}`;
}

function missingLines({ missing, files }: CorpusCheck): string[] {
  if (missing !== undefined) return listed(row("missing", count(missing.length)), missing);
  const lacks = (files.official ?? 0) - files.found;
  return lacks > 0 ? [row("missing", `${count(lacks)}  this corpus's naming does not tell which`)] : [];
}

function faultLines({ findings }: CorpusCheck, fault: Fault): string[] {
  const found = findings.filter((finding) => finding.fault === fault);
  const files = new Set(found.map(({ file }) => file)).size;
  return listed(
    row(TITLES[fault], `${count(files)}  ${FAULTS[fault]}`),
    found.map(({ file, detail }) => (detail.includes(file) ? detail : `${file}: ${detail}`)),
  );
}

function duplicateLines({ duplicates, pairsNotCompared }: CorpusCheck): string[] {
  const lines = listed(
    row("duplicates", `${count(duplicates.length)}  groups of recordings that are one`),
    duplicates.map(({ files, exact, correlation, labelsDiffer }) => {
      const how = exact ? "the same samples" : `the same sound, correlation ${correlation.toFixed(2)}`;
      return `${files.join(" = ")} (${how}${labelsDiffer ? "; their labels differ" : ""})`;
    }),
  );
  if (pairsNotCompared > 0)
    lines.push(row("not compared", `${count(pairsNotCompared)}  pairs that look alike`));
  return lines;
}

function listed(title: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const shown = names.slice(0, MOST_NAMES).map((name) => `    ${name}`);
  const rest = names.length - shown.length;
  return [title, ...shown, ...(rest > 0 ? [`    and ${rest} more`] : [])];
}
