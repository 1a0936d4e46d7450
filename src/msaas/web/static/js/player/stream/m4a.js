/**
 * Cuts AAC in MP4 into pieces: the frames with ADTS headers (ISO 13818-7, 6.2), which decoders take without a container.
 *
 * The tables of the file (ISO 14496-12) say where each frame lies and, by the edit list, which sample is the song's first.
 */

import { Unfit } from "./unfit.js";

const FRAME = 1024; // samples
const LEAD_FRAMES = 3; // frames overlap with the one before
const MOST_TABLE_BYTES = 16e6; // of a song of four hours: 3 MB
const ADTS_BYTES = 7;
const RATES = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];

/** @param {import("./bytes.js").Bytes} bytes @param {AbortSignal} signal @returns {Promise<import("./stream.js").Cutter>} */
export async function openM4a(bytes, signal) {
  const track = trackOf(await moovOf(bytes, signal));
  const { sizes, offsets, delay, rate, channels } = track;

  return {
    rate,
    channels,
    frames: sizes.length * FRAME - delay,
    async cut(from, count, signal) {
      const begin = Math.max(0, Math.floor((from + delay) / FRAME) - LEAD_FRAMES);
      const end = Math.min(sizes.length, Math.ceil((from + count + delay) / FRAME));
      const low = offsets[begin];
      const data = await bytes.read(low, offsets[end - 1] + sizes[end - 1], signal);
      const parts = [];
      for (let frame = begin; frame < end; frame++) {
        const at = offsets[frame] - low;
        parts.push(adts(track, sizes[frame]), data.subarray(at, at + sizes[frame]));
      }
      return { data: await new Blob(parts).arrayBuffer(), tail: end * FRAME - delay - from };
    },
  };
}

/** The box with the tables, before or behind the sound. */
async function moovOf(bytes, signal) {
  for (let at = 0; at + 16 <= bytes.size; ) {
    const head = view(await bytes.read(at, at + 16, signal));
    const short = head.getUint32(0);
    const size = short === 1 ? Number(head.getBigUint64(8)) : short;
    if (size < 8) break;
    if (text(head, 4) === "moov" && size <= MOST_TABLE_BYTES) return view(await bytes.read(at + 8, at + size, signal));
    at += size;
  }
  throw new Unfit("no tables");
}

/** The only track of a stem. @param {DataView} moov */
function trackOf(moov) {
  const box = (path) => path.split("/").reduce((inside, name) => inside && child(inside, name), moov);
  const stbl = box("trak/mdia/minf/stbl");
  const config = stbl && configOf(child(stbl, "stsd"));
  const timescale = box("trak/mdia/mdhd")?.getUint32(12);
  const sizes = stbl && sizesOf(child(stbl, "stsz"));
  if (!config || config.rate !== timescale || !sizes?.length) throw new Unfit("no AAC of one rate");
  const offsets = offsetsOf(sizes, child(stbl, "stsc"), child(stbl, "stco"), child(stbl, "co64"));
  return { ...config, sizes, offsets, delay: delayOf(box("trak/edts/elst"), moov) };
}

/** Samples before the song's first one. @param {DataView | null} elst @param {DataView} moov */
function delayOf(elst, moov) {
  if (!elst) {
    const bytes = new Uint8Array(moov.buffer, moov.byteOffset, moov.byteLength);
    if (new TextDecoder("latin1").decode(bytes).includes("iTunSMPB")) throw new Unfit("a delay that no table has");
    return 0;
  }
  const delay = elst.getUint8(0) === 1 ? Number(elst.getBigInt64(16)) : elst.getInt32(12);
  if (elst.getUint32(4) !== 1 || delay < 0) throw new Unfit("edits");
  return delay;
}

const view = (data) => new DataView(data.buffer, data.byteOffset, data.byteLength);
const text = (data, at) => String.fromCharCode(...[0, 1, 2, 3].map((index) => data.getUint8(at + index)));

/** The content of a box in another one. @param {DataView} inside @returns {DataView | null} */
function child(inside, name) {
  for (let at = 0; at + 8 <= inside.byteLength; at += inside.getUint32(at)) {
    const size = inside.getUint32(at);
    if (size < 8 || at + size > inside.byteLength) return null;
    if (text(inside, at + 4) === name) return new DataView(inside.buffer, inside.byteOffset + at + 8, size - 8);
  }
  return null;
}

function sizesOf(stsz) {
  const same = stsz.getUint32(4);
  return Array.from({ length: stsz.getUint32(8) }, (_, index) => same || stsz.getUint32(12 + 4 * index));
}

function offsetsOf(sizes, stsc, stco, co64) {
  const chunks = (stco ?? co64).getUint32(4);
  const chunkAt = (index) => (stco ? stco.getUint32(8 + 4 * index) : Number(co64.getBigUint64(8 + 8 * index)));
  const offsets = [];
  for (let chunk = 0, entry = 0; chunk < chunks; chunk++) {
    const next = () => entry + 1 < stsc.getUint32(4) && stsc.getUint32(8 + 12 * (entry + 1)) <= chunk + 1;
    while (next()) entry += 1;
    let at = chunkAt(chunk);
    for (let left = stsc.getUint32(12 + 12 * entry); left > 0 && offsets.length < sizes.length; left--) {
      offsets.push(at);
      at += sizes[offsets.length - 1];
    }
  }
  return offsets;
}

/** AAC LC, of the AudioSpecificConfig (ISO 14496-3, 1.6.2.1) in the descriptors of `esds`. */
function configOf(stsd) {
  for (let at = 0; at + 8 < stsd.byteLength; at++) {
    if (text(stsd, at) !== "esds") continue;
    let inside = at + 8;
    while (inside + 2 < stsd.byteLength && stsd.getUint8(inside) !== 5) inside += 1; // DecoderSpecificInfo
    do inside += 1; while (stsd.getUint8(inside) & 0x80); // its length
    const bits = stsd.getUint16(inside + 1);
    const [kind, rateIndex, channels] = [bits >> 11, (bits >> 7) & 15, (bits >> 3) & 15];
    return kind === 2 && RATES[rateIndex] && [1, 2].includes(channels) ? { rateIndex, channels, rate: RATES[rateIndex] } : null;
  }
  return null;
}

function adts({ rateIndex, channels }, size) {
  const length = size + ADTS_BYTES;
  const kind = 0x40 | (rateIndex << 2); // AAC LC
  return new Uint8Array([0xff, 0xf1, kind, (channels << 6) | (length >> 11), (length >> 3) & 0xff, ((length & 7) << 5) | 0x1f, 0xfc]);
}
