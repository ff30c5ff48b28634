/** Reads the text that Prometheus scrapes: the operations page shows what any monitoring would. */

/** @typedef {{name: string, labels: Record<string, string>, value: number}} Sample */

/** @param {string} text @returns {Sample[]} */
export function samplesOf(text) {
  return text.split("\n").flatMap((line) => {
    const parts = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (parts === null) return [];
    const [, name = "", pairs = "", value = ""] = parts;
    /** @type {Record<string, string>} */
    const labels = {};
    for (const [, key = "", quoted = ""] of pairs.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
      labels[key] = quoted.replace(/\\(.)/g, (_, escaped) => (escaped === "n" ? "\n" : escaped));
    }
    return { name, labels, value: value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value) };
  });
}

/** The sum of all series of a name whose labels fit. @param {Sample[]} samples @param {string} name @param {Record<string, string>} [labels] */
export function sumOf(samples, name, labels = {}) {
  let sum = 0;
  for (const sample of samples) {
    if (sample.name !== name) continue;
    if (Object.entries(labels).every(([key, value]) => sample.labels[key] === value)) sum += sample.value;
  }
  return sum;
}

/** A histogram's buckets, each by itself, over all other labels. @param {Sample[]} samples @param {string} name @returns {{to: number, count: number}[]} */
export function bucketsOf(samples, name) {
  /** @type {Map<number, number>} */
  const cumulative = new Map();
  for (const { name: of, labels, value } of samples) {
    if (of !== `${name}_bucket`) continue;
    const to = labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le);
    cumulative.set(to, (cumulative.get(to) ?? 0) + value);
  }
  let before = 0;
  return [...cumulative]
    .sort(([a], [b]) => a - b)
    .map(([to, upTo]) => {
      const count = upTo - before;
      before = upTo;
      return { to, count };
    });
}
