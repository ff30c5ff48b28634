/** Makes elements. Text is always text, never markup: names and ids are anyone's. */

/**
 * @param {string} tag `div`, `div.card`
 * @param {Record<string, string> | null} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = null, ...children) {
  const [name = "div", ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Writes only what changed: layout costs more than a comparison. */
export function setText(/** @type {Element} */ element, /** @type {string} */ text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The same for an attribute: who writes what was there already has styles looked up anew. */
export function setAttribute(
  /** @type {Element} */ element,
  /** @type {string} */ name,
  /** @type {string} */ value,
) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {ParentNode} root @param {string} selector @returns {HTMLElement} */
export function find(root, selector) {
  const element = root.querySelector(selector);
  if (!(element instanceof HTMLElement)) throw new TypeError(`the page lacks ${selector}`);
  return element;
}
