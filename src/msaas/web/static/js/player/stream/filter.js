/** Changes a sample rate, piece by piece: a low-pass of windowed sincs, one for each place between two samples. Pure. */

import { Unfit } from "./unfit.js";

const HALF_TAPS = 32; // on each side, of the lower rate
const BETA = 9; // of the Kaiser window: −90 dB
const PASSED = 0.95; // of the lower rate's band
const MOST_PLACES = 2000;

export class Filter {
  #up; #down; #half; #table;

  /** @param {number} from @param {number} to hertz, whole numbers */
  constructor(from, to) {
    const common = divisor(from, to);
    [this.#up, this.#down] = [to / common, from / common];
    if (this.#up > MOST_PLACES) throw new Unfit(`${from} Hz cannot be made ${to} Hz`);
    const cutoff = PASSED * Math.min(1, to / from);
    this.#half = Math.ceil(HALF_TAPS / Math.min(1, to / from));
    this.#table = Array.from({ length: this.#up }, (_, place) => taps(place / this.#up, this.#half, cutoff));
  }

  /** The frames that `count` frames from `from` on are made of; `from` may be negative. */
  needed(from, count) {
    const first = this.#before(from) - this.#half + 1;
    return { from: first, count: this.#before(from + count - 1) + this.#half - first + 1 };
  }

  /** @param {Float32Array} samples as needed @param {number} from @param {Float32Array} target */
  apply(samples, from, target) {
    const origin = this.#before(from);
    for (let index = 0; index < target.length; index++) {
      const begin = this.#before(from + index) - origin;
      const factors = this.#table[((from + index) * this.#down) % this.#up];
      let sum = 0;
      for (let tap = 0; tap < factors.length; tap++) sum += factors[tap] * samples[begin + tap];
      target[index] = sum;
    }
  }

  /** The last frame at or before another rate's frame. */
  #before(frame) {
    return Math.floor((frame * this.#down) / this.#up);
  }
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** Factors of the frames around a place between two of them; their sum is 1. @param {number} place 0 … 1 */
function taps(place, half, cutoff) {
  const factors = Float64Array.from({ length: 2 * half }, (_, tap) => {
    const x = tap - half + 1 - place;
    const sinc = x === 0 ? cutoff : Math.sin(Math.PI * cutoff * x) / (Math.PI * x);
    return sinc * bessel(BETA * Math.sqrt(Math.max(0, 1 - (x / half) ** 2)));
  });
  const sum = factors.reduce((a, b) => a + b, 0);
  return factors.map((factor) => factor / sum);
}

/** The modified Bessel function I0. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}
