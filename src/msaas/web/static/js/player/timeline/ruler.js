/** The ruler above the lanes: times, the playhead's handle, and the edges of the loop, which pointer and keyboard move. */

import { find, seen, show, vary, write } from "../../common/dom.js";
import { clock, fineClock } from "../../common/words.js";
import { ordered } from "./axis.js";
import { showBeats } from "../beats/marks.js";
import { digitsFor, ticksOf } from "./ticks.js";

const NUDGE_SECONDS = 0.1;
const FAR_SECONDS = 1;
const NUDGE_OF_VIEW = 1 / 40; // where that is less

export class Ruler {
  #root; #axis; #setLoop; #beats; #loop = null; #head = 0;

  /** @param {HTMLElement} root @param {import("./axis.js").Axis} axis @param {(region: import("./axis.js").Region) => void} setLoop
   *  @param {import("../beats/panel.js").Beats} beats */
  constructor(root, axis, setLoop, beats) {
    this.#root = root;
    this.#axis = axis;
    this.#setLoop = setLoop;
    this.#beats = beats;
    beats.addEventListener("change", () => this.draw());
    axis.wire(root, { scrolls: true });
    for (const handle of this.#handles) handle.addEventListener("keydown", (event) => this.#press(event, handle.dataset.edge));
    new ResizeObserver(() => this.draw()).observe(root);
    axis.view.addEventListener("change", () => this.draw());
  }

  get #handles() {
    return this.#root.querySelectorAll(".edge");
  }

  draw() {
    const { view } = this.#axis;
    this.#root.classList.toggle("zoomed", !view.isWhole);
    find(".ticks", this.#root).replaceChildren(...ticksOf(view, this.#root.clientWidth).map((tick) => mark(tick, view)));
    showBeats(this.#beats.grid, view, this.#root);
    this.showLoop(this.#loop);
    this.showHead(this.#head);
  }

  /** @param {import("./axis.js").Region | null} region */
  showLoop(region) {
    this.#loop = region;
    for (const handle of this.#handles) {
      const at = region && region[handle.dataset.edge];
      show(handle, region !== null && isNear(this.#axis.view, at));
      if (region) this.#place(handle, at);
    }
  }

  /** @param {number} seconds of the playhead */
  showHead(seconds) {
    this.#head = seconds;
    const handle = find(".grip", this.#root);
    show(handle, this.#axis.length > 0 && isNear(this.#axis.view, seconds));
    vary(handle, "at", seen(this.#axis.view.fraction(seconds)));
  }

  /** @param {number | null} seconds under the pointer; null: none */
  showHover(seconds) {
    const label = find(".hover-time", this.#root);
    show(label, seconds !== null);
    if (seconds === null) return;
    const { view } = this.#axis;
    write(label, fineClock(seconds, Math.max(1, digitsFor(view.span, this.#root.clientWidth))));
    vary(label, "at", view.fraction(seconds));
    label.classList.toggle("left", view.fraction(seconds) > 0.8);
  }

  #place(handle, seconds) {
    const { length, view } = this.#axis;
    vary(handle, "at", view.fraction(seconds));
    handle.setAttribute("aria-valuemin", "0");
    handle.setAttribute("aria-valuemax", String(length));
    handle.setAttribute("aria-valuenow", seconds.toFixed(2));
    handle.setAttribute("aria-valuetext", `${clock(seconds)} and ${Math.floor((seconds % 1) * 100)} hundredths`);
  }

  /** Arrows move by beats if loops snap to them, else by time. */
  #press(event, edge) {
    const { loop, length, view } = this.#axis;
    const direction = DIRECTIONS[event.key];
    if (!direction || !loop) return;
    event.preventDefault();
    const far = event.shiftKey || event.key.startsWith("Page");
    const step = far ? Math.min(FAR_SECONDS, view.span / 4) : Math.min(NUDGE_SECONDS, view.span * NUDGE_OF_VIEW);
    const onBeat = this.#beats.stepped(loop[edge], direction, { far, free: event.altKey });
    const moved = Math.min(length, Math.max(0, onBeat ?? loop[edge] + direction * step));
    this.#setLoop(ordered(moved, loop[edge === "start" ? "end" : "start"]));
  }
}

const DIRECTIONS = { ArrowLeft: -1, ArrowDown: -1, PageDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 1 };

/** Whether a handle at this time can be seen. */
function isNear(view, seconds) {
  const place = view.fraction(seconds);
  return place >= 0 && place <= 1;
}

function mark({ seconds, text }, view) {
  const element = document.createElement("span");
  element.textContent = text;
  vary(element, "at", view.fraction(seconds));
  return element;
}
