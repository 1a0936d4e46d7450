/** Peak and RMS of equal intervals of a stem, from the worker's data or from decoded sound. Pure. */

const POINTS = 2000;
const FULL = 255;

/** `start`, `end`: the seconds that the intervals cover; 0 … 255 is silence … full scale.
 *  @typedef {{start: number, end: number, peak: Uint8Array, rms: Uint8Array}} Levels */

/** The service's waveforms, unpacked. @returns {Record<string, Levels>} by stem */
export function levelsOf({ stems, sample_rate: rate, total_samples: total, start_sample: first = 0, end_sample: last = total }) {
  const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const range = { start: first / rate, end: last / rate };
  return Object.fromEntries(Object.entries(stems).map(([stem, { peak, rms }]) => [stem, { ...range, peak: unpack(peak), rms: unpack(rms) }]));
}

/** The same from decoded sound. @param {AudioBuffer} buffer
 *  @param {{first?: number, last?: number, count?: number}} [part] in frames, and the number of intervals @returns {Levels} */
export function measureLevels(buffer, { first = 0, last = buffer.length, count = POINTS } = {}) {
  const points = Math.max(1, Math.min(count, last - first));
  const levels = { start: first / buffer.sampleRate, end: last / buffer.sampleRate, peak: new Uint8Array(points), rms: new Uint8Array(points) };
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, index) => buffer.getChannelData(index));
  const edge = (point) => first + Math.floor((point * (last - first)) / points);
  for (let point = 0; point < points; point++) {
    const { peak, rms } = measured(channels, edge(point), edge(point + 1));
    levels.peak[point] = Math.min(FULL, Math.round(peak * FULL));
    levels.rms[point] = Math.min(FULL, Math.round(rms * FULL));
  }
  return levels;
}

function measured(channels, from, to) {
  let peak = 0;
  let sum = 0;
  for (const samples of channels) {
    for (let index = from; index < to; index++) {
      const sample = samples[index];
      peak = Math.max(peak, Math.abs(sample));
      sum += sample * sample;
    }
  }
  return { peak, rms: Math.sqrt(sum / ((to - from) * channels.length)) };
}

/**
 * The largest value between two times, 0 … 1, of the first of the levels that cover them.
 * @param {Levels[]} all the finest first @param {"peak" | "rms"} kind @param {number} from @param {number} to seconds
 */
export function loudest(all, kind, from, to) {
  const middle = (from + to) / 2;
  const found = all.find(({ start, end }) => middle >= start && middle < end);
  const values = found?.[kind];
  if (!values?.length) return 0;
  const place = (seconds) => ((seconds - found.start) / (found.end - found.start)) * values.length;
  const first = Math.min(values.length - 1, Math.max(0, Math.floor(place(from) + 1e-6)));
  const last = Math.min(values.length, Math.max(first + 1, Math.floor(place(to) + 1e-6)));
  let most = 0;
  for (let index = first; index < last; index++) most = Math.max(most, values[index]);
  return most / FULL;
}

/** One scale for all lanes, so that louder lanes look louder. @param {Levels[]} levels */
export function commonScale(levels) {
  const highest = Math.max(1, ...levels.map(({ peak }) => peak.reduce((most, value) => Math.max(most, value), 0)));
  return Math.min(4, FULL / highest);
}
