/** The scale of the meters: decibels below full scale, as a fraction of the width. Pure. */

export const LOWEST_DB = -60;
export const HIGHEST_DB = 6;
const FALL_DB = 26; // a second, of a peak

/** @param {number} value full scale is 1 */
export const toDecibels = (value) => (value > 0 ? 20 * Math.log10(value) : -Infinity);

/** @param {number} db @returns {number} 0 … 1 */
export function fractionOf(db) {
  return Math.min(1, Math.max(0, (db - LOWEST_DB) / (HIGHEST_DB - LOWEST_DB)));
}

/** A peak that falls slowly. @param {number} shown @param {number} now decibels @param {number} seconds since then */
export const fallen = (shown, now, seconds) => Math.max(now, shown - FALL_DB * seconds);
