/** Names, order and colours of expressions. Colours are told apart by people with any colour vision, and never the only sign. */

/** From pleasant to unpleasant: the order in which they are stacked. Labels of other models follow. */
const KNOWN = ["happy", "surprise", "calm", "neutral", "sad", "fear", "disgust", "angry"];

/** @param {Iterable<string>} labels @returns {string[]} */
export function ordered(labels) {
  const rank = (/** @type {string} */ label) => {
    const index = KNOWN.indexOf(label);
    return index < 0 ? KNOWN.length : index;
  };
  return [...labels].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

const FALLBACKS = ["--label-a", "--label-b", "--label-c"];

/** The colour of a label in the theme in force, as CSS text. @param {string} label @param {number} index */
export function colourOf(label, index) {
  const style = getComputedStyle(document.documentElement);
  const own = style.getPropertyValue(`--${label}`).trim();
  return own || style.getPropertyValue(FALLBACKS[index % FALLBACKS.length] ?? "").trim();
}
