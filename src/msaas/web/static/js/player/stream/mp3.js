/**
 * Cuts MP3 files of a constant bit rate into pieces that decode to known samples.
 *
 * The number of a frame follows from its place in the file. A piece begins some frames early, since a frame needs the
 * bit reservoir and the overlap of those before it. Header: ISO 11172-3, 2.4.1.3; Info tag:
 * gabriel.mp3-tech.org/mp3infotag.html.
 */

import { Unfit } from "./unfit.js";

const HEAD_BYTES = 4096;
const LEAD_FRAMES = 12; // 511 bytes of reservoir are at most 7 frames, at 32 kb/s
const DECODER_DELAY = 529; // samples that every decoder adds to the encoder's delay
const SAME = 0xfffe0c00; // of a header: sync, version, layer, sample rate; not the padding
const RATES = [44_100, 48_000, 32_000];
const KBPS = {
  3: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320], // MPEG-1
  2: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160], // MPEG-2
  0: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160], // MPEG-2.5
};

/** @param {import("./bytes.js").Bytes} bytes @param {AbortSignal} signal @returns {Promise<import("./stream.js").Cutter>} */
export async function openMp3(bytes, signal) {
  const start = tagBytes(await bytes.read(0, 10, signal));
  const head = await bytes.read(start, start + HEAD_BYTES, signal);
  const header = headerAt(head, 0);
  const tag = header && infoTag(head);
  if (!tag) throw new Unfit("no Info tag");
  const { samples, rate, channels } = header;
  const mean = (header.kbps * 1000 * samples) / 8 / rate;
  const first = start + header.size;
  if (Math.abs(first + tag.frames * mean - bytes.size) > 2 * mean) throw new Unfit("no constant bit rate");
  const delay = tag.delay + DECODER_DELAY;
  const byteOf = (frame) => Math.round(first + frame * mean);

  return {
    rate,
    channels,
    async cut(from, count, signal) {
      const wanted = Math.floor((from + delay) / samples);
      const begin = Math.max(0, wanted - LEAD_FRAMES);
      const end = Math.min(tag.frames, Math.floor((from + count - 1 + delay) / samples) + 1);
      const low = Math.max(first, byteOf(begin) - Math.ceil(mean / 2));
      const data = await bytes.read(low, Math.min(bytes.size, byteOf(end) + Math.ceil(mean)), signal);
      const frames = framesOf(data, head);
      const numbers = frames.map(({ at }) => Math.round((low + at - first) / mean));
      const kept = frames.slice(numbers.indexOf(begin), numbers.indexOf(end - 1) + 1);
      if (kept.length !== end - begin) throw new Unfit("frames out of place");
      const last = kept.at(-1);
      return { data: data.slice(kept[0].at, last.at + last.size).buffer, tail: end * samples - delay - from };
    },
  };
}

/** The length of an ID3v2 tag at the start of the file. */
function tagBytes(head) {
  const isTag = head.length >= 10 && head[0] === 0x49 && head[1] === 0x44 && head[2] === 0x33;
  return isTag ? 10 + ((head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]) : 0;
}

const word = (data, at) => ((data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3]) >>> 0;

function headerAt(data, at) {
  const bits = word(data, at);
  const version = (bits >>> 19) & 3;
  const kbps = KBPS[version]?.[(bits >>> 12) & 15];
  const rate = RATES[(bits >>> 10) & 3] >> { 3: 0, 2: 1, 0: 2 }[version];
  if (bits >>> 21 !== 0x7ff || ((bits >>> 17) & 3) !== 1 || !kbps || !rate) return null; // layer III alone
  const samples = version === 3 ? 1152 : 576;
  const size = Math.floor((kbps * 1000 * samples) / 8 / rate) + ((bits >>> 9) & 1);
  return { bits, kbps, rate, samples, size, channels: ((bits >>> 6) & 3) === 3 ? 1 : 2 };
}

/** All whole frames in `data` from the first place where two follow each other. */
function framesOf(data, head) {
  const like = headerAt(head, 0);
  const frameAt = (at) => {
    const found = at + 4 <= data.length ? headerAt(data, at) : null;
    return found && found.kbps === like.kbps && ((found.bits ^ like.bits) & SAME) >>> 0 === 0 ? found : null;
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

/** @returns {{frames: number, delay: number} | null} */
function infoTag(head) {
  const { bits, channels } = headerAt(head, 0);
  const at = 4 + ((bits >>> 19) & 3 === 3 ? (channels === 1 ? 17 : 32) : channels === 1 ? 9 : 17);
  const mark = String.fromCharCode(...head.subarray(at, at + 4));
  if (!["Info", "Xing"].includes(mark) || (word(head, at + 4) & 15) !== 15) return null;
  const delays = at + 16 + 100 + 4 + 9 + 1 + 1 + 8 + 1 + 1;
  return { frames: word(head, at + 8), delay: (head[delays] << 4) | (head[delays + 1] >> 4) };
}
