/** The part of the song that ruler and lanes show. Pure; event: `change`. */

const LEAST_FRAMES = 64; // of a view
const FOLLOW_MARGIN = 0.06; // of the view: where the playhead is after a page is turned

export class View extends EventTarget {
  /** Seconds of the song; 0: none is open. */
  length = 0;
  start = 0;
  #span = 0; #least = 0;

  /** @param {number} length seconds @param {number} rate samples a second */
  open(length, rate) {
    this.length = length;
    this.#least = Math.min(length, LEAST_FRAMES / rate);
    this.all();
  }

  /** Seconds that are shown. */
  get span() {
    return this.#span;
  }

  get end() {
    return this.start + this.#span;
  }

  get isWhole() {
    return this.#span >= this.length;
  }

  get isClosest() {
    return this.#span <= this.#least;
  }

  /** Where a time is, as a fraction of the width; at most a width outside, since browsers round huge lengths. */
  fraction(seconds) {
    if (!this.#span) return 0;
    return Math.min(2, Math.max(-1, (seconds - this.start) / this.#span));
  }

  /** @param {number} fraction of the width @returns {number} seconds, within the song */
  seconds(fraction) {
    return Math.min(this.length, Math.max(0, this.start + fraction * this.#span));
  }

  shows(seconds) {
    return seconds >= this.start && seconds < this.end;
  }

  /** @param {number} start @param {number} span both are limited to the song and to the closest view */
  set(start, span) {
    const wanted = Math.min(this.length, Math.max(this.#least, span));
    const first = Math.min(Math.max(0, start), this.length - wanted);
    if (first === this.start && wanted === this.#span) return;
    this.start = first;
    this.#span = wanted;
    this.dispatchEvent(new Event("change"));
  }

  all() {
    this.set(0, this.length);
  }

  /** @param {number} factor below 1: closer @param {number} at seconds, which stay where they are */
  zoom(factor, at) {
    const span = Math.min(this.length, Math.max(this.#least, this.#span * factor));
    this.set(at - ((at - this.start) / this.#span) * span, span);
  }

  /** The same around a time that may be outside: it is brought to the middle then. */
  zoomTo(factor, at) {
    if (!this.shows(at)) this.set(at - this.#span / 2, this.#span);
    this.zoom(factor, at);
  }

  /** @param {number} seconds */
  scroll(seconds) {
    this.set(this.start + seconds, this.#span);
  }

  /** Turns the page if the playhead has left the view. */
  follow(seconds) {
    if (!this.shows(seconds) && !this.isWhole) this.set(seconds - FOLLOW_MARGIN * this.#span, this.#span);
  }
}
