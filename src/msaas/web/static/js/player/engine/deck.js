/**
 * Plays one run: windows of a few seconds of all lanes, scheduled back to back on whole samples. What a window holds is
 * copied when it is scheduled, so a lane may get better or further sound meanwhile.
 */

import { Bank } from "./bank.js";

const WINDOW_SECONDS = 4;
const AHEAD_SECONDS = 8; // scheduled at least, so that a page in the background, whose timers are slow, plays on
const QUANTUM = 128; // frames that a browser renders at a time

export class Deck {
  #context; #banks; #run; #reach; #ended; #scheduled = 0; #playing = 0; #stopped = false;

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
    this.#banks = Bank.all(context, lines);
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
      const pieces = this.#next(Math.round(WINDOW_SECONDS * sampleRate));
      if (!pieces.length) return true;
      if (this.#isPast(when)) return this.#scheduled > 0; // after a pause of the browser: `ended` follows
      this.#schedule(pieces, when);
      if (this.#isPast(when)) return false;
    }
    return true;
  }

  /** The next window's pieces, as far as there is sound. */
  #next(count) {
    const found = [];
    for (const piece of this.#run.pieces(this.#scheduled, count)) {
      const there = Math.min(piece.count, this.#reach(piece.from));
      if (there > 0) found.push({ from: piece.from, count: there });
      if (there < piece.count) break;
    }
    return found;
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
