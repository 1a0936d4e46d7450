/**
 * Plays one run: windows of a few seconds of all lanes, scheduled back to back on whole samples. What a window holds is
 * copied when it is scheduled, so a lane may get better or further sound meanwhile.
 */

import { Bank } from "./bank.js";
import { groupsOf, lengthOf } from "./channels.js";
import { isExact } from "./run.js";
import { StretchedBank } from "./stretch/bank.js";

const WINDOW_SECONDS = 3;
const AHEAD_SECONDS = 6; // of the song, scheduled at least: timers are slow in a page in the background, which has to play on
const QUANTUM = 128; // frames that a browser renders at a time

export class Deck {
  #context; #banks; #length; #run; #reach; #ended; #scheduled = 0; #playing = 0; #stopped = false;

  /**
   * @param {BaseAudioContext} context @param {import("./channels.js").Line[]} lines @param {import("./run.js").Run} run
   * @param {{reach: (frame: number) => number, ended: () => void, stretchers: import("./stretch/stretchers.js").Stretchers}} how
   *   `reach`: frames from one of the song on that all lanes have sound for; `ended`: all that was scheduled has been played;
   *   `stretchers`: open, if the run needs them
   */
  constructor(context, lines, run, { reach, ended, stretchers }) {
    this.#context = context;
    this.#run = run;
    this.#reach = reach;
    this.#ended = ended;
    this.#length = Math.round(WINDOW_SECONDS * context.sampleRate);
    this.#banks = groupsOf(lines).map((group) =>
      run.isStretched ? new StretchedBank(context, group, run, { reach, stretchers }) : new Bank(context, group, this.#length),
    );
  }

  /** Frames scheduled so far. */
  get scheduled() {
    return this.#scheduled;
  }

  /** Schedules what is due. @returns {boolean} false: a window may have begun too late */
  fill() {
    const { sampleRate } = this.#context;
    while (!this.#stopped) {
      const when = this.#run.dueAt(this.#scheduled) / sampleRate;
      if ((when - this.#context.currentTime) * this.#run.speed > AHEAD_SECONDS) return true;
      const pieces = this.#next(this.#length);
      if (!pieces.length) return true;
      if (this.#isPast(when)) return this.#scheduled > 0; // after a pause of the browser: `ended` follows
      this.#schedule(pieces, when);
      if (this.#isPast(when)) return false;
    }
    return true;
  }

  /** Goes on with another speed or pitch. Only for a run that is and stays stretched. @param {import("./run.js").Run} run */
  change(run) {
    this.#run = run;
    for (const bank of this.#banks) bank.change(run);
  }

  /** The next window's pieces, as far as there is sound, and so that the window after it has an exact time. */
  #next(most) {
    let count = this.#available(most);
    const isFree = this.#run.isStretched || this.#scheduled + count >= this.#run.length;
    while (count > 0 && !isFree && !isExact(this.#run.when + this.#scheduled + count, this.#context.sampleRate)) count -= 1;
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
    this.#scheduled += lengthOf(pieces);
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
