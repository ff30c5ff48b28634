/** Text on a terminal: safe, measured in cells, coloured. What is written is terminal-view.ts. */

/** Colours of the usual expressions, xterm-256: the page's, told apart with any colour vision, never the only sign. */
const COLOURS: Readonly<Record<string, number>> = {
  happy: 220,
  surprise: 43,
  calm: 115,
  neutral: 246,
  sad: 75,
  fear: 141,
  disgust: 106,
  angry: 202,
};

/** For labels of other models. */
const MORE_COLOURS = [175, 180, 69] as const;

const BARS = "▁▂▃▄▅▆▇█";

/** Two cells wide in terminals: CJK, full-width forms, emoji. Unicode Annex 11. */
const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|\p{Regional_Indicator}|[\u{20000}-\u{3fffd}])/u;

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/**
 * Names come from outside: without control and format characters (escape sequences, right-to-left overrides) they
 * cannot draw elsewhere than in their cell.
 */
export function safe(text: string): string {
  return text.toWellFormed().replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "");
}

/** Cells that safe text takes, escape sequences of our own not counted. */
export function cells(text: string): number {
  let count = 0;
  for (const { segment } of graphemes.segment(text.replace(SEQUENCES, ""))) count += cellsOf(segment);
  return count;
}

/** Safe text without colour, cut with `…` or filled with spaces to exactly `width` cells. */
export function column(text: string, width: number, align: "left" | "right" = "left"): string {
  let result = "";
  let used = 0;
  const whole = cells(text) <= width;
  for (const { segment } of whole ? [] : graphemes.segment(text)) {
    const next = cellsOf(segment);
    if (used + next > width - 1) break;
    result += segment;
    used += next;
  }
  if (whole) {
    result = text;
    used = cells(text);
  } else if (width > 0) {
    result += "…";
    used++;
  }
  const filling = " ".repeat(Math.max(0, width - used));
  return align === "left" ? result + filling : filling + result;
}

/** A bar of one cell for a share of 0–1. */
export function bar(share: number): string {
  return BARS.charAt(Math.min(BARS.length - 1, Math.max(0, Math.floor(share * BARS.length))));
}

export interface Paint {
  /** In the colour of an expression; `index` is its place among the labels. */
  label(label: string, index: number, text: string): string;
  bold(text: string): string;
  dim(text: string): string;
  /** Something is not as it should be. */
  warn(text: string): string;
}

export function paint(colour: boolean): Paint {
  if (!colour) {
    const plain = (text: string): string => text;
    return { label: (_label, _index, text) => text, bold: plain, dim: plain, warn: plain };
  }
  return {
    label(label, index, text) {
      const code = COLOURS[label] ?? MORE_COLOURS[index % MORE_COLOURS.length];
      return `\u001b[38;5;${code}m${text}\u001b[39m`;
    },
    bold: (text) => `\u001b[1m${text}\u001b[22m`,
    dim: (text) => `\u001b[2m${text}\u001b[22m`,
    warn: (text) => `\u001b[33m${text}\u001b[39m`,
  };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences that paint() writes
const SEQUENCES = /\u001b\[[\d;]*m/g;

function cellsOf(grapheme: string): number {
  if (/^\p{M}+$/u.test(grapheme)) return 0;
  return WIDE.test(grapheme) || grapheme.includes("\ufe0f") ? 2 : 1;
}
