/** What the model's package says of it: how often it is right, on whom, and whether its probabilities hold. */
import { el } from "../dom.js";
import { request } from "../service-api.js";
import { percent } from "../words.js";

/** @typedef {{labels?: number | string[], clips?: number, speakers?: number, uar?: Record<string, number>, confusion?: number[][], ece?: number, interval?: number[]}} Corpus */

const VARIANTS = {
  warm_clip: "whole recording",
  cold_clip: "no voice known before",
  warm_first_1s: "first second only",
};

export class ModelView {
  title = "Model";

  /** @param {HTMLElement} host */
  constructor(host) {
    this.root = el("div.model", { "aria-busy": "true" }, el("p.none", null, "reading …"));
    host.append(this.root);
    this.closed = false;
    this.#load();
  }

  /** Nothing live is shown here, and colours come from the style sheet. */
  apply() {
    return undefined;
  }

  recolour() {
    return undefined;
  }

  close() {
    this.closed = true;
  }

  async #load() {
    try {
      const response = await request("v1/models/live");
      const model = await response.json();
      if (!response.ok) throw new Error(model.detail ?? model.title);
      if (!this.closed) this.#show(model);
    } catch (problem) {
      this.root.replaceChildren(el("p.none", { role: "alert" }, `The model cannot be shown: ${problem}`));
    }
    this.root.removeAttribute("aria-busy");
  }

  #show(/** @type {any} */ model) {
    const { id, description, licence, labels, abstainBelow, metrics } = model;
    /** @type {Record<string, Corpus>} */
    const corpora = metrics.corpora ?? {};
    const names = Object.keys(corpora);
    const parts = [
      el(
        "section.panel",
        null,
        el("h2", null, id),
        el("p", null, description),
        facts({
          labels: labels.join(", "),
          "abstains below": percent(abstainBelow),
          parameters: metrics.network?.parameters?.toLocaleString("en") ?? "–",
          "calibration error": metrics.ece === undefined ? "–" : percent(metrics.ece, 1),
          licence,
        }),
        el("p.dim", null, metrics.protocol ?? ""),
      ),
    ];
    if (names.length > 0) {
      parts.push(corporaPanel(corpora, labels), confusionPanel(corpora, labels));
    }
    const curves = el("div.columns");
    if (metrics.reliability?.length > 0) curves.append(reliabilityPanel(metrics.reliability));
    const risk = riskOf(metrics.riskCoverage);
    if (risk.length > 0) curves.append(riskPanel(risk));
    if (curves.childElementCount > 0) parts.push(curves);
    this.root.replaceChildren(...parts);
  }
}

/** @param {Record<string, string>} entries */
const facts = (entries) =>
  el(
    "dl.facts",
    null,
    ...Object.entries(entries).map(([name, value]) =>
      el("div", null, el("dt", null, name), el("dd", null, value)),
    ),
  );

