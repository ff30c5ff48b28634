/** `tonetap analyze`: what is printed, and the exit code. The analysis is analyze.ts. */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { type AnalysisItem, analyzeFiles, type FileSummary } from "./analyze.ts";
import type { Config } from "./config.ts";
import { TonetapError } from "./core/errors.ts";

export interface AnalyzeCommand {
  readonly config: Config;
  /** `json`, `summary`, `direct`: true or absent. `channel`: a text. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly files: readonly string[];
  readonly out: Writable;
  readonly err: Writable;
  readonly signal: AbortSignal;
}

/**
 * Prints JSON lines: with `json` the events (and failures), with `summary` one object a file. With neither, one line a
 * file for people. What is wrong with a file also goes to `err`.
 * @returns the exit code: 0, or 1 if a file failed or the analysis was stopped.
 * @throws TonetapError as analyzeFiles(); invalid-argument without files.
 */
export async function runAnalyze({
  config,
  flags,
  files,
  out,
  err,
  signal,
}: AnalyzeCommand): Promise<number> {
  if (files.length === 0) throw new TonetapError("invalid-argument", "analyze needs at least one file");
  const show = { events: flags.json === true, summaries: flags.summary === true };
  let failed = 0;
  const items = analyzeFiles(files, {
    config,
    direct: flags.direct === true,
    channel: channelOf(flags.channel),
    signal,
  });
  for await (const item of items) {
    if (item.kind === "failed") {
      failed++;
      err.write(`tonetap: ${item.error.message}\n`);
    }
    const line = show.events || show.summaries ? jsonLine(item, show) : textLine(item);
    if (line !== undefined && !out.write(`${line}\n`)) await once(out, "drain");
  }
  if (failed > 0) err.write(`tonetap: ${failed} of ${files.length} files failed\n`);
  return failed > 0 || signal.aborted ? 1 : 0;
}

function channelOf(flag: unknown): "mix" | number {
  if (flag === undefined || flag === "mix") return "mix";
  if (typeof flag === "string" && /^\d{1,3}$/.test(flag)) return Number(flag);
  throw new TonetapError("invalid-argument", `channel must be mix or a number from 0, got ${flag}`);
}

/** Events are CloudEvents with the extension `file`; the other lines tell themselves apart by `type`. */
function jsonLine(item: AnalysisItem, show: { events: boolean; summaries: boolean }): string | undefined {
  const { file } = item;
  switch (item.kind) {
    case "event":
      return show.events ? JSON.stringify({ ...item.event, file }) : undefined;
    case "summary":
      return show.summaries
        ? JSON.stringify({ type: "tonetap.file.summary", file, ...item.summary })
        : undefined;
    case "failed": {
      const { code, message } = item.error;
      return JSON.stringify({ type: "tonetap.file.failed", file, error: { code, message } });
    }
    default:
      return item satisfies never;
  }
}

const textLine = (item: AnalysisItem): string | undefined =>
  item.kind === "summary" ? `${item.file}: ${inWords(item.summary)}` : undefined;

function inWords({ label, probabilities, durationS, windows, realTimeFactor }: FileSummary): string {
  const others = Object.entries(probabilities ?? {})
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 3)
    .map(([name, p]) => `${name} ${Math.round(100 * p)} %`);
  const judged = windows.emitted + windows.abstained;
  const heard = `${durationS.toFixed(1)} s, ${judged} windows judged, ${Math.round(1 / realTimeFactor)} times real time`;
  return label === null ? `no speech found; ${heard}` : `${label} (${others.join(", ")}); ${heard}`;
}
