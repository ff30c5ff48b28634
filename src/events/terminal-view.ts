/**
 * What is going on, as a table for a terminal: one row a participant. Owns its picture of the calls and how it is
 * drawn; when and where it is drawn is listen.ts.
 */
import type { EventData, TonetapEvent } from "./schema.ts";
import { TerminalJournal } from "./terminal-journal.ts";
import { bar, column, type Paint, paint, safe } from "./terminal-text.ts";

/** Windows that a row remembers for its timeline: as many as the widest terminal shows. */
const HISTORY = 160;

const MIN_WIDTH = 40;

interface Row {
  readonly name: string;
  readonly role: string;
  paused: boolean;
  speaking: boolean;
  emotion: EventData<"emotion"> | undefined;
  lossShare: number | undefined;
  /** Where it goes: `↗ angry 20 s`. */
  trend: string;
  /** What alerts that stand say, by their id. */
  readonly alerts: Map<string, string>;
  /** Latest windows, oldest first. */
  readonly history: EventData<"emotion">[];
}

/** Column widths in cells, gaps included; 0 leaves a column out. */
interface Columns {
  readonly name: number;
  readonly role: number;
  readonly trend: number;
  readonly loss: number;
  readonly latency: number;
  readonly timeline: number;
}

/** Marker, one bar a label, expression and confidence: always there. */
const fixedCells = (labels: number): number => 2 + (labels + 2) + 15;

export class TerminalView {
  readonly #paint: Paint;
  readonly #calls = new Map<string, Map<string, Row>>();
  readonly #journal: TerminalJournal;
  /** In the order in which the model names them. */
  #labels: readonly string[] = [];
  #model = "";
  #status = "";
  #missed = 0;

  constructor(options: { readonly colour: boolean }) {
    this.#paint = paint(options.colour);
    this.#journal = new TerminalJournal(this.#paint);
  }

  /** What the first line says of the connection. */
  setStatus(text: string): void {
    this.#status = safe(text);
  }

  /** Events were left out. */
  missed(count: number): void {
    this.#missed += count;
  }

  /** Forgets everyone: a new connection tells what is live anew. */
  clear(): void {
    this.#calls.clear();
    this.#journal.clear();
  }

  apply(event: TonetapEvent): void {
    switch (event.type) {
      case "tonetap.call.started":
        this.#call(event.data.callId);
        return;
      case "tonetap.call.ended":
        this.#calls.delete(event.data.callId);
        return;
      case "tonetap.participant.joined": {
        const { displayName, paused } = event.data;
        this.#row(event.data, displayName).paused = paused;
        return;
      }
      case "tonetap.participant.left":
        this.#calls.get(event.data.callId)?.delete(event.data.participantId);
        return;
      case "tonetap.participant.paused":
      case "tonetap.participant.resumed": {
        const row = this.#row(event.data);
        row.paused = event.type === "tonetap.participant.paused";
        row.speaking = false;
        row.emotion = undefined;
        row.trend = "";
        row.history.length = 0;
        row.alerts.clear();
        this.#journal.forget(event.data);
        return;
      }
      case "tonetap.speech.started":
      case "tonetap.speech.ended":
        this.#row(event.data).speaking = event.type === "tonetap.speech.started";
        return;
      case "tonetap.emotion":
        this.#emotion(event.data);
        return;
      case "tonetap.quality":
        this.#row(event.data).lossShare = event.data.lossShare;
        return;
      case "tonetap.participant.state": {
        const [trend] = event.data.trends;
        this.#row(event.data).trend = trend === undefined ? "" : trendText(trend);
        return;
      }
      case "tonetap.utterance":
        this.#journal.utterance(event, this.#row(event.data).name);
        return;
      case "tonetap.alert.raised": {
        const { alertId, ruleName, ruleId, measure, value } = event.data;
        const row = this.#row(event.data);
        row.alerts.set(alertId, `${safe(ruleName ?? ruleId)}: ${measure} ${value.toFixed(2)}`);
        this.#journal.alert(event, row.name);
        return;
      }
      case "tonetap.alert.cleared": {
        const row = this.#row(event.data);
        row.alerts.delete(event.data.alertId);
        this.#journal.alert(event, row.name);
        return;
      }
      case "tonetap.call.failed":
      case "tonetap.call.state":
      case "tonetap.service.stats":
      case "tonetap.participant.discarded":
      case "tonetap.participant.consent":
      case "tonetap.participant.notice":
      case "tonetap.participant.recovered":
        return;
      default:
        event satisfies never;
    }
  }

