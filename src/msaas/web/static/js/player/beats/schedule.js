/** When the beats of a song sound while it plays, in the time of the audio context. Pure. */

import { BEATS_A_BAR } from "./grid.js";

/** `at`: context time at which the song is at `begin`; it plays on to `end`, then from `loop.start` to `loop.end`; `speed`: seconds
 *  of the song a second.
 *  @typedef {{at: number, begin: number, end: number, loop: import("../timeline/axis.js").Region | null, speed: number}} Run seconds */

/**
 * @param {import("./grid.js").Grid} grid @param {Run} run @param {number} from @param {number} to context times, without `to`
 * @param {boolean} counts a bar before the start, too @returns {{time: number, beat: number}[]}
 */
export function clicksBetween(grid, run, from, to, counts) {
  const within = ({ time }) => time >= from && time < to;
  return passes(grid, run, from, to, counts).flatMap((pass) => clicksOf(grid, pass, run.speed, from, to)).filter(within);
}

/** The parts of the song that are played between two times. */
function passes(grid, { at, begin, end, loop, speed }, from, to, counts) {
  const bar = BEATS_A_BAR * grid.step;
  const found = counts ? [{ at: at - bar / speed, begin: begin - bar, end: begin }] : [];
  found.push({ at, begin, end });
  if (!loop) return found;
  const length = (loop.end - loop.start) / speed;
  const first = at + (end - begin) / speed;
  const skipped = Math.max(0, Math.floor((from - first) / length));
  for (let again = first + skipped * length; again < to; again += length) found.push({ at: again, begin: loop.start, end: loop.end });
  return found;
}

function clicksOf(grid, { at, begin, end }, speed, from, to) {
  const beats = grid.between(Math.max(begin, begin + (from - at) * speed), Math.min(end, begin + (to - at) * speed));
  return beats.map(({ seconds, beat }) => ({ time: at + (seconds - begin) / speed, beat }));
}
