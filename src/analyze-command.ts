/** `tonetap analyze`: what is printed, and the exit code. The analysis is analyze.ts. */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { type AnalysisItem, analyzeFiles } from "./analyze.ts";
import { AnalyzeReport } from "./analyze-report.ts";
import type { Config } from "./config.ts";
import { TonetapError } from "./core/errors.ts";

export interface AnalyzeCommand {
  readonly config: Config;
  /** `json`, `summary`, `direct`: true or absent. `channel`: a text. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly files: readonly string[];
  readonly out: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly err: Writable;
  readonly signal: AbortSignal;
  /** `NO_COLOR` (no-color.org) is looked at. Default process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Prints JSON lines: with `json` the events (and failures), with `summary` one object a file. With neither, lines for
 * people (analyze-report.ts). What is wrong with a file also goes to `err`.
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
  env = process.env,
}: AnalyzeCommand): Promise<number> {
  if (files.length === 0) throw new TonetapError("invalid-argument", "analyze needs at least one file");
  const show = { events: flags.json === true, summaries: flags.summary === true };
  const report = new AnalyzeReport({
    columns: out.columns,
    colour: out.isTTY === true && (env.NO_COLOR ?? "") === "",
  });
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
    const lines = show.events || show.summaries ? jsonLines(item, show) : report.take(item);
    if (lines.length > 0 && !out.write(`${lines.join("\n")}\n`)) await once(out, "drain");
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
function jsonLines(item: AnalysisItem, show: { events: boolean; summaries: boolean }): string[] {
  const { file } = item;
  switch (item.kind) {
    case "event":
      return show.events ? [JSON.stringify({ ...item.event, file })] : [];
    case "summary":
      return show.summaries ? [JSON.stringify({ type: "tonetap.file.summary", file, ...item.summary })] : [];
    case "failed": {
      const { code, message } = item.error;
      return [JSON.stringify({ type: "tonetap.file.failed", file, error: { code, message } })];
    }
    default:
      return item satisfies never;
  }
}
