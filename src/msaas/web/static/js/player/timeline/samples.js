/** Decoded sound of a lane near a view, if the mixer has it: for zooms that are closer than the service's levels. */

import { measureLevels } from "./levels.js";

const LINE_FRAMES = 20_000; // of a view that may be drawn as a line
export const CLOSE_FRAMES = 2 ** 18; // of a view that is always measured while it is drawn: 6 s
export const MOST_FRAMES = 2 ** 21; // where nothing else is as fine: 48 s
const POINTS = 1000;

/** Decoded sound of a part of the song; `at`: the frame of the song that the buffer begins with.
 *  @typedef {{buffer: AudioBuffer, at: number}} Decoded */
/** Successive samples, the mean of the channels; `first` is the frame of the first one.
 *  @typedef {{first: number, values: Float32Array}} Excerpt */

/** @param {Decoded | null} sound @param {number} start @param {number} end seconds
 *  @returns {Excerpt | null} null if the sound is missing, or too long for a line */
export function excerpt(sound, start, end) {
  const range = rangeOf(sound, start, end);
  if (!range || range.last - range.first > LINE_FRAMES) return null;
  const { buffer, at } = sound;
  const values = new Float32Array(range.last - range.first);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel).subarray(range.first, range.last);
    samples.forEach((sample, index) => { values[index] += sample / buffer.numberOfChannels; });
  }
  return { first: at + range.first, values };
}

/** @param {Decoded | null} sound @param {number} start @param {number} end seconds @param {number} most frames
 *  @returns {import("./levels.js").Levels | null} null if the sound is missing, or longer */
export function levelsNear(sound, start, end, most) {
  const range = rangeOf(sound, start, end);
  if (!range || range.last - range.first > most) return null;
  const levels = measureLevels(sound.buffer, { ...range, count: POINTS });
  const before = sound.at / sound.buffer.sampleRate;
  return { ...levels, start: before + levels.start, end: before + levels.end };
}

/** In frames of the buffer. */
function rangeOf(sound, start, end) {
  if (!sound) return null;
  const { buffer, at } = sound;
  const first = Math.max(0, Math.floor(start * buffer.sampleRate) - 1 - at);
  const last = Math.min(buffer.length, Math.ceil(end * buffer.sampleRate) + 2 - at);
  return first < last ? { first, last } : null;
}
