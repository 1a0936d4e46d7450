/** Helpers for DOM elements. No state. */

/** @param {string} selector @param {ParentNode} [root] @returns {any} the element; throws if missing */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`no element matches ${selector}`);
  return found;
}

/** A copy of a template's single element. @param {string} id @returns {any} */
export function copyOf(id) {
  return find(`#${id}`).content.firstElementChild.cloneNode(true);
}

/** @param {HTMLElement} element @param {boolean} on */
export function show(element, on) {
  element.hidden = !on;
}

/** Sets the text only if it differs: screen readers announce every change of a live region. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets a custom property only if it differs: a new value makes the browser work out all that is below the element.
 *  @param {HTMLElement} element @param {string} name without its dashes @param {number | string} value */
export function vary(element, name, value) {
  const text = String(value);
  if (element.style.getPropertyValue(`--${name}`) !== text) element.style.setProperty(`--${name}`, text);
}

/** Keeps an element's height in a custom property of its name, in pixels, for what has to leave room for it. @param {string} id */
export function measure(id) {
  const root = document.documentElement;
  new ResizeObserver(([{ target }]) => vary(root, id, Math.ceil(target.getBoundingClientRect().height))).observe(find(`#${id}`));
}

/** A fraction of a width in steps that nobody sees: a tenth of a pixel at a thousand. What moves is drawn less often so. */
export const seen = (fraction) => fraction.toFixed(4);

/** Calls `act` at the first frame that is drawn after so many milliseconds: what moves slowly needs no call at each frame. */
export const later = (milliseconds, act) => setTimeout(() => requestAnimationFrame(act), milliseconds);

/** Points an SVG icon's `<use>` to another symbol. */
export function setIcon(button, symbol) {
  const use = find("use", button);
  if (use.getAttribute("href") !== `#${symbol}`) use.setAttribute("href", `#${symbol}`);
}

/** Announces a text to screen readers (aria-live polite). */
export function say(text) {
  write(find("#say"), text);
}
