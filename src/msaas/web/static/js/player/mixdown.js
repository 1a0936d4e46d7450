/** Renders the current mix offline to a WAV file of 32-bit floats, which cannot clip. */

import { factors, strip } from "./levels.js";

const FLOAT_FORMAT = 3; // WAVE_FORMAT_IEEE_FLOAT
const HEADER_BYTES = 58; // RIFF, an 18-byte fmt chunk, fact, data

/**
 * @param {{rate: number, frames: number, stems: {buffer: AudioBuffer, level: import("./levels.js").Level}[]}} mixer
 * @returns {Promise<Blob>}
 */
export async function mixdown({ rate, frames, stems }) {
  return wav(await render({ rate, frames, stems }));
}

export function render({ rate, frames, stems }) {
  const context = new OfflineAudioContext(2, frames, rate);
  const gains = factors(stems.map((stem) => stem.level));
  stems.forEach(({ buffer, level }, index) => {
    const source = context.createBufferSource();
    source.buffer = buffer;
    const { gain, pan } = strip(context, context.destination);
    gain.gain.value = gains[index];
    pan.pan.value = level.pan;
    source.connect(gain);
    source.start(0);
  });
  return context.startRendering();
}

/** @param {AudioBuffer} buffer two channels */
export function wav(buffer) {
  const { length, sampleRate } = buffer;
  const [left, right] = [buffer.getChannelData(0), buffer.getChannelData(1)];
  const samples = new Float32Array(length * 2);
  for (let index = 0; index < length; index++) {
    samples[2 * index] = left[index];
    samples[2 * index + 1] = right[index];
  }
  return new Blob([header(length, sampleRate), samples], { type: "audio/wav" });
}

function header(frames, rate) {
  const bytes = frames * 8;
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  let at = 0;
  const tag = (text) => [...text].forEach((letter) => view.setUint8(at++, letter.charCodeAt(0)));
  const u16 = (...values) => values.forEach((value) => { view.setUint16(at, value, true); at += 2; });
  const u32 = (...values) => values.forEach((value) => { view.setUint32(at, value, true); at += 4; });
  tag("RIFF"); u32(HEADER_BYTES - 8 + bytes); tag("WAVE");
  tag("fmt "); u32(18); u16(FLOAT_FORMAT, 2); u32(rate, rate * 8); u16(8, 32, 0);
  tag("fact"); u32(4, frames);
  tag("data"); u32(bytes);
  return view;
}

/** Saves a file to the browser's downloads. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
