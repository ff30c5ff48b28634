/** One participant in full: timeline, score bars, trend, facts. Reads a LiveParticipant; knows nothing of sockets. */
import { find, setAttribute, setText } from "./dom.js";
import { colourOf, ordered } from "./expressions.js";
import { setConsent } from "./service-api.js";
import { Strip } from "./strip.js";
import { confidenceText, expressionText, noticeText, percent, signed, trendText } from "./words.js";

export class ParticipantCard {
  /** @param {HTMLElement} host @param {import("./live-store.js").LiveParticipant} participant @param {{now: () => number}} clock */
  constructor(host, participant, clock) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("participant-template"));
    this.participant = participant;
    this.root = /** @type {HTMLElement} */ (template.content.cloneNode(true).firstElementChild);
    this.#text("h3", participant.name);
    find(this.root, "h3").title = participant.name;
    this.#text(".role", participant.role);
    this.#fact("via", participant.transport);
    /** @type {Map<string, HTMLElement>} */
    this.bars = new Map();
    find(this.root, ".consent").addEventListener("click", () => this.#changeConsent());
    host.append(this.root);
    this.strip = new Strip(find(this.root, ".chart"), participant, clock, {
      axis: true,
      onSeen: () => this.show(),
    });
    this.show();
  }

  /** @param {string} kind of the event that changed it */
  update(kind) {
    if (kind === "emotion") this.strip.addPoint();
    else if (kind !== "quality" && kind !== "participant.state") this.strip.redraw();
    // Out of sight only what ends is worth the layout.
    if (this.strip.visible || kind.startsWith("participant.")) this.show();
  }

  show() {
    const { participant } = this;
    const { emotion, rolling, quality } = participant;
    setAttribute(this.root, "data-state", participant.state);
    setAttribute(this.root, "data-unsure", String(emotion?.abstained ?? false));
    this.#text(".state", participant.stateText);
    this.#text(".expression", expressionText(emotion));
    this.#text(".confidence", emotion?.abstained ? likeliest(emotion) : confidenceText(emotion));
    this.#text(".trend", trendText(rolling));
    this.#text(
      ".alerts",
      [...participant.alerts.values()].map((alert) => `⚑ ${alert.ruleName ?? alert.ruleId}`).join("  "),
    );
    setAttribute(
      find(this.root, ".chart"),
      "aria-label",
      `${participant.name}: ${expressionText(emotion)} ${confidenceText(emotion)}, ${trendText(rolling) || "nothing heard yet"}`,
    );
    this.#consent();
    this.#fact("notice", noticeText(participant.notice));
    this.#bars(emotion);
    this.#meter("valence", emotion?.valence);
    this.#meter("arousal", emotion?.arousal);
    this.#fact("latency", emotion === undefined ? "–" : `${emotion.latency.totalMs.toFixed(0)} ms`);
    this.#fact("batch", emotion === undefined ? "–" : String(emotion.batchSize));
    this.#fact("loss", quality === undefined ? "–" : percent(quality.lossShare, 1));
    this.#fact("jitter", quality === undefined ? "–" : `${quality.jitterMs.toFixed(1)} ms`);
    this.#fact("codec", quality?.codec?.replace("audio/", "") ?? "–");
  }

  /** The theme changed. */
  recolour() {
    this.strip.redraw();
    this.bars.clear();
    find(this.root, ".scores").replaceChildren();
    this.show();
  }

  close() {
    this.strip.close();
    this.root.remove();
  }

  /** What the button would do. */
  get #wanted() {
    return this.participant.consent === "granted" ? "withdrawn" : "granted";
  }

  #consent() {
    const button = find(this.root, ".consent");
    button.hidden = this.participant.state === "left";
    setText(button, this.#wanted === "withdrawn" ? "Withdraw consent" : "Record consent");
    const of = `${button.textContent} of ${this.participant.name}`;
    setAttribute(button, "aria-label", of);
  }

  /** The service's event, not its answer, changes what is shown. */
  async #changeConsent() {
    const button = /** @type {HTMLButtonElement} */ (find(this.root, ".consent"));
    const problem = find(this.root, ".error");
    const { call, id } = this.participant;
    button.disabled = true;
    try {
      await setConsent(call.id, id, this.#wanted);
      problem.hidden = true;
    } catch (error) {
      setText(problem, error instanceof Error ? error.message : String(error));
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  }

  #bars(/** @type {any} */ emotion) {
    if (emotion === undefined) {
      if (this.bars.size > 0) find(this.root, ".scores").replaceChildren();
      this.bars.clear();
      return;
    }
    if (this.bars.size === 0) this.#buildBars(ordered(Object.keys(emotion.scores)));
    for (const [label, bar] of this.bars) {
      const share = emotion.scores[label] ?? 0;
      setAttribute(bar, "aria-current", String(label === emotion.top && !emotion.abstained));
      find(bar, ".fill").style.transform = `scaleX(${share})`;
      setText(find(bar, ".number"), String(Math.round(share * 100)));
    }
  }

  #buildBars(/** @type {string[]} */ labels) {
    const list = find(this.root, ".scores");
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

  #meter(/** @type {string} */ fact, /** @type {number | undefined} */ value) {
    find(this.root, `[data-fact="${fact}"] b`).style.left =
      value === undefined ? "" : `${(value + 1) * 50 - 3}%`;
    this.#text(`[data-fact="${fact}"] span`, value === undefined ? "–" : signed(value));
  }

  #fact(/** @type {string} */ fact, /** @type {string} */ value) {
    this.#text(`[data-fact="${fact}"]`, value);
  }

  #text(/** @type {string} */ selector, /** @type {string} */ value) {
    setText(find(this.root, selector), value);
  }
}

/** @param {any} emotion data of an emotion event */
function likeliest({ scores, top }) {
  const [label = top] = Object.keys(scores).sort((a, b) => scores[b] - scores[a]);
  return `at most ${label} ${percent(scores[label])}`;
}
