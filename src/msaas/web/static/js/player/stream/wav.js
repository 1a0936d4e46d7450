/** Cuts WAV files (RIFF and RF64; 16 and 24 bits, 32-bit floats): each piece is a WAV file of its own. */

import { Unfit } from "./unfit.js";

const HEAD_BYTES = 1 << 16; // tags may stand before the sound

/** @param {import("./bytes.js").Bytes} bytes @param {AbortSignal} signal @returns {Promise<import("./stream.js").Cutter>} */
export async function openWav(bytes, signal) {
  const head = await bytes.read(0, HEAD_BYTES, signal);
  const { format, data: start, size: soundBytes } = chunksOf(head);
  const view = new DataView(format.buffer, format.byteOffset, format.length);
  const [channels, rate, frameBytes] = [view.getUint16(2, true), view.getUint32(4, true), view.getUint16(12, true)];
  return {
    rate,
    channels,
    frames: Math.floor(Math.min(soundBytes, bytes.size - start) / frameBytes),
    async cut(from, count, signal) {
      const sound = await bytes.read(start + from * frameBytes, start + (from + count) * frameBytes, signal);
      return { data: await new Blob([header(format, sound.length), sound]).arrayBuffer(), tail: count };
    },
  };
}

function chunksOf(head) {
  const view = new DataView(head.buffer);
  const tag = (at) => String.fromCharCode(...head.subarray(at, at + 4));
  if (!["RIFF", "RF64"].includes(tag(0)) || tag(8) !== "WAVE") throw new Unfit("no WAV");
  let format = null;
  for (let at = 12; at + 8 <= head.length; ) {
    const size = view.getUint32(at + 4, true);
    if (tag(at) === "fmt ") format = head.slice(at + 8, at + 8 + size);
    if (tag(at) === "data" && format) return { format, data: at + 8, size: tag(0) === "RF64" || size === 0xffffffff ? Infinity : size };
    at += 8 + size + (size & 1);
  }
  throw new Unfit("no sound in the first bytes");
}

function header(format, bytes) {
  const view = new DataView(new ArrayBuffer(28 + format.length));
  const tag = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  tag(0, "RIFF");
  view.setUint32(4, 20 + format.length + bytes, true);
  tag(8, "WAVEfmt ");
  view.setUint32(16, format.length, true);
  new Uint8Array(view.buffer).set(format, 20);
  tag(20 + format.length, "data");
  view.setUint32(24 + format.length, bytes, true);
  return view.buffer;
}
