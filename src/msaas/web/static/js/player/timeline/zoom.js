/** The controls of the view: buttons and keys for closer, wider, whole song and loop, and whether it follows the playhead. */

import { find, say, vary } from "../../common/dom.js";
import { keep, load } from "../../common/store.js";
import { fineClock } from "../../common/words.js";
import { digitsFor } from "./ticks.js";

const STEP = 2;
const LOOP_MARGIN = 0.1; // of the loop, on both sides
const SCROLL = 0.5; // of the view

export class Zoom {
  #view; #position; #inSight = true; #follows = load("follow", true);
  #follow = find("#follow");

  /** @param {import("./view.js").View} view @param {() => number} position of the playhead, in seconds */
  constructor(view, position) {
    this.#view = view;
    this.#position = position;
    find("#zoom-in").addEventListener("click", () => this.closer());
    find("#zoom-out").addEventListener("click", () => this.wider());
    find("#zoom-all").addEventListener("click", () => this.all());
    this.#follow.addEventListener("click", () => this.toggleFollow());
    view.addEventListener("change", () => this.#show());
    this.#show();
  }

  closer() {
    this.#view.zoomTo(1 / STEP, this.#position());
    this.#tell();
  }

  wider() {
    this.#view.zoomTo(STEP, this.#position());
    this.#tell();
  }

  all() {
    this.#view.all();
    this.#tell();
  }

  /** @param {import("./axis.js").Region | null} loop */
  toLoop(loop) {
    if (!loop) return;
    const margin = LOOP_MARGIN * (loop.end - loop.start);
    this.#view.set(loop.start - margin, loop.end - loop.start + 2 * margin);
    this.#tell();
  }

  /** @param {1 | -1} direction */
  scroll(direction) {
    this.#view.scroll(direction * SCROLL * this.#view.span);
    this.#tell();
  }

  toggleFollow() {
    this.#follows = !this.#follows;
    keep("follow", this.#follows);
    this.#show();
    say(this.#follows ? "The view follows the playhead" : "The view stays");
    this.reach();
  }

  /** Brings the playhead into the view, after it was moved. */
  reach() {
    if (this.#follows && this.#view.length) this.#view.follow(this.#position());
    this.#inSight = this.#view.shows(this.#position());
  }

  /** Turns the page when the playhead leaves it; a view that was scrolled away from it stays. */
  played() {
    if (this.#inSight) this.reach();
    else this.#inSight = this.#view.shows(this.#position());
  }

  #show() {
    const view = this.#view;
    find("#zoom-in").disabled = !view.length || view.isClosest;
    for (const id of ["#zoom-out", "#zoom-all"]) find(id).disabled = view.isWhole;
    this.#follow.setAttribute("aria-pressed", String(this.#follows));
    const part = find("#view-part");
    part.hidden = view.isWhole;
    vary(part, "from", view.start / view.length);
    vary(part, "to", view.end / view.length);
    this.#inSight = Boolean(view.length) && view.shows(this.#position());
  }

  #tell() {
    const digits = digitsFor(this.#view.span, 100);
    say(this.#view.isWhole ? "The whole song" : `${fineClock(this.#view.start, digits)} to ${fineClock(this.#view.end, digits)}`);
  }
}
