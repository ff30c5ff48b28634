/**
 * What `tonetap analyze` writes for people: a line a talk-spurt, a line an alert, a line a file. Owns the order of lines
 * when several files are under way; JSON and the exit code are analyze-command.ts.
 */
import type { AnalysisEvent, AnalysisItem, FileSummary } from "./analyze.ts";
import { bar, column, type EventData, type Paint, paint, safe } from "./events/index.ts";

export interface ReportOptions {
  /** Cells of a line: of a narrow one valence and arousal are left out. Absent: as many as it takes. */
  readonly columns: number | undefined;
  readonly colour: boolean;
}

/** Lines of a file that is not finished. */
interface Page {
  readonly lines: string[];
  /** The strongest trend of the latest state. */
  trend: string;
  /** Media time of alerts that were raised. */
  readonly raised: Map<string, number>;
  /** Its first lines have been given. */
  begun: boolean;
  ended: boolean;
}

/** Room for valence and arousal beside the rest. */
const WIDE = 100;

export class AnalyzeReport {
  readonly #columns: number | undefined;
  readonly #paint: Paint;
  /** In the order in which their first result came: the lines of the first go out, the others wait. */
  readonly #pages = new Map<string, Page>();
  /** The bars' order; undefined until there is one, "" when it was given. */
  #legend: string | undefined;

  constructor({ columns, colour }: ReportOptions) {
    this.#columns = columns;
    this.#paint = paint(colour);
  }

  /** @returns the lines that can be written now */
  take(item: AnalysisItem): string[] {
    const page = this.#page(item.file);
    switch (item.kind) {
      case "event":
        this.#event(page, item.event);
        break;
      case "summary":
        page.lines.push(`${safe(item.file)}: ${inWords(item.summary)}`);
        page.ended = item.summary.complete;
        break;
      case "failed":
        page.ended = true;
        break;
      default:
        item satisfies never;
    }
    return this.#ready();
  }

  #page(file: string): Page {
    const known = this.#pages.get(file);
    if (known !== undefined) return known;
    const page: Page = { lines: [], trend: "", raised: new Map(), begun: false, ended: false };
    this.#pages.set(file, page);
    return page;
  }

  #ready(): string[] {
    const ready: string[] = [];
    for (const [file, page] of this.#pages) {
      // One talk-spurt and no alert: what the file's own line says is the same.
      const brief = !page.begun && page.lines.length <= 2;
      if (brief && !page.ended) break;
      if (brief) ready.push(...page.lines.slice(-1));
      else {
        if (!page.begun) ready.push(...this.#heading(file));
        page.begun = true;
        ready.push(...page.lines);
      }
      page.lines.length = 0;
      if (!page.ended) break;
      this.#pages.delete(file);
    }
    return ready;
  }

  #heading(file: string): string[] {
    const legend = this.#legend ?? "";
    if (legend !== "") this.#legend = "";
    return [...(legend === "" ? [] : [legend]), this.#paint.bold(safe(file))];
  }

  #event(page: Page, event: AnalysisEvent): void {
    switch (event.type) {
      case "tonetap.utterance":
        this.#legend ??= this.#legendOf(event.data);
        page.lines.push(this.#utterance(event.data, page.trend));
        return;
      case "tonetap.participant.state": {
        const [trend] = event.data.trends;
        page.trend =
          trend === undefined ? "" : `${trend.of} ${trend.direction} for ${seconds(trend.forMs, 0)}`;
        return;
      }
      case "tonetap.alert.raised": {
        const { alertId, mediaMs, ruleName, ruleId, measure, value } = event.data;
        page.raised.set(alertId, mediaMs);
        const words = `ALERT  ${safe(ruleName ?? ruleId)}: ${measure} ${value.toFixed(2)}`;
        page.lines.push(`  ${clockTime(mediaMs)}  ${this.#paint.warn(words)}`);
        return;
      }
      case "tonetap.alert.cleared": {
        const { alertId, ruleName, ruleId, durationMs, reason } = event.data;
        const at = (page.raised.get(alertId) ?? 0) + durationMs;
        const why = reason === "left" ? "the recording ends" : reason;
        page.lines.push(
          `  ${clockTime(at)}  over   ${safe(ruleName ?? ruleId)}: after ${seconds(durationMs)}, ${why}`,
        );
        return;
      }
      case "tonetap.emotion":
      case "tonetap.speech.started":
      case "tonetap.speech.ended":
        return;
      default:
        event satisfies never;
    }
  }

  /** Each name in its colour, before what the bars stand under. */
  #legendOf({ expression }: EventData<"utterance">): string | undefined {
    if (expression === undefined) return undefined;
    const names = Object.keys(expression.scores).map((label, i) => this.#paint.label(label, i, safe(label)));
    return `            bars: ${names.join(" ")}`;
  }

  #utterance({ media, durationMs, expression }: EventData<"utterance">, trend: string): string {
    const when = `  ${clockTime(media.startMs)} ${seconds(durationMs).padStart(7)}  `;
    if (expression === undefined) return `${when}${this.#paint.dim("too short to judge")}`;
    const { scores, top, confidence, abstained, valence, arousal } = expression;
    const labels = Object.keys(scores);
    const bars = labels.map((label, i) => this.#paint.label(label, i, bar(scores[label] ?? 0))).join("");
    const said = abstained
      ? this.#paint.dim(column("unsure", 15))
      : this.#paint.label(
          top,
          labels.indexOf(top),
          column(safe(top), 10) + column(`${Math.round(confidence * 100)} %`, 5, "right"),
        );
    const axes =
      (this.#columns ?? WIDE) < WIDE ? "" : `  valence ${signed(valence)}  arousal ${signed(arousal)}`;
    return `${when}${bars}  ${said}${axes}${trend === "" ? "" : `  ${safe(trend)}`}`;
  }
}

/** 95,340 ms → `1:35.3`, right-aligned as far as an hour goes. */
function clockTime(ms: number): string {
  const tenths = Math.round(ms / 100);
  const minutes = Math.floor(tenths / 600);
  return `${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`.padStart(7);
}

const seconds = (ms: number, digits = 1): string => `${(ms / 1000).toFixed(digits)} s`;

const signed = (value: number): string => `${value < 0 ? "" : "+"}${value.toFixed(2)}`;

function inWords({ label, probabilities, durationS, windows, realTimeFactor }: FileSummary): string {
  const others = Object.entries(probabilities ?? {})
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 3)
    .map(([name, p]) => `${name} ${Math.round(100 * p)} %`);
  const judged = windows.emitted + windows.abstained;
  const heard = `${durationS.toFixed(1)} s, ${judged} windows judged, ${Math.round(1 / realTimeFactor)} times real time`;
  return label === null ? `no speech found; ${heard}` : `${label} (${others.join(", ")}); ${heard}`;
}
