/** Tempo and pitch: what may be set, how it is written and read. Pure. */

/** @typedef {{least: number, most: number, neutral: number, digits: number}} Range `digits` after the point */

/** percent of the recorded tempo @type {Range} */
export const TEMPO = { least: 50, most: 150, neutral: 100, digits: 1 };
/** semitones @type {Range} */
export const PITCH = { least: -12, most: 12, neutral: 0, digits: 2 };

/** @param {number} value @param {Range} range */
export function bounded(value, { least, most, digits }) {
  return Number(Math.min(most, Math.max(least, value)).toFixed(digits));
}

/** `75`, `75,5 %`, `−2 st`, `+0.5` ▸ a number; null for anything else. @param {string} text */
export function typedIn(text) {
  const plain = text.trim().toLowerCase().replace(/[−–]/g, "-").replace(",", ".").replace(/\s*(%|st|semitones?)$/, "");
  return /^[+-]?\d+(\.\d+)?$/.test(plain) ? Number(plain) : null;
}

/** The range, to be said of a typed value that is not in it. @param {number | null} value @param {Range} range
 *  @param {(value: number) => string} written */
export function remarkOn(value, { least, most }, written) {
  if (value !== null && value >= least && value <= most) return "";
  return `a number from ${written(least).replace(/ .*/, "")} to ${written(most)}.`;
}

/** @param {number} percent */
export const tempoText = (percent) => `${percent} %`;

/** @param {number} semitones */
export const pitchText = (semitones) => `${semitones > 0 ? "+" : semitones < 0 ? "−" : ""}${Math.abs(semitones)} st`;
