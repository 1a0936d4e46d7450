/** Small helpers around elements. No state. */

/** @param {string} selector @param {ParentNode} [root] @returns {any} the element; throws where there is none */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

/** A fresh copy of a template's one element. @param {string} id @returns {any} */
export function copyOf(id) {
  return find(`#${id}`).content.firstElementChild.cloneNode(true);
}

/** @param {HTMLElement} element @param {boolean} on */
export function show(element, on) {
  element.hidden = !on;
}

/** Leaves equal text alone: live regions and screen readers notice every change. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {HTMLElement} element @param {string} name @param {number} value a custom property, without its dashes */
export function vary(element, name, value) {
  element.style.setProperty(`--${name}`, String(value));
}

/** An SVG icon's `<use>` pointed at another symbol. */
export function setIcon(button, symbol) {
  const use = find("use", button);
  if (use.getAttribute("href") !== `#${symbol}`) use.setAttribute("href", `#${symbol}`);
}

/** Says something to screen readers, politely. */
export function say(text) {
  write(find("#say"), text);
}
