/** The times that a ruler names at a zoom. Pure. */

import { clock, fineClock } from "../../common/words.js";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // seconds between two times
const SMALLEST_DIGITS = 5; // of a step below a second
const GAP_PIXELS = 42;
const LETTER_PIXELS = 7;

/** @typedef {{seconds: number, text: string}} Tick */

/** @param {{start: number, end: number, span: number, length: number}} view @param {number} width pixels @returns {Tick[]} */
export function ticksOf({ start, end, span, length }, width) {
  const step = [...smallSteps(), ...STEPS].find((seconds) => (width * seconds) / span >= roomFor(end, seconds)) ?? STEPS.at(-1);
  const digits = digitsOf(step);
  const first = Math.ceil(start / step - 1e-6);
  const count = Math.max(0, Math.floor((end - start) / step) + 2);
  const times = Array.from({ length: count }, (_, index) => round((first + index) * step));
  const last = Math.min(end - 0.03 * span, length);
  return times.filter((time) => time < last).map((seconds) => ({ seconds, text: fineClock(seconds, digits) }));
}

/** Digits after the point that tell two pixels apart. @param {number} span seconds @param {number} width pixels */
export function digitsFor(span, width) {
  return digitsOf(span / Math.max(1, width));
}

function digitsOf(step) {
  return Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
}

function smallSteps() {
  const powers = Array.from({ length: SMALLEST_DIGITS }, (_, index) => 10 ** (index - SMALLEST_DIGITS));
  return powers.flatMap((power) => [power, 2 * power, 5 * power].map(round));
}

function roomFor(seconds, step) {
  const digits = digitsOf(step);
  return GAP_PIXELS + LETTER_PIXELS * (clock(seconds).length + (digits ? digits + 1 : 0));
}

const round = (seconds) => Number(seconds.toFixed(9));
