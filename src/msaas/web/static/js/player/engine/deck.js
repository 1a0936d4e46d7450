/**
 * Plays one run: windows of a few seconds of all lanes, scheduled back to back on whole samples. What a window holds is
 * copied when it is scheduled, so a lane may get better or further sound meanwhile.
 */

import { Bank } from "./bank.js";
import { isExact } from "./run.js";

const WINDOW_SECONDS = 3;
const AHEAD_SECONDS = 6; // scheduled at least, so that a page in the background, whose timers are slow, plays on
const QUANTUM = 128; // frames that a browser renders at a time

export class Deck {
  #context; #banks; #length; #run; #reach; #ended; #scheduled = 0; #playing = 0; #stopped = false;

  /**
   * @param {BaseAudioContext} context @param {import("./bank.js").Line[]} lines @param {import("./run.js").Run} run
   * @param {{reach: (frame: number) => number, ended: () => void}} how `reach`: frames from one of the song on that all
   *   lanes have sound for; `ended`: all that was scheduled has been played
   */
  constructor(context, lines, run, { reach, ended }) {
    this.#context = context;
    this.#run = run;
    this.#reach = reach;
    this.#ended = ended;
    this.#length = Math.round(WINDOW_SECONDS * context.sampleRate);
    this.#banks = Bank.all(context, lines, this.#length);
  }

  /** Frames scheduled so far. */
  get scheduled() {
    return this.#scheduled;
  }

  /** Schedules what is due. @returns {boolean} false: a window may have begun too late */
  fill() {
    const { sampleRate } = this.#context;
    while (!this.#stopped) {
      const when = (this.#run.when + this.#scheduled) / sampleRate;
      if (when > this.#context.currentTime + AHEAD_SECONDS) return true;
      const pieces = this.#next(this.#length);
      if (!pieces.length) return true;
      if (this.#isPast(when)) return this.#scheduled > 0; // after a pause of the browser: `ended` follows
      this.#schedule(pieces, when);
      if (this.#isPast(when)) return false;
    }
    return true;
  }

  /** The next window's pieces, as far as there is sound, and so that the window after it has an exact time. */
  #next(most) {
    let count = this.#available(most);
    const isLast = this.#scheduled + count >= this.#run.length;
    while (count > 0 && !isLast && !isExact(this.#run.when + this.#scheduled + count, this.#context.sampleRate)) count -= 1;
    return this.#run.pieces(this.#scheduled, count);
  }

  #available(most) {
    let count = 0;
    for (const piece of this.#run.pieces(this.#scheduled, most)) {
      const there = Math.min(piece.count, this.#reach(piece.from));
      count += there;
      if (there < piece.count) break;
    }
    return count;
  }

  #schedule(pieces, when) {
    for (const bank of this.#banks) {
      this.#playing += 1;
      bank.play(bank.window(pieces), when, () => this.#over());
    }
    this.#scheduled += pieces.reduce((sum, { count }) => sum + count, 0);
  }

  /** Whether the sample at `when` may have been rendered already. */
  #isPast(when) {
    return this.#context.currentTime + (2 * QUANTUM) / this.#context.sampleRate > when;
  }

  #over() {
    this.#playing -= 1;
    if (!this.#playing && !this.#stopped) this.#ended();
  }

  /** @param {number} when seconds */
  stop(when) {
    this.#stopped = true;
    for (const bank of this.#banks) bank.stop(when);
  }
}
