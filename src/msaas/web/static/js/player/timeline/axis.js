/**
 * The time axis that ruler and waveforms share: a click seeks, a drag loops, a loop's edges and the playhead can be
 * dragged; two fingers or Ctrl with the wheel zoom, the wheel's horizontal movement scrolls.
 */

import { Pinch } from "./pinch.js";

const DRAG_PIXELS = 6; // a shorter drag is a click
const EDGE_PIXELS = { mouse: 7, pen: 10, touch: 18 };
const WHEEL_ZOOM = 0.0025; // of a pixel, as the exponent of e
const LINE_PIXELS = 16; // of a wheel that counts lines

/** @typedef {{start: number, end: number}} Region seconds */
/** What a pointer does: `x` where it went down, `at` the second that the drag is measured from.
 *  @typedef {{kind: "region" | "edge" | "head" | "scroll", x: number, at: number, start: number}} Drag */

export class Axis {
  /** @type {Region | null} */ loop = null;
  #actions; #pinch; /** @type {Drag | null} */ #drag = null;
  /** The mouse over the axis. @type {{element: HTMLElement, event: PointerEvent} | null} */ #pointer = null;

  /** @param {import("./view.js").View} view
   *  @param {{seek: (seconds: number) => void, loop: (region: Region) => void, preview: (region: Region | null) => void,
   *   head: (seconds: number | null) => void, hover: (seconds: number | null) => void,
   *   region: (from: number, to: number, how: {free: boolean, fixed: boolean}) => Region}} actions
   *  `preview`, `head`: shows a loop, the playhead on the way; null: as they are. `region`: the loop of a drag; `free`: Alt is
   *  pressed, `fixed`: `from` is the other edge */
  constructor(view, actions) {
    this.view = view;
    this.#actions = actions;
    this.#pinch = new Pinch(view);
    view.addEventListener("change", () => this.#pointer && this.#hover(this.#pointer.element, this.#pointer.event));
  }

  get length() {
    return this.view.length;
  }

  /** @param {HTMLElement} element as wide as the view @param {{scrolls?: boolean}} [how] `scrolls`: a drag scrolls a zoomed view */
  wire(element, { scrolls = false } = {}) {
    const on = (kind, act, options) => element.addEventListener(kind, (event) => this.length && act(event), options);
    on("pointerdown", (event) => this.#down(element, event, scrolls));
    on("pointermove", (event) => this.#moved(element, event));
    on("pointerup", (event) => {
      if (!this.#pinch.up(event) && this.#drag) this.#drop(element, event, this.#drag);
      this.#drag = null;
    });
    on("pointercancel", (event) => {
      this.#pinch.up(event);
      this.#giveUp();
    });
    on("pointerleave", () => this.#leave());
    on("wheel", (event) => this.#wheel(element, event), { passive: false });
  }

  #down(element, event, scrolls) {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    if (this.#pinch.down(event, element)) return this.#giveUp();
    this.#drag = this.#begin(element, event, scrolls);
  }

  #moved(element, event) {
    this.#hover(element, event);
    if (this.#pinch.move(event, element)) return;
    if (this.#drag) this.#move(element, event, this.#drag);
    else element.classList.toggle("at-edge", Boolean(this.#edgeAt(element, event)));
  }

  #begin(element, event, scrolls) {
    const from = { x: event.clientX, start: this.view.start };
    if (event.target.dataset.head !== undefined) return { ...from, kind: "head", at: this.#seconds(element, event) };
    const edge = this.#edgeAt(element, event);
    if (edge) return { ...from, kind: "edge", at: this.loop[OTHER[edge]] };
    return { ...from, kind: scrolls && !this.view.isWhole ? "scroll" : "region", at: this.#seconds(element, event) };
  }

  #move(element, event, drag) {
    if (!isDrag(event, drag)) return;
    if (drag.kind === "head") this.#actions.head(this.#seconds(element, event));
    else if (drag.kind === "scroll") this.#scroll(element, event, drag);
    else this.#actions.preview(this.#region(element, event, drag));
  }

  #drop(element, event, drag) {
    const moved = isDrag(event, drag);
    if (drag.kind === "head") return this.#letGo(moved ? this.#seconds(element, event) : null);
    if (!moved) return drag.kind !== "edge" && this.#actions.seek(drag.at);
    if (drag.kind !== "scroll") this.#actions.loop(this.#region(element, event, drag));
  }

  #letGo(seconds) {
    this.#actions.head(null);
    if (seconds !== null) this.#actions.seek(seconds);
  }

  #giveUp() {
    if (this.#drag?.kind === "head") this.#actions.head(null);
    else if (this.#drag) this.#actions.preview(null);
    this.#drag = null;
  }

  #region(element, event, { kind, at }) {
    return this.#actions.region(at, this.#seconds(element, event), { free: event.altKey, fixed: kind === "edge" });
  }

  #scroll(element, { clientX }, { x, start }) {
    this.view.set(start - ((clientX - x) / element.clientWidth) * this.view.span, this.view.span);
  }

  /** With Ctrl or ⌘ the wheel zooms, as a trackpad's pinch does; sideways, or with Shift, it scrolls; else it scrolls the page. */
  #wheel(element, event) {
    const scale = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PIXELS : 1;
    const [x, y] = [event.deltaX * scale, event.deltaY * scale];
    if (event.ctrlKey || event.metaKey) this.view.zoom(Math.exp(y * WHEEL_ZOOM), this.#seconds(element, event));
    else if (this.view.isWhole) return;
    else if (Math.abs(x) > Math.abs(y) || event.shiftKey) this.view.scroll(((x || y) / element.clientWidth) * this.view.span);
    else return;
    event.preventDefault();
  }

  #hover(element, event) {
    if (event.pointerType !== "mouse") return;
    this.#pointer = { element, event };
    this.#actions.hover(this.#seconds(element, event));
  }

  #leave() {
    this.#pointer = null;
    this.#actions.hover(null);
  }

  #seconds(element, { clientX }) {
    const { left, width } = element.getBoundingClientRect();
    return this.view.seconds(Math.min(Math.max((clientX - left) / width, 0), 1));
  }

  /** @returns {"start" | "end" | null} the edge of the loop under the pointer */
  #edgeAt(element, { clientX, pointerType, target }) {
    if (!this.loop || !this.length) return null;
    if (target.dataset.edge) return target.dataset.edge;
    const { left, width } = element.getBoundingClientRect();
    const away = (edge) => Math.abs(left + this.view.fraction(this.loop[edge]) * width - clientX);
    const nearest = away("start") < away("end") ? "start" : "end";
    return away(nearest) <= (EDGE_PIXELS[pointerType] ?? EDGE_PIXELS.mouse) ? nearest : null;
  }
}

const OTHER = { start: "end", end: "start" };
const isDrag = (event, drag) => Math.abs(event.clientX - drag.x) >= DRAG_PIXELS;

/** @returns {Region} */
export function ordered(a, b) {
  return { start: Math.min(a, b), end: Math.max(a, b) };
}
