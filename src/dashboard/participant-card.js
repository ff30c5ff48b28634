/** One participant on the page: head line, timeline, score bars, facts. Reads events' data; knows nothing of sockets. */
import { colourOf, ordered } from "./expressions.js";
import { Timeline } from "./timeline.js";

const percent = (/** @type {number} */ share, digits = 0) => `${(share * 100).toFixed(digits)} %`;

/** RFC 3339 → seconds since the epoch. */
const seconds = (/** @type {string} */ time) => Date.parse(time) / 1000;

export class ParticipantCard {
  /** @param {HTMLElement} host @param {any} joined data of participant.joined */
  constructor(host, joined) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("participant-template"));
    this.root = /** @type {HTMLElement} */ (template.content.cloneNode(true).firstElementChild);
    this.name = joined.displayName ?? joined.participantId;
    this.#text("h3", this.name);
    this.#find("h3").title = this.name;
    this.#text(".role", joined.role);
    this.#fact("via", joined.transport);
    /** @type {Timeline | undefined} */
    this.timeline = undefined;
    /** @type {Map<string, HTMLElement>} */
    this.bars = new Map();
    /** Start of the open talk-spurt, seconds since the epoch. @type {number | undefined} */
    this.speakingSince = undefined;
    this.visible = true;
    this.setPaused(joined.paused ? "waiting for consent" : "");
    host.append(this.root);
    this.observer = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1)?.isIntersecting ?? true;
    });
    this.observer.observe(this.root);
  }

  /** @param {any} data of an emotion event */
  emotion(data) {
    const labels = ordered(Object.keys(data.scores));
    if (this.timeline === undefined) {
      this.timeline = new Timeline(this.#find(".chart"), labels);
      if (this.speakingSince !== undefined) this.timeline.speech(true, this.speakingSince);
    }
    if (this.bars.size === 0) this.#buildBars(labels);
    this.timeline.add(seconds(data.wall.start), seconds(data.wall.end), data.scores, data.abstained);
    for (const [label, bar] of this.bars) {
      const share = data.scores[label] ?? 0;
      bar.setAttribute("aria-current", String(label === data.top && !data.abstained));
      const fill = /** @type {HTMLElement} */ (bar.querySelector(".fill"));
      fill.style.transform = `scaleX(${share})`;
      /** @type {HTMLElement} */ (bar.querySelector(".number")).textContent = String(Math.round(share * 100));
    }
    // The expression in force need not be the likeliest one at the moment.
    const [likeliest = data.top] = labels.toSorted((a, b) => data.scores[b] - data.scores[a]);
    this.root.dataset.unsure = String(data.abstained);
    this.#text(".expression", data.abstained ? "unsure" : data.top);
    this.#text(
      ".confidence",
      data.abstained ? `at most ${likeliest} ${percent(data.scores[likeliest])}` : percent(data.confidence),
    );
    this.#find(".chart").setAttribute(
      "aria-label",
      `${this.name}: ${data.abstained ? "unsure" : `${data.top} ${percent(data.confidence)}`}`,
    );
    this.#meter("valence", data.valence);
    this.#meter("arousal", data.arousal);
    this.#fact("latency", `${data.latency.totalMs.toFixed(0)} ms`);
    this.#fact("batch", String(data.batchSize));
  }

  /** @param {boolean} speaking @param {any} data of speech.started or speech.ended */
  speech(speaking, data) {
    this.speakingSince = speaking ? seconds(data.wall.at) : undefined;
    this.timeline?.speech(speaking, seconds(data.wall.at));
    if (this.root.dataset.state === "paused" || this.root.dataset.state === "left") return;
    this.root.dataset.state = speaking ? "speaking" : "quiet";
    this.#text(".state", speaking ? "speaking" : "silent");
  }

  /** @param {any} data of a quality event */
  quality(data) {
    this.#fact("loss", percent(data.lossShare, 1));
    this.#fact("jitter", `${data.jitterMs.toFixed(1)} ms`);
  }

  /** What was heard before is gone from the service's memory, so from the page too. @param {string} reason empty: analysis runs */
  setPaused(reason) {
    this.#forget();
    this.root.dataset.state = reason === "" ? "quiet" : "paused";
    this.#text(".state", reason === "" ? "silent" : reason);
  }

  left(/** @type {string} */ reason) {
    this.root.dataset.state = "left";
    this.#text(".state", reason);
  }

  scroll(/** @type {number} */ now) {
    if (this.visible) this.timeline?.scroll(now);
  }

  /** The theme changed. */
  recolour() {
    this.timeline?.rebuild();
    let index = 0;
    for (const [label, bar] of this.bars) {
      /** @type {HTMLElement} */ (bar.querySelector(".fill")).style.background = colourOf(label, index++);
    }
  }

  close() {
    this.observer.disconnect();
    this.timeline?.close();
    this.root.remove();
  }

  #forget() {
    this.timeline?.close();
    this.timeline = undefined;
    this.speakingSince = undefined;
    this.bars.clear();
    this.#find(".scores").replaceChildren();
    delete this.root.dataset.unsure;
    this.#text(".expression", "–");
    this.#text(".confidence", "");
    this.#find(".chart").setAttribute("aria-label", `${this.name}: nothing heard yet`);
    for (const fact of ["valence", "arousal"]) {
      this.#find(`[data-fact="${fact}"] b`).style.left = "";
      this.#text(`[data-fact="${fact}"] span`, "–");
    }
    this.#fact("latency", "–");
    this.#fact("batch", "–");
  }

  #buildBars(/** @type {string[]} */ labels) {
    const list = this.#find(".scores");
    labels.forEach((label, index) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = label;
      const track = document.createElement("span");
      track.className = "track";
      const fill = document.createElement("span");
      fill.className = "fill";
      fill.style.background = colourOf(label, index);
      track.append(fill);
      const number = document.createElement("span");
      number.className = "number";
      item.append(name, track, number);
      list.append(item);
      this.bars.set(label, item);
    });
  }

  #meter(/** @type {string} */ fact, /** @type {number} */ value) {
    const cell = this.#find(`[data-fact="${fact}"]`);
    /** @type {HTMLElement} */ (cell.querySelector("b")).style.left = `${(value + 1) * 50 - 3}%`;
    /** @type {HTMLElement} */ (cell.querySelector("span")).textContent =
      `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  }

  #fact(/** @type {string} */ fact, /** @type {string} */ value) {
    this.#text(`[data-fact="${fact}"]`, value);
  }

  #text(/** @type {string} */ selector, /** @type {string} */ value) {
    this.#find(selector).textContent = value;
  }

  /** @returns {HTMLElement} */
  #find(/** @type {string} */ selector) {
    const element = this.root.querySelector(selector);
    if (!(element instanceof HTMLElement)) throw new TypeError(`the page lacks ${selector}`);
    return element;
  }
}
