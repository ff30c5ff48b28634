/**
 * One participant's timeline: probabilities stacked over the last minute. The canvas is wider than what is seen and is
 * moved by a compositor animation: between events the page's own thread does nothing, however many timelines there are.
 */
import { colourOf, ordered } from "./expressions.js";
import { SPAN_S } from "./live-store.js";

/** Seconds to the right of what is seen, into which the timeline moves before it is drawn anew. */
const SLACK_S = 20;
/** s. A window that begins this much after the last one ended has silence before it. */
const GAP_S = 0.15;
const SPEECH_PX = 3;
const LABELS_PX = 17;
const AXIS_PX = 18;
const FONT = "11px system-ui, sans-serif";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Strip {
  /**
   * @param {HTMLElement} host gives the size
   * @param {import("./live-store.js").LiveParticipant} participant
   * @param {{now: () => number}} clock seconds since the epoch
   * @param {{axis?: boolean, onSeen?: () => void}} [options] axis: times below, and what each talk-spurt expressed
   */
  constructor(host, participant, clock, { axis = false, onSeen = () => undefined } = {}) {
    this.host = host;
    this.participant = participant;
    this.clock = clock;
    this.axis = axis;
    this.canvas = document.createElement("canvas");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    host.classList.add("strip");
    host.append(this.canvas);
    /** Left edge of the canvas, seconds since the epoch. */
    this.originS = 0;
    this.width = 0;
    this.height = 0;
    this.chartPx = 0;
    this.pxPerS = 1;
    this.paint = { dim: "", text: "", line: "", hatch: "" };
    this.drawnTo = 0;
    this.epoch = participant.epoch;
    this.visible = false;
    /** @type {Animation | undefined} */
    this.animation = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.redraw = () => this.#redraw();
    this.sizes = new ResizeObserver(this.redraw);
    this.sizes.observe(host);
    this.sight = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1)?.isIntersecting ?? true;
      if (this.visible) {
        onSeen();
        this.#redraw();
      } else this.#stop();
    });
    this.sight.observe(host);
    calm.addEventListener("change", this.redraw);
    document.addEventListener("visibilitychange", this.redraw);
  }

  /** A window was judged: draws only what is new. */
  addPoint() {
    if (!this.visible) return;
    const { points, epoch } = this.participant;
    if (epoch !== this.epoch || this.originS === 0) {
      this.#redraw();
      return;
    }
    for (const [i, point] of points.entries()) {
      if (point.at > this.drawnTo) this.#drawPoint(points[i - 1], point);
    }
  }

  /** Call `redraw` after speech, utterances, alerts and pauses: they are rare. */
  close() {
    this.#stop();
    this.sizes.disconnect();
    this.sight.disconnect();
    calm.removeEventListener("change", this.redraw);
    document.removeEventListener("visibilitychange", this.redraw);
    this.canvas.remove();
  }

  #stop() {
    clearTimeout(this.timer);
    this.animation?.cancel();
    this.animation = undefined;
  }

  #redraw() {
    if (!this.visible || document.hidden) return;
    const { clientWidth, clientHeight } = this.host;
    if (clientWidth === 0 || clientHeight === 0) return;
    const ratio = devicePixelRatio;
    this.width = clientWidth;
    this.height = clientHeight;
    this.pxPerS = clientWidth / SPAN_S;
    const widthPx = Math.ceil((clientWidth * (SPAN_S + SLACK_S)) / SPAN_S);
    const [w, h] = [Math.round(widthPx * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
      this.canvas.style.width = `${widthPx}px`;
      this.canvas.style.height = `${clientHeight}px`;
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, widthPx, clientHeight);
    this.originS = this.clock.now() - SPAN_S;
    this.epoch = this.participant.epoch;
    this.drawnTo = 0;
    this.chartPx = clientHeight - SPEECH_PX - 1 - (this.axis ? LABELS_PX + AXIS_PX : 0);
    const css = getComputedStyle(document.documentElement);
    const variable = (/** @type {string} */ name) => css.getPropertyValue(name).trim();
    this.paint = {
      dim: variable("--dim"),
      text: variable("--text"),
      line: variable("--line"),
      hatch: variable("--hatch"),
    };
    this.#drawGrid(widthPx);
    const { points, marks } = this.participant;
    for (const [i, point] of points.entries()) this.#drawPoint(points[i - 1], point);
    this.#drawSpeech(widthPx);
    for (const mark of marks) this.#drawMark(mark);
    this.#move();
  }

  /** Moves from now to where the slack is used up. */
  #move() {
    this.#stop();
    const style = (/** @type {number} */ s) => `translateX(${-s * this.pxPerS}px)`;
    if (calm.matches) {
      const step = () => {
        const goneS = this.clock.now() - SPAN_S - this.originS;
        if (goneS >= SLACK_S) this.#redraw();
        else {
          this.canvas.style.transform = style(goneS);
          this.timer = setTimeout(step, 1000);
        }
      };
      step();
      return;
    }
    this.canvas.style.transform = "";
    this.animation = this.canvas.animate([{ transform: style(0) }, { transform: style(SLACK_S) }], {
      duration: SLACK_S * 1000,
      fill: "forwards",
    });
    // Many timelines begin together: they are drawn anew one after the other.
    this.timer = setTimeout(this.redraw, (SLACK_S - 1 - Math.random() * 5) * 1000);
  }

  #x(/** @type {number} */ s) {
    return (s - this.originS) * this.pxPerS;
  }

  #drawGrid(/** @type {number} */ widthPx) {
    const { context, chartPx, paint } = this;
    context.fillStyle = paint.line;
    for (const share of this.axis ? [0, 0.5, 1] : [1])
      context.fillRect(0, Math.round(chartPx * share), widthPx, 1);
    if (!this.axis) return;
    context.font = FONT;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (let s = Math.ceil(this.originS / 10) * 10; s < this.originS + SPAN_S + SLACK_S; s += 10) {
      const x = Math.round(this.#x(s));
      context.fillStyle = paint.line;
      context.fillRect(x, 0, 1, chartPx);
      context.fillStyle = paint.dim;
      const time = new Date(s * 1000).toLocaleTimeString([], { minute: "2-digit", second: "2-digit" });
      context.fillText(time, x, this.height - 2);
    }
  }

  /** @param {{at: number, scores: Record<string, number>} | undefined} before @param {{from: number, at: number, scores: Record<string, number>, abstained: boolean}} point */
  #drawPoint(before, point) {
    this.drawnTo = point.at;
    const { context, chartPx } = this;
    // Whole pixels: neighbours meet without a seam.
    const x1 = Math.round(this.#x(point.at));
    if (x1 < 0) return;
    const joined = before !== undefined && point.from - before.at <= GAP_S;
    const start = joined ? before.scores : point.scores;
    const left = Math.round(this.#x(joined ? before.at : point.from));
    let bottom0 = 0;
    let bottom1 = 0;
    const labels = ordered(Object.keys(point.scores));
    for (let i = labels.length - 1; i >= 0; i--) {
      const label = labels[i];
      const top0 = bottom0 + (start[label] ?? 0);
      const top1 = bottom1 + (point.scores[label] ?? 0);
      context.fillStyle = colourOf(label, i);
      context.beginPath();
      context.moveTo(left, chartPx * (1 - bottom0));
      context.lineTo(left, chartPx * (1 - Math.min(1, top0)));
      context.lineTo(x1, chartPx * (1 - Math.min(1, top1)));
      context.lineTo(x1, chartPx * (1 - bottom1));
      context.fill();
      bottom0 = top0;
      bottom1 = top1;
    }
    if (!point.abstained) return;
    context.strokeStyle = this.paint.hatch;
    context.lineWidth = 2;
    context.beginPath();
    for (let x = Math.ceil(left / 6) * 6; x < x1; x += 6) {
      context.moveTo(x, 0);
      context.lineTo(x, chartPx);
    }
    context.stroke();
  }

  /** A line under speech; an open talk-spurt goes on to the canvas's end, of which no more is seen than is past. */
  #drawSpeech(/** @type {number} */ widthPx) {
    const { context, chartPx, paint } = this;
    for (const { from, to, label } of this.participant.spurts) {
      const left = Math.max(0, this.#x(from));
      const right = Number.isFinite(to) ? this.#x(to) : widthPx;
      if (right <= left) continue;
      context.fillStyle = paint.dim;
      context.fillRect(left, chartPx + 1, right - left, SPEECH_PX);
      if (!this.axis || label === "") continue;
      context.font = FONT;
      context.textAlign = "left";
      context.textBaseline = "top";
      context.fillStyle = paint.text;
      if (context.measureText(label).width <= right - left)
        context.fillText(label, left, chartPx + SPEECH_PX + 4);
    }
  }

  /** A flag where an alert was raised. */
  #drawMark(/** @type {number} */ s) {
    const x = this.#x(s);
    if (x < 0) return;
    const { context, chartPx, paint } = this;
    context.fillStyle = paint.text;
    context.fillRect(x, 0, 2, chartPx);
    context.beginPath();
    context.moveTo(x + 2, 0);
    context.lineTo(x + 11, 4.5);
    context.lineTo(x + 2, 9);
    context.fill();
  }
}
