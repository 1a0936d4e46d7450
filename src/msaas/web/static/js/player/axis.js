/** The time axis that ruler and waveforms share: a click seeks, a drag loops, a loop's edges can be dragged. */

const DRAG_PIXELS = 6; // a shorter drag is a click
const EDGE_PIXELS = { mouse: 7, pen: 10, touch: 18 };

/** @typedef {{start: number, end: number}} Region seconds */

export class Axis {
  /** Seconds; 0: nothing can be done yet. */
  length = 0;
  /** @type {Region | null} */ loop = null;
  #actions;

  /** @param {{seek: (seconds: number) => void, loop: (region: Region) => void, preview: (region: Region | null) => void}} actions
   *  `preview`: shows a loop on the way; null: the one that plays */
  constructor(actions) {
    this.#actions = actions;
  }

  /** @param {HTMLElement} element that is as wide as the song is long */
  wire(element) {
    /** Where the drag began and the second that it is measured from. @type {{x: number, at: number, edge: boolean} | null} */
    let from = null;
    const isDrag = (event) => Math.abs(event.clientX - from.x) >= DRAG_PIXELS;
    const region = (event) => ordered(from.at, this.#seconds(element, event));
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.length) return;
      const edge = this.#edgeAt(element, event);
      from = { x: event.clientX, at: edge ? this.loop[OTHER[edge]] : this.#seconds(element, event), edge: Boolean(edge) };
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (from && isDrag(event)) this.#actions.preview(region(event));
      if (!from) element.classList.toggle("at-edge", Boolean(this.#edgeAt(element, event)));
    });
    element.addEventListener("pointerup", (event) => {
      if (!from) return;
      if (isDrag(event)) this.#actions.loop(region(event));
      else if (!from.edge) this.#actions.seek(from.at);
      from = null;
    });
    element.addEventListener("pointercancel", () => {
      if (from) this.#actions.preview(null);
      from = null;
    });
  }

  #seconds(element, { clientX }) {
    const { left, width } = element.getBoundingClientRect();
    return Math.min(Math.max((clientX - left) / width, 0), 1) * this.length;
  }

  /** @returns {"start" | "end" | null} the edge of the loop under the pointer */
  #edgeAt(element, { clientX, pointerType, target }) {
    if (!this.loop || !this.length) return null;
    if (target.dataset.edge) return target.dataset.edge;
    const { left, width } = element.getBoundingClientRect();
    const away = (edge) => Math.abs(left + (this.loop[edge] / this.length) * width - clientX);
    const nearest = away("start") < away("end") ? "start" : "end";
    return away(nearest) <= (EDGE_PIXELS[pointerType] ?? EDGE_PIXELS.mouse) ? nearest : null;
  }
}

const OTHER = { start: "end", end: "start" };

/** @returns {Region} */
export function ordered(a, b) {
  return { start: Math.min(a, b), end: Math.max(a, b) };
}
