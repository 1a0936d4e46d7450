/**
 * Cuts FLAC files of a fixed block size into pieces, each a FLAC file of its own (RFC 9639).
 *
 * Frames vary in size, so a block is searched for: guessed from the blocks that are known already, until the number in a
 * frame's header is the wanted one. Frames do not depend on each other.
 */

import { Unfit } from "./unfit.js";

const STREAMINFO_BYTES = 34;
const HEAD_BYTES = 4096;
const MOST_TRIES = 24;

/** @param {import("./bytes.js").Bytes} bytes @param {AbortSignal} signal @returns {Promise<import("./stream.js").Cutter>} */
export async function openFlac(bytes, signal) {
  const info = infoOf(await bytes.read(0, HEAD_BYTES, signal));
  const first = await firstFrame(bytes, signal);
  const blocks = Math.ceil(info.frames / info.blockSize);
  const known = new Map([[0, first], [blocks, bytes.size]]); // block ▸ byte

  /** The byte at which a block begins. */
  async function locate(block, signal) {
    for (let tries = 0; !known.has(block); tries++) {
      if (tries === MOST_TRIES) throw new Unfit(`block ${block} was not found`);
      const [low, high] = neighbours(known, block);
      const guess = known.get(low) + ((known.get(high) - known.get(low)) * (block - low)) / (high - low);
      const from = Math.max(known.get(low), Math.floor(guess - info.mostBytes));
      const data = await bytes.read(from, from + 3 * info.mostBytes, signal);
      const found = headersIn(data).filter(({ number }) => number > low && number < high);
      if (!found.length) throw new Unfit("a frame of unknown size");
      for (const { number, at } of found) known.set(number, from + at);
    }
    return known.get(block);
  }

  return {
    rate: info.rate,
    channels: info.channels,
    frames: info.frames,
    async cut(from, count, signal) {
      const begin = Math.floor(from / info.blockSize);
      const end = Math.min(blocks, Math.ceil((from + count) / info.blockSize));
      const low = await locate(begin, signal);
      const sound = await bytes.read(low, await locate(end, signal), signal);
      const tail = Math.min(info.frames, end * info.blockSize) - from;
      return { data: await new Blob([info.header, sound]).arrayBuffer(), tail };
    },
  };
}

function infoOf(head) {
  const view = new DataView(head.buffer);
  if (view.getUint32(0) !== 0x664c6143) throw new Unfit("no FLAC");
  const info = new DataView(head.slice(8, 8 + STREAMINFO_BYTES).buffer);
  const mostBytes = info.getUint32(6) & 0xffffff;
  const packed = info.getUint32(10);
  const frames = (info.getUint8(13) & 15) * 2 ** 32 + info.getUint32(14);
  const blockSize = info.getUint16(0);
  if (blockSize !== info.getUint16(2) || !mostBytes || !frames) throw new Unfit("no fixed block size");
  const header = new Uint8Array(8 + STREAMINFO_BYTES);
  header.set(head.subarray(0, header.length));
  header[4] |= 0x80; // no other metadata follows
  header[21] &= 0xf0; // an unknown length and checksum
  header.fill(0, 22);
  return { blockSize, mostBytes, frames, rate: packed >>> 12, channels: ((packed >>> 9) & 7) + 1, header };
}

/** After all metadata: a cover may be large. */
async function firstFrame(bytes, signal) {
  for (let at = 4; at < bytes.size; ) {
    const [kind, a, b, c] = await bytes.read(at, at + 4, signal);
    at += 4 + ((a << 16) | (b << 8) | c);
    if (kind & 0x80) return at;
  }
  throw new Unfit("no sound");
}

function neighbours(known, block) {
  const blocks = [...known.keys()];
  const below = blocks.filter((one) => one < block);
  const above = blocks.filter((one) => one > block);
  return [below.reduce((a, b) => Math.max(a, b)), above.reduce((a, b) => Math.min(a, b))];
}

/** Frame headers, by their sync code and their checksum. @param {Uint8Array} data */
function headersIn(data) {
  const found = [];
  for (let at = 0; at + 16 <= data.length; at++) {
    if (data[at] !== 0xff || data[at + 1] !== 0xf8 || data[at + 3] & 1) continue;
    const { number, bytes } = codedNumber(data, at + 4);
    const sizeBytes = { 6: 1, 7: 2 }[data[at + 2] >> 4] ?? 0;
    const rateBytes = { 12: 1, 13: 2, 14: 2 }[data[at + 2] & 15] ?? 0;
    const length = 4 + bytes + sizeBytes + rateBytes;
    if (bytes && crc8(data.subarray(at, at + length)) === data[at + length]) found.push({ number, at });
  }
  return found;
}

/** As UTF-8, extended to 36 bits. */
function codedNumber(data, at) {
  const lead = data[at];
  if (lead < 0x80) return { number: lead, bytes: 1 };
  const bytes = Math.clz32(~(lead << 24));
  if (bytes < 2 || bytes > 7) return { number: 0, bytes: 0 };
  let number = lead & (0x7f >> bytes);
  for (let index = 1; index < bytes; index++) number = number * 64 + (data[at + index] & 0x3f);
  return { number, bytes };
}

function crc8(data) {
  let crc = 0;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : crc << 1;
  }
  return crc;
}
