/** Gain and pan of each lane. Pure; used by mixer and mixdown. */

export const SILENT_DB = -48; // the fader's lowest step is silence
export const LOUDEST_DB = 6;

/** @typedef {{db: number, pan: number, muted: boolean, soloed: boolean}} Level pan: −1 … 1 */

/** @returns {Level} */
export function neutral() {
  return { db: 0, pan: 0, muted: false, soloed: false };
}

export function amplitude(db) {
  return db <= SILENT_DB ? 0 : 10 ** (db / 20);
}

/** Each lane's gain factor; if a lane is soloed, the others are silent. @param {Level[]} levels @returns {number[]} */
export function factors(levels) {
  const solo = levels.some((level) => level.soloed);
  return levels.map(({ db, muted, soloed }) => (muted || (solo && !soloed) ? 0 : amplitude(db)));
}

/** A lane's signal path: gain, then pan. @param {BaseAudioContext} context @param {AudioNode} out */
export function strip(context, out) {
  const gain = context.createGain();
  const pan = context.createStereoPanner();
  gain.connect(pan).connect(out);
  return { gain, pan };
}
