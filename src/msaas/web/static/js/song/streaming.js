/** Plays a long song piece by piece, where its format can be cut. */

import { bytesOfFile } from "../player/stream/bytes.js";
import { openSound, openStems } from "../player/stream/open.js";
import { Resampled, Sound } from "../player/stream/sound.js";
import { Stream } from "../player/stream/stream.js";
import { ORIGINAL } from "../player/mixer.js";

const DEFAULT_RATE = 44_100;
const OPUS_RATE = 48_000; // of every decoded Opus file
const PRIMED_SECONDS = 1; // of the original, from the position on, before it is heard

/** @typedef {{signal: AbortSignal, failed: (error: Error) => void}} How */

/** The rate of the stems as they are saved, and their length. @param {any} job @param {any} drawn its waveforms, maybe null
 *  @returns {{rate: number, frames: number}} */
export function soundOf(job, drawn) {
  const { format, sample_rate: asked } = job.options ?? {};
  const made = drawn?.sample_rate ?? DEFAULT_RATE;
  const rate = format === "opus" ? OPUS_RATE : typeof asked === "number" ? asked : made;
  const frames = drawn?.total_samples ?? Math.round(job.duration_seconds * made);
  return { rate, frames: Math.ceil((frames * rate) / made) };
}

/**
 * @param {import("../player/mixer.js").Mixer} mixer @param {Record<string, string>} paths by stem @param {How} how
 * @returns {Promise<boolean>} false: the stems have to be decoded as a whole
 */
export async function streamStems(mixer, paths, how) {
  const opened = await openStems(paths, how.signal);
  if (!opened || opened.rate !== mixer.rate) return false;
  for (const [name, cutter] of opened.cutters) mixer.setStream(name, new Stream(new Sound(cutter), { ...songOf(mixer), ...how }));
  return true;
}

/** Opens the original of a song that is played piece by piece. @param {Blob} file @param {number} start seconds of it that
 *  the song begins at @param {number} rate of the song @param {AbortSignal} signal
 *  @returns {Promise<Sound | Resampled | null>} null: it can be decoded only as a whole */
export async function openOriginal(file, start, rate, signal) {
  try {
    const cutter = await openSound(await bytesOfFile(file), signal);
    const sound = new Sound(cutter, Math.round(start * cutter.rate));
    const original = cutter.rate === rate ? sound : new Resampled(sound, rate);
    await original.piece(0, 1, signal);
    return original;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null;
  }
}

/** Plays it beside the stems, from the moment on at which there is sound of it: no gap is heard. */
export async function streamOriginal(mixer, original, { signal, failed }) {
  const stream = new Stream(original, { ...songOf(mixer), signal, failed });
  await new Promise((resolve, reject) => {
    const frame = () => Math.round(mixer.position * mixer.rate);
    const count = PRIMED_SECONDS * mixer.rate;
    stream.arrived = () => {
      if (stream.reach(frame()) >= Math.min(count, mixer.frames - frame())) resolve();
      else stream.want([{ from: frame(), count: 2 * count }]);
    };
    signal.addEventListener("abort", () => reject(signal.reason));
    stream.arrived();
  });
  mixer.setStream(ORIGINAL, stream);
}

const songOf = ({ rate, frames }) => ({ rate, frames });