  /**
   * The table as lines without a last newline.
   * @param width cells a line has at most, 40 or more
   * @param height lines there are room for; what does not fit is counted in the last one
   */
  render(width: number, height = Number.POSITIVE_INFINITY): string {
    width = Math.max(MIN_WIDTH, width);
    const columns = this.#columns(width);
    const lines = [this.#title(width), this.#legend(width)];
    for (const [callId, rows] of this.#calls) {
      lines.push("", this.#callLine(callId, rows.size, width));
      for (const row of rows.values()) {
        lines.push(this.#rowLine(row, columns));
        for (const alert of row.alerts.values())
          lines.push(this.#paint.warn(column(`  ! ${alert}`, width).trimEnd()));
      }
    }
    if (this.#calls.size === 0) lines.push("", this.#paint.dim(column("No call yet.", width).trimEnd()));
    if (lines.length > height) {
      const hidden = lines.length - height + 1;
      lines.length = Math.max(0, height - 1);
      lines.push(this.#paint.dim(column(`… ${hidden} more lines`, width).trimEnd()));
    }
    lines.push(...this.#journal.render(width, height - lines.length, this.#labels));
    return lines.join("\n");
  }

  #emotion(data: EventData<"emotion">): void {
    const row = this.#row(data);
    row.emotion = data;
    row.history.push(data);
    if (row.history.length > HISTORY) row.history.shift();
    if (data.model !== this.#model) {
      this.#model = data.model;
      this.#labels = Object.keys(data.scores);
    }
  }

  #call(callId: string): Map<string, Row> {
    const call = this.#calls.get(callId) ?? new Map<string, Row>();
    this.#calls.set(callId, call);
    return call;
  }

  /** The participant's row; made if a filter hides its joined event. */
  #row(
    data: { readonly callId: string; readonly participantId: string; readonly role: string },
    name?: string,
  ): Row {
    const call = this.#call(data.callId);
    const known = call.get(data.participantId);
    if (known !== undefined && name === undefined) return known;
    const row: Row = {
      name: safe(name ?? data.participantId),
      role: safe(data.role),
      paused: false,
      speaking: false,
      emotion: undefined,
      lossShare: undefined,
      trend: "",
      alerts: new Map(),
      history: [],
    };
    call.set(data.participantId, row);
    return row;
  }

  #columns(width: number): Columns {
    const room = width - fixedCells(this.#labels.length);
    // The narrower the terminal, the more is left out: first the timeline, then roles, trends, latency and loss.
    const loss = room >= 16 ? 6 : 0;
    const latency = room >= 26 ? 8 : 0;
    const trend = room >= 43 ? 18 : 0;
    const role = room >= 52 ? 10 : 0;
    const rest = room - loss - latency - trend - role;
    const name = Math.max(7, Math.min(23, rest >= 32 ? rest - 18 : rest));
    const timeline = rest - name >= 9 ? Math.min(HISTORY, rest - name) : 0;
    return { name, role, trend, loss, latency, timeline };
  }

  #title(width: number): string {
    const missed = this.#missed === 0 ? "" : ` · ${this.#missed} events missed`;
    const model = this.#model === "" ? "" : ` · ${safe(this.#model)}`;
    const rest = column(`${this.#status}${model}${missed}`, width - 9).trimEnd();
    return `${this.#paint.bold("Tonetap")}  ${this.#missed === 0 ? rest : this.#paint.warn(rest)}`;
  }

  /** The bars' order, each name in its colour. */
  #legend(width: number): string {
    let line = "";
    let used = 0;
    for (const [i, label] of this.#labels.entries()) {
      const text = `${i === 0 ? "bars: " : " "}${safe(label)}`;
      if (used + text.length > width) break;
      used += text.length;
      line += this.#paint.label(label, i, text);
    }
    return line;
  }

  #callLine(callId: string, participants: number, width: number): string {
    const count = participants === 1 ? "1 participant" : `${participants} participants`;
    return this.#paint.bold(column(`call ${safe(callId)} · ${count}`, width).trimEnd());
  }

  #rowLine(row: Row, columns: Columns): string {
    const { dim, warn } = this.#paint;
    const { emotion, lossShare } = row;
    const loss = lossShare === undefined ? "" : `${(lossShare * 100).toFixed(lossShare < 0.0995 ? 1 : 0)} %`;
    const latency = emotion === undefined ? "" : `${emotion.latency.totalMs.toFixed(0)} ms`;
    const lossText = column(loss, columns.loss, "right");
    return [
      row.speaking ? "● " : dim("○ "),
      column(row.name, columns.name - 1),
      " ",
      dim(column(row.role, columns.role)),
      this.#bars(row),
      "  ",
      this.#expression(row),
      columns.trend === 0 ? "" : column(`  ${row.trend}`, columns.trend),
      lossShare !== undefined && lossShare >= 0.05 ? warn(lossText) : lossText,
      dim(column(latency, columns.latency, "right")),
      columns.timeline === 0 ? "" : ` ${this.#timeline(row, columns.timeline - 1)}`,
    ].join("");
  }

  #bars({ emotion }: Row): string {
    return this.#labels
      .map((label, i) =>
        emotion === undefined ? " " : this.#paint.label(label, i, bar(emotion.scores[label] ?? 0)),
      )
      .join("");
  }

  /** 10 + 5 cells. */
  #expression({ emotion, paused }: Row): string {
    if (paused) return this.#paint.dim(column("paused", 15));
    if (emotion === undefined) return column("", 15);
    if (emotion.abstained) return this.#paint.dim(column("unsure", 15));
    const text = `${column(safe(emotion.top), 10)}${column(`${Math.round(emotion.confidence * 100)} %`, 5, "right")}`;
    return this.#paint.label(emotion.top, this.#labels.indexOf(emotion.top), text);
  }

  /** One cell a window, newest right: the colour says what, the height how sure. */
  #timeline({ history }: Row, width: number): string {
    const shown = history.slice(-width);
    const cellOf = ({ abstained, top, confidence }: EventData<"emotion">): string =>
      abstained ? this.#paint.dim("·") : this.#paint.label(top, this.#labels.indexOf(top), bar(confidence));
    return " ".repeat(width - shown.length) + shown.map(cellOf).join("");
  }
}

/** `↗ surprise 120 s`: 16 cells of most. */
const trendText = ({ of, direction, forMs }: EventData<"participant.state">["trends"][number]): string =>
  `${direction === "rising" ? "↗" : "↘"} ${safe(of)} ${Math.round(forMs / 1000)} s`;
