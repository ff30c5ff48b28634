/** One participant's timeline: probabilities stacked over the last minute. Owns the chart and its data, nothing else. */

import { colourOf } from "./expressions.js";
import uPlot from "./vendor/uPlot.esm.js";

/** Seconds shown. */
export const SPAN_S = 60;
/** s. A window that begins this much after the last one ended has silence before it. */
const GAP_S = 0.15;
/** Windows kept: a minute at the shortest hop the service allows, and a little. */
const LIMIT = 1300;

export class Timeline {
  /** @param {HTMLElement} host @param {string[]} labels in stacking order, first on top */
  constructor(host, labels) {
    this.host = host;
    this.labels = labels;
    /** @type {{from: number, at: number, scores: Record<string, number>, abstained: boolean}[]} */
    this.points = [];
    /** Stretches of speech; the last one may still be open. @type {{from: number, to: number}[]} */
    this.spurts = [];
    this.chart = this.#build();
    this.observer = new ResizeObserver(() => this.chart.setSize(this.#size()));
    this.observer.observe(host);
  }

  /**
   * A window from `from` to `at`, seconds since the epoch. It is drawn from where the one before it ended.
   * @param {number} from @param {number} at @param {Record<string, number>} scores @param {boolean} abstained
   */
  add(from, at, scores, abstained) {
    const last = this.points.at(-1);
    if (last !== undefined && at <= last.at) return;
    this.points.push({ from: Math.max(from, last?.at ?? from), at, scores, abstained });
    while (this.points.length > LIMIT || (this.points[0]?.at ?? at) < at - SPAN_S - 5) this.points.shift();
    this.chart.setData(this.#stacked(), false);
  }

  /** Speech begins or ends. @param {boolean} speaking @param {number} at seconds since the epoch */
  speech(speaking, at) {
    const last = this.spurts.at(-1);
    if (speaking) this.spurts.push({ from: at, to: Number.POSITIVE_INFINITY });
    else if (last !== undefined) last.to = at;
    while ((this.spurts[0]?.to ?? at) < at - SPAN_S) this.spurts.shift();
  }

  /** Moves the right edge to `now`, seconds since the epoch. */
  scroll(/** @type {number} */ now) {
    this.chart.setScale("x", { min: now - SPAN_S, max: now });
  }

  /** Colours changed. */
  rebuild() {
    this.chart.destroy();
    this.chart = this.#build();
  }

  close() {
    this.observer.disconnect();
    this.chart.destroy();
  }

  #size() {
    return { width: Math.max(120, this.host.clientWidth), height: Math.max(80, this.host.clientHeight) };
  }

  /** Column 0: times. Column 1 + i: the sum of the last labels up to label i, so that label 0 is the top edge. */
  #stacked() {
    const count = this.labels.length;
    /** @type {(number | null)[][]} */
    const columns = Array.from({ length: count + 1 }, () => []);
    let before = Number.NaN;
    for (const point of this.points) {
      const begins = !(point.from - before <= GAP_S);
      if (begins) {
        columns[0].push(point.from - 0.01);
        for (let i = 1; i <= count; i++) columns[i].push(null);
      }
      for (const at of begins ? [point.from, point.at] : [point.at]) {
        columns[0].push(at);
        let sum = 0;
        for (let i = count - 1; i >= 0; i--) {
          sum += point.scores[this.labels[i]] ?? 0;
          columns[i + 1].push(sum);
        }
      }
      before = point.at;
    }
    return columns;
  }

  #build() {
    const css = getComputedStyle(document.documentElement);
    const dim = css.getPropertyValue("--dim").trim();
    const line = css.getPropertyValue("--line").trim();
    const hatch = css.getPropertyValue("--hatch").trim();
    const axisFont = "11px system-ui, sans-serif";
    return new uPlot(
      {
        ...this.#size(),
        // Right: half of the last time's text.
        padding: [6, 18, 0, 0],
        cursor: { show: false },
        legend: { show: false },
        scales: { x: { time: true, auto: false }, y: { range: [0, 1] } },
        axes: [
          {
            stroke: dim,
            font: axisFont,
            size: 22,
            space: 70,
            grid: { stroke: line, width: 1 },
            ticks: { show: false },
            values: (_plot, splits) =>
              splits.map((s) =>
                new Date(s * 1000).toLocaleTimeString([], { minute: "2-digit", second: "2-digit" }),
              ),
          },
          {
            stroke: dim,
            font: axisFont,
            size: 40,
            space: 40,
            grid: { stroke: line, width: 1 },
            ticks: { show: false },
            splits: () => [0, 0.5, 1],
            values: (_plot, splits) => splits.map((share) => `${share * 100}%`),
          },
        ],
        series: [
          {},
          ...this.labels.map((label, i) => ({
            label,
            stroke: colourOf(label, i),
            fill: i === this.labels.length - 1 ? colourOf(label, i) : undefined,
            width: 0,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        // Each label fills the band between its own edge and the next one's.
        bands: this.labels
          .slice(0, -1)
          .map((label, i) => ({ series: [i + 1, i + 2], fill: colourOf(label, i) })),
        hooks: {
          draw: [(plot) => this.#hatchUnsure(plot, hatch), (plot) => this.#underlineSpeech(plot, dim)],
        },
      },
      this.#stacked(),
      this.host,
    );
  }

  /** Hatches the stretches where the model abstained. */
  #hatchUnsure(/** @type {uPlot} */ plot, /** @type {string} */ colour) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.beginPath();
    for (const point of this.points) {
      if (!point.abstained) continue;
      const left = plot.valToPos(point.from, "x", true);
      const right = plot.valToPos(point.at, "x", true);
      if (right < bbox.left) continue;
      const step = 6 * devicePixelRatio;
      for (let x = Math.ceil(left / step) * step; x < right; x += step) {
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
      }
    }
    ctx.strokeStyle = colour;
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.stroke();
    ctx.restore();
  }

  /** A line under the stretches in which the voice spoke, judged or not. */
  #underlineSpeech(/** @type {uPlot} */ plot, /** @type {string} */ colour) {
    const { ctx, bbox } = plot;
    const edge = bbox.left + bbox.width;
    ctx.save();
    ctx.fillStyle = colour;
    for (const { from, to } of this.spurts) {
      const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
      const right = Number.isFinite(to) ? Math.min(edge, plot.valToPos(to, "x", true)) : edge;
      if (right > left) ctx.fillRect(left, bbox.top + bbox.height, right - left, 3 * devicePixelRatio);
    }
    ctx.restore();
  }
}
