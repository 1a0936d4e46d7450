/** What the service measured of a song, as it is heard at the mixer's tempo and pitch. Pure. */

import { pitchText } from "../player/tempo/ranges.js";

/** The tonics as the service spells them, by semitones above C. */
const TONICS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];

/** @typedef {{speed: number, semitones: number, bpm?: number}} Heard `speed`: 1 as recorded; `bpm`: beats a minute as recorded,
 *    if they were set here */

/** Tempo, key and loudness. @param {any} analysis of a job; may be missing @param {Heard | null} [heard] null: as recorded */
export function measuredOf(analysis, heard) {
  const { tempo, key, loudness } = analysis ?? {};
  const lufs = loudness && `${loudness.integrated_lufs.toFixed(1).replace("-", "−")} LUFS`;
  const { speed, semitones, bpm } = { speed: 1, semitones: 0, bpm: tempo?.bpm, ...heard };
  return [bpm && tempoName(bpm, speed), key && keyName(key.name, semitones), lufs].filter(Boolean).join(" · ");
}

function tempoName(bpm, speed) {
  const heard = `${Math.round(bpm * speed)} BPM`;
  return speed === 1 ? heard : `${heard} (${Math.round(bpm)} as recorded)`;
}

/** The key that is heard; between two semitones the nearer one. @param {string} name such as "F# minor" @param {number} semitones */
function keyName(name, semitones) {
  const [tonic, ...mode] = name.split(" ");
  const place = TONICS.indexOf(tonic);
  if (!semitones || place < 0) return spelled(name);
  const steps = Math.round(semitones);
  const cents = Math.round(100 * (semitones - steps));
  const heard = [TONICS[(place + steps + 24) % 12], ...mode].join(" ");
  const off = cents ? ` ${cents > 0 ? "+" : "−"}${Math.abs(cents)} cents` : "";
  return `${spelled(heard)}${off} (transposed ${heard === name ? `by ${pitchText(semitones)}` : `from ${spelled(name)}`})`;
}

/** `F# minor`, `Bb major` ▸ `F♯ minor`, `B♭ major` */
const spelled = (name) => name.replace(/^([A-G])#/, "$1♯").replace(/^([A-G])b/, "$1♭");
