/**
 * Cuts MP3 files into pieces that decode to known samples. A piece begins some frames early, since a frame needs the bit
 * reservoir and the overlap of those before it.
 *
 * At a constant bit rate, the number of a frame follows from its place in the file. Other files are read from their start,
 * as far as they are needed, and their frames counted.
 */

import { headerAt, infoTag, isLike, tagBytes } from "./frames.js";
import { Unfit } from "./unfit.js";

const HEAD_BYTES = 4096;
const LEAD_FRAMES = 12; // 511 bytes of reservoir are at most 7 frames, at 32 kb/s
const MOST_LEAD_FRAMES = 24; // 255 bytes of reservoir at 8 kb/s
const WINDOW_BYTES = 1 << 20; // that are counted at once
const MOST_REST_BYTES = 2048; // behind the last frame: one that was cut short
const STRIDE = 32; // each so many frames, a place is kept: 60 kB an hour
const ENDS = [/^TAG/, /^APETAGEX/, /^LYRICSBEGIN/, /^ID3/, /^3DI/]; // tags behind the sound

/** @param {import("./bytes.js").Bytes} bytes @param {AbortSignal} signal @returns {Promise<import("./stream.js").Cutter>} */
export async function openMp3(bytes, signal) {
  const start = tagBytes(await bytes.read(0, 10, signal));
  const head = await bytes.read(start, start + HEAD_BYTES, signal);
  const header = headerAt(head, 0);
  if (!header) throw new Unfit("no frame");
  const next = headerAt(head, header.size);
  if (!next || !isLike(next, header)) throw new Unfit("no second frame");
  const tag = infoTag(head);
  const first = tag ? start + header.size : start;
  const mean = (header.kbps * 1000 * header.samples) / 8 / header.rate;
  const isConstant = tag?.frames > 0 && Math.abs(first + tag.frames * mean - bytes.size) <= 2 * mean;
  const sound = { header, first, delay: tag?.delay ?? 0 };
  return isConstant ? constant(bytes, sound, tag.frames) : counted(bytes, sound);
}

function constant(bytes, { header, first, delay }, count) {
  const { samples, rate, channels } = header;
  const mean = (header.kbps * 1000 * samples) / 8 / rate;
  const byteOf = (frame) => Math.round(first + frame * mean);
  return {
    rate,
    channels,
    frames: count * samples - delay,
    async cut(from, length, signal) {
      const wanted = Math.floor((from + delay) / samples);
      const begin = Math.max(0, wanted - LEAD_FRAMES);
      const end = Math.min(count, Math.floor((from + length - 1 + delay) / samples) + 1);
      const low = Math.max(first, byteOf(begin) - Math.ceil(mean / 2));
      const data = await bytes.read(low, Math.min(bytes.size, byteOf(end) + Math.ceil(mean)), signal);
      const frames = framesOf(data, header);
      const numbers = frames.map(({ at }) => Math.round((low + at - first) / mean));
      const kept = frames.slice(numbers.indexOf(begin), numbers.indexOf(end - 1) + 1);
      if (kept.length !== end - begin) throw new Unfit("frames out of place");
      const last = kept.at(-1);
      return { data: data.slice(kept[0].at, last.at + last.size).buffer, tail: end * samples - delay - from };
    },
  };
}

/** All whole frames in `data` from the first place where two follow each other. */
function framesOf(data, like) {
  const frameAt = (at) => {
    const found = headerAt(data, at);
    return found && found.kbps === like.kbps && isLike(found, like) ? found : null;
  };
  const isStart = (at) => {
    const found = frameAt(at);
    const next = found && at + found.size;
    return found && (next + 4 > data.length || frameAt(next));
  };
  let at = 0;
  while (at < data.length && !isStart(at)) at += 1;
  const frames = [];
  for (let found; (found = frameAt(at)) && at + found.size <= data.length; at += found.size) frames.push({ at, size: found.size });
  return frames;
}

function counted(bytes, { header, first, delay }) {
  const { samples, rate, channels } = header;
  const places = []; // of frames 0, STRIDE, 2 STRIDE, …
  const last = { frame: 0, at: first, isEnd: false }; // counted so far
  let counting = Promise.resolve();

  /** Counts frames up to this one, or to the end. */
  async function countTo(frame, signal) {
    while (last.frame <= frame && !last.isEnd) {
      const data = await bytes.read(last.at, last.at + WINDOW_BYTES, signal);
      count(data, last.at + data.length >= bytes.size);
    }
  }

  function count(data, isRest) {
    let at = 0;
    for (let found; (found = headerAt(data, at)) && isLike(found, header) && (at + found.size <= data.length || isRest); at += found.size) {
      if (found.channels !== channels) throw new Unfit("another number of channels");
      if (at + found.size > data.length) break; // cut short
      if (last.frame % STRIDE === 0) places.push(last.at + at);
      last.frame += 1;
    }
    const rest = String.fromCharCode(...data.subarray(at, at + 11));
    const isTag = ENDS.some((mark) => mark.test(rest));
    last.isEnd = isTag || (isRest && data.length - at < MOST_REST_BYTES);
    if (!last.isEnd && at === 0) throw new Unfit("something else between frames");
    last.at += at;
  }

  return {
    rate,
    channels,
    frames: Infinity,
    async cut(from, length, signal) {
      const begin = Math.max(0, Math.floor((from + delay) / samples) - MOST_LEAD_FRAMES);
      const wanted = Math.floor((from + length - 1 + delay) / samples) + 1;
      counting = counting.catch(() => {}).then(() => countTo(wanted, signal));
      await counting;
      const end = Math.min(last.frame, wanted);
      if (end <= begin) return { data: new ArrayBuffer(0), tail: 0 };
      const early = Math.floor(begin / STRIDE);
      const behind = places[Math.floor((end - 1) / STRIDE) + 1] ?? last.at;
      const data = await bytes.read(places[early], behind, signal);
      let [at, frame] = [0, early * STRIDE];
      while (frame < begin) [at, frame] = [at + headerAt(data, at).size, frame + 1];
      const low = at;
      while (frame < end) [at, frame] = [at + headerAt(data, at).size, frame + 1];
      return { data: data.slice(low, at).buffer, tail: end * samples - delay - from };
    },
  };
}
