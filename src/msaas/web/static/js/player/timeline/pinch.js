/** Two fingers on the time axis: the seconds under them stay under them, so that they zoom and scroll at once. */

export class Pinch {
  #view; #fingers = new Map(); #held = null;

  /** @param {import("./view.js").View} view */
  constructor(view) {
    this.#view = view;
  }

  /** @param {PointerEvent} event @param {HTMLElement} element as wide as the view @returns {boolean} whether it is the second finger */
  down({ pointerId, pointerType, isPrimary, clientX }, element) {
    if (pointerType !== "touch") return false;
    if (isPrimary) this.#fingers.clear(); // those whose end was not seen
    this.#fingers.set(pointerId, clientX);
    this.#held = null;
    if (this.#fingers.size < 2) return false;
    this.#held = this.#places(element).map((place) => this.#view.start + place * this.#view.span);
    return true;
  }

  /** @param {PointerEvent} event @returns {boolean} whether it belongs to a pinch */
  move({ pointerId, clientX }, element) {
    if (this.#fingers.has(pointerId)) this.#fingers.set(pointerId, clientX);
    if (!this.#held) return false;
    if (this.#fingers.size < 2) return true;
    const [left, right] = this.#places(element);
    const [from, to] = this.#held;
    if (left === right || Math.sign(right - left) !== Math.sign(to - from)) return true; // the fingers cross
    const span = (to - from) / (right - left);
    this.#view.set(from - left * span, span);
    return true;
  }

  /** @param {PointerEvent} event @returns {boolean} whether it ends a pinch; the other finger does nothing more */
  up({ pointerId }) {
    this.#fingers.delete(pointerId);
    const pinched = this.#held !== null;
    if (!this.#fingers.size) this.#held = null;
    return pinched;
  }

  /** Of the first two fingers, as fractions of the width. */
  #places(element) {
    const { left, width } = element.getBoundingClientRect();
    return [...this.#fingers.values()].slice(0, 2).map((x) => (x - left) / width);
  }
}
