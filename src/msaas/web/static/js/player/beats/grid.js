/** The beats of a song, as a steady grid of bars of four. Pure. */

export const BEATS_A_BAR = 4; // assumed: the service does not measure the metre
export const LEAST_BPM = 20;
export const MOST_BPM = 400;
const NEAR = 1e-3; // of a beat: within it, a time is on the beat

/** @typedef {{seconds: number, bar: number, beat: number}} Beat bar 0, 1, …; beat 1 … 4 */

export class Grid {
  /** @param {number} bpm @param {number} one seconds of any first beat of a bar */
  constructor(bpm, one) {
    this.bpm = bpm;
    this.one = one;
  }

  /** Seconds of a beat. */
  get step() {
    return 60 / this.bpm;
  }

  /** @returns {number} seconds of the beat that is nearest */
  nearest(seconds) {
    return this.#at(Math.round(this.#index(seconds)));
  }

  /** @param {number} count of beats; negative: before @returns {number} seconds of a later or earlier beat */
  away(seconds, count) {
    const index = this.#index(seconds);
    return this.#at((count > 0 ? Math.floor(index + NEAR) : Math.ceil(index - NEAR)) + count);
  }

  /** The beats from `start`, up to and without `end`. @returns {Beat[]} */
  between(start, end) {
    const first = Math.ceil(this.#index(start) - NEAR);
    const last = Math.ceil(this.#index(end) - NEAR);
    return Array.from({ length: Math.max(0, last - first) }, (_, at) => this.#beat(first + at));
  }

  /** Bar 1 is the first one that begins in the song; beats before it are in bar 0. */
  #beat(index) {
    const fromStart = index - BEATS_A_BAR * Math.ceil(this.#index(0) / BEATS_A_BAR - NEAR);
    const beat = ((index % BEATS_A_BAR) + BEATS_A_BAR) % BEATS_A_BAR;
    return { seconds: this.#at(index), bar: Math.floor(fromStart / BEATS_A_BAR) + 1, beat: beat + 1 };
  }

  #index(seconds) {
    return (seconds - this.one) / this.step;
  }

  #at(index) {
    return this.one + index * this.step;
  }
}

/** The grid of what was measured and what the user has set; null if the tempo or the beats' times are not known.
 *  @param {{bpm: number, first_beat_seconds: number | null} | null | undefined} tempo of a job's analysis
 *  @param {{bpm?: number, one?: number}} own */
export function gridOf(tempo, { bpm = tempo?.bpm, one = tempo?.first_beat_seconds ?? undefined }) {
  return bpm && one !== undefined ? new Grid(bpm, one) : null;
}