/** @param {Record<string, Corpus>} corpora @param {string[]} labels of the model */
function corporaPanel(corpora, labels) {
  const variants = Object.entries(VARIANTS).filter(([key]) =>
    Object.values(corpora).some(({ uar }) => uar?.[key] !== undefined),
  );
  const heads = [
    "Corpus",
    "Speakers",
    "Recordings",
    "Labels",
    ...variants.map(([, words]) => words),
    "Chance",
  ];
  const rows = Object.entries(corpora).map(([name, corpus]) => {
    const known = labelsOf(corpus, labels).length;
    const count = typeof corpus.labels === "number" ? corpus.labels : known;
    return el(
      "tr",
      null,
      el("th", { scope: "row" }, name),
      ...[corpus.speakers, corpus.clips, count].map((value) =>
        el("td.number", null, value?.toLocaleString("en") ?? "–"),
      ),
      ...variants.map(([key]) =>
        el("td.number", null, corpus.uar?.[key] === undefined ? "–" : percent(corpus.uar[key], 1)),
      ),
      el("td.number", null, count > 0 ? percent(1 / count, 1) : "–"),
    );
  });
  return el(
    "section.panel",
    { "aria-labelledby": "corpora-title" },
    el("h3", { id: "corpora-title" }, "Mean recall over the labels, on voices it never heard"),
    el(
      "div.scroll",
      { tabindex: "0", role: "region", "aria-labelledby": "corpora-title" },
      el(
        "table",
        null,
        el("thead", null, el("tr", null, ...heads.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", null, ...rows),
      ),
    ),
  );
}

/** The labels of a corpus's confusion matrix: named by newer packages, else those of the model. @param {Corpus} corpus @param {string[]} all */
function labelsOf(corpus, all) {
  if (Array.isArray(corpus.labels)) return corpus.labels;
  return corpus.confusion?.length === all.length ? all : [];
}

/** @param {Record<string, Corpus>} corpora @param {string[]} all */
function confusionPanel(corpora, all) {
  const names = Object.keys(corpora).filter((name) => labelsOf(corpora[name] ?? {}, all).length > 0);
  const choose = /** @type {HTMLSelectElement} */ (
    el("select", { id: "corpus" }, ...names.map((name) => el("option", { value: name }, name)))
  );
  const place = el("div.scroll", { tabindex: "0", role: "region", "aria-label": "Confusion matrix" });
  const show = () => {
    const corpus = corpora[choose.value] ?? {};
    place.replaceChildren(confusionTable(labelsOf(corpus, all), corpus.confusion ?? []));
  };
  choose.addEventListener("change", show);
  if (names.includes("ravdess")) choose.value = "ravdess";
  show();
  return el(
    "section.panel",
    null,
    el("h3", null, "What is taken for what"),
    el("p", null, el("label", { for: "corpus" }, "Corpus "), choose),
    place,
    el("p.dim", null, "Rows: what was acted. Columns: what the model heard, in percent of the row."),
  );
}

/** @param {string[]} labels @param {number[][]} confusion */
function confusionTable(labels, confusion) {
  // Labels that a corpus does not have are rows of zeros.
  const rows = labels.flatMap((label, i) => {
    const counts = confusion[i] ?? [];
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (total === 0) return [];
    return el(
      "tr",
      null,
      el("th", { scope: "row" }, label),
      ...labels.map((_, j) => {
        const share = (counts[j] ?? 0) / total;
        const cell = el(i === j ? "td.heat.right" : "td.heat", { title: `${counts[j] ?? 0} of ${total}` });
        cell.style.setProperty("--share", share.toFixed(3));
        cell.append(el("span", null, String(Math.round(share * 100))));
        return cell;
      }),
      el("td.number", null, String(total)),
    );
  });
  return el(
    "table.confusion",
    null,
    el(
      "thead",
      null,
      el(
        "tr",
        null,
        el("td"),
        ...labels.map((label) => el("th", { scope: "col" }, label)),
        el("th", { scope: "col" }, "n"),
      ),
    ),
    el("tbody", null, ...rows),
  );
}

/** @param {{probability: number, accuracy: number, share: number}[]} bins */
function reliabilityPanel(bins) {
  const points = bins.map(({ probability, accuracy, share }) => ({
    x: probability,
    y: accuracy,
    size: 2 + 14 * Math.sqrt(share),
  }));
  return el(
    "section.panel",
    null,
    el("h3", null, "Do its probabilities hold?"),
    plot(points, { x: "probability it gave", y: "how often it was right", diagonal: true }),
    el("p.dim", null, "On the diagonal they hold. Larger points stand for more windows."),
  );
}

/** @param {{threshold: number, coverage: number, accuracy: number}[]} curve */
function riskPanel(curve) {
  const points = curve.map(({ coverage, accuracy }) => ({ x: coverage, y: accuracy, size: 4 }));
  return el(
    "section.panel",
    null,
    el("h3", null, "What abstaining buys"),
    plot(points, { x: "share it speaks on", y: "how often it is right", diagonal: false }),
    el("p.dim", null, "The less it says, the surer it is: each point is a threshold to abstain below."),
  );
}

/** Newer packages give a list; older ones a list by something else are left out. @param {any} given */
function riskOf(given) {
  const list = Array.isArray(given) ? given : [];
  return list.filter(({ coverage, accuracy }) => Number.isFinite(coverage) && Number.isFinite(accuracy));
}

const SVG = "http://www.w3.org/2000/svg";

/** Points in the unit square. @param {{x: number, y: number, size: number}[]} points @param {{x: string, y: string, diagonal: boolean}} options */
function plot(points, { x, y, diagonal }) {
  const figure = document.createElementNS(SVG, "svg");
  figure.setAttribute("viewBox", "-46 -10 300 270");
  figure.setAttribute("class", "plot");
  figure.setAttribute("role", "img");
  const told = points.map((point) => `${percent(point.x)}: ${percent(point.y)}`).join(", ");
  figure.setAttribute("aria-label", `${x} against ${y}: ${told}`);
  const add = (
    /** @type {string} */ tag,
    /** @type {Record<string, string | number>} */ attributes,
    text = "",
  ) => {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
    node.textContent = text;
    figure.append(node);
  };
  const size = 220;
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const at = share * size;
    add("line", { class: "grid", x1: 0, x2: size, y1: at, y2: at });
    add("line", { class: "grid", y1: 0, y2: size, x1: at, x2: at });
    add("text", { x: -6, y: size - at + 4, "text-anchor": "end" }, String(share * 100));
    add("text", { x: at, y: size + 15, "text-anchor": "middle" }, String(share * 100));
  }
  if (diagonal) add("line", { class: "diagonal", x1: 0, y1: size, x2: size, y2: 0 });
  const line = points.map((point) => `${point.x * size},${(1 - point.y) * size}`).join(" ");
  add("polyline", { class: "curve", points: line });
  for (const point of points) {
    add("circle", { cx: point.x * size, cy: (1 - point.y) * size, r: point.size });
  }
  add("text", { x: size / 2, y: size + 33, "text-anchor": "middle" }, `${x}, %`);
  add("text", { transform: `translate(-34 ${size / 2}) rotate(-90)`, "text-anchor": "middle" }, `${y}, %`);
  return figure;
}
