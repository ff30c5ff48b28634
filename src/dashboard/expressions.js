/** Names, order and colours of expressions. Colours are told apart by people with any colour vision, and never the only sign. */

/** From pleasant to unpleasant: the order in which they are stacked. Labels of other models follow. */
const KNOWN = ["happy", "surprise", "calm", "neutral", "boredom", "sad", "fear", "disgust", "angry"];

/** @param {Iterable<string>} labels @returns {string[]} */
export function ordered(labels) {
  const rank = (/** @type {string} */ label) => {
    const index = KNOWN.indexOf(label);
    return index < 0 ? KNOWN.length : index;
  };
  return [...labels].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

const FALLBACKS = ["--label-a", "--label-b", "--label-c"];

/** @type {Map<string, string>} */
const colours = new Map();

/** To be called when the theme changes. */
export function forgetColours() {
  colours.clear();
}

/** The colour of a label in the theme in force, as CSS text. @param {string} label @param {number} index */
export function colourOf(label, index) {
  const known = colours.get(label);
  if (known !== undefined) return known;
  const style = getComputedStyle(document.documentElement);
  const own = style.getPropertyValue(`--${label}`).trim();
  const colour = own || style.getPropertyValue(FALLBACKS[index % FALLBACKS.length] ?? "").trim();
  colours.set(label, colour);
  return colour;
}
