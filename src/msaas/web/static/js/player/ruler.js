/** The ruler above the lanes: times, and the edges of the loop, which pointer and keyboard move. */

import { find, vary } from "../common/dom.js";
import { clock } from "../common/words.js";
import { ordered } from "./axis.js";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // seconds between two times
const APART_PIXELS = 76;
const NUDGE_SECONDS = 0.1;
const FAR_SECONDS = 1;

export class Ruler {
  #root; #axis; #setLoop;

  /** @param {HTMLElement} root @param {import("./axis.js").Axis} axis @param {(region: import("./axis.js").Region) => void} setLoop */
  constructor(root, axis, setLoop) {
    this.#root = root;
    this.#axis = axis;
    this.#setLoop = setLoop;
    axis.wire(root);
    for (const handle of this.#handles) handle.addEventListener("keydown", (event) => this.#press(event, handle.dataset.edge));
    new ResizeObserver(() => this.draw()).observe(root);
  }

  get #handles() {
    return this.#root.querySelectorAll(".edge");
  }

  draw() {
    const { length } = this.#axis;
    const most = Math.max(1, this.#root.clientWidth / APART_PIXELS);
    const step = STEPS.find((seconds) => length / seconds <= most) ?? STEPS.at(-1);
    const times = Array.from({ length: Math.ceil(length / step) }, (_, index) => index * step);
    find(".ticks", this.#root).replaceChildren(...times.filter((time) => time < 0.97 * length).map((time) => tick(time, length)));
  }

  /** @param {import("./axis.js").Region | null} region */
  showLoop(region) {
    for (const handle of this.#handles) {
      handle.hidden = !region;
      if (region) this.#place(handle, region[handle.dataset.edge]);
    }
  }

  #place(handle, seconds) {
    const { length } = this.#axis;
    vary(handle, "at", seconds / length);
    handle.setAttribute("aria-valuemin", "0");
    handle.setAttribute("aria-valuemax", String(length));
    handle.setAttribute("aria-valuenow", seconds.toFixed(2));
    handle.setAttribute("aria-valuetext", `${clock(seconds)} and ${Math.floor((seconds % 1) * 100)} hundredths`);
  }

  #press(event, edge) {
    const far = event.shiftKey || event.key.startsWith("Page");
    const step = far ? FAR_SECONDS : NUDGE_SECONDS;
    const { loop, length } = this.#axis;
    const back = { ArrowLeft: -step, ArrowDown: -step, PageDown: -step };
    const on = { ArrowRight: step, ArrowUp: step, PageUp: step };
    const change = back[event.key] ?? on[event.key];
    if (!change || !loop) return;
    event.preventDefault();
    const moved = Math.min(length, Math.max(0, loop[edge] + change));
    this.#setLoop(ordered(moved, loop[edge === "start" ? "end" : "start"]));
  }
}

function tick(time, length) {
  const mark = document.createElement("span");
  mark.textContent = clock(time);
  vary(mark, "at", time / length);
  return mark;
}
