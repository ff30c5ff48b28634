/** What has happened lately, for the lower part of a terminal: a line a talk-spurt, a line an alert. The table is terminal-view.ts. */
import type { EventData, EventOf, EventOfAny } from "./schema.ts";
import { bar, column, type Paint, safe } from "./terminal-text.ts";

/** Lines kept: as many as the highest terminal shows. */
const KEPT = 100;
/** Lines shown where the terminal does not say how high it is. */
const SHOWN = 10;

type Whose = { readonly callId: string; readonly participantId: string };

interface Entry {
  readonly whose: string;
  /** `09:30:12` */
  readonly time: string;
  readonly name: string;
  /** What was said, cut to `cells`. */
  readonly text: (cells: number, labels: readonly string[]) => string;
}

export class TerminalJournal {
  readonly #paint: Paint;
  #entries: Entry[] = [];

  constructor(paint: Paint) {
    this.#paint = paint;
  }

  /** @param name of who spoke, safe to write */
  utterance({ data, time }: EventOf<"utterance">, name: string): void {
    this.#add(data, time, name, (cells, labels) => this.#said(data, cells, labels));
  }

  alert(event: EventOfAny<"alert.raised" | "alert.cleared">, name: string): void {
    const rule = safe(event.data.ruleName ?? event.data.ruleId);
    if (event.type === "tonetap.alert.raised") {
      const { measure, value } = event.data;
      const text = `ALERT  ${rule}: ${safe(measure)} ${value.toFixed(2)}`;
      this.#add(event.data, event.time, name, (cells) => this.#paint.warn(column(text, cells).trimEnd()));
      return;
    }
    const { durationMs, reason } = event.data;
    const text = `over   ${rule}: ${reason} after ${seconds(durationMs)}`;
    this.#add(event.data, event.time, name, (cells) => column(text, cells).trimEnd());
  }

  /** Nothing more is told of what was heard. */
  forget(whose: Whose): void {
    const key = keyOf(whose);
    this.#entries = this.#entries.filter((entry) => entry.whose !== key);
  }

  clear(): void {
    this.#entries = [];
  }

  /**
   * The latest, the newest last, under a blank line.
   * @param width cells a line has at most
   * @param height lines there are room for
   * @param labels in the model's order, for the bars
   */
  render(width: number, height: number, labels: readonly string[]): string[] {
    const room = Math.min(Number.isFinite(height) ? height - 1 : SHOWN, this.#entries.length);
    if (room < 1) return [];
    const nameCells = width >= 70 ? 14 : 8;
    const lines = this.#entries.slice(-room).map(({ time, name, text }) => {
      const before = `${this.#paint.dim(time)}  ${column(name, nameCells)}  `;
      return before + text(width - (12 + nameCells), labels);
    });
    return ["", ...lines];
  }

  #add(whose: Whose, time: string, name: string, text: Entry["text"]): void {
    this.#entries.push({ whose: keyOf(whose), time: time.slice(11, 19), name, text });
    if (this.#entries.length > KEPT) this.#entries.shift();
  }

  /** 7 + 2 + one a label + 2 + 15 cells; without room for all, bars go first, then the length. */
  #said(
    { durationMs, expression }: EventData<"utterance">,
    cells: number,
    labels: readonly string[],
  ): string {
    const length = cells < 24 ? "" : `${column(seconds(durationMs), 7, "right")}  `;
    if (expression === undefined) return length + this.#paint.dim("not judged");
    const { scores, top, confidence, abstained } = expression;
    const names = labels.length === 0 ? Object.keys(scores) : labels;
    const bars =
      cells < 9 + names.length + 17
        ? ""
        : `${names.map((name, i) => this.#paint.label(name, i, bar(scores[name] ?? 0))).join("")}  `;
    if (abstained) return `${length}${bars}${this.#paint.dim("unsure")}`;
    const text = `${column(safe(top), 10)}${column(`${Math.round(confidence * 100)} %`, 5, "right")}`;
    return `${length}${bars}${this.#paint.label(top, names.indexOf(top), text)}`;
  }
}

const keyOf = ({ callId, participantId }: Whose): string => JSON.stringify([callId, participantId]);

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
