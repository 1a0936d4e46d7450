/** Downloads and decodes stems. A long song's beginning is decoded separately, so that playback starts at once. */

import { ask, piecesOf } from "../service/api.js";

/** Number of whole stems decoded at a time. While decoding, a browser holds a stem twice; four at a time would double the peak. */
const AT_ONCE = 2;
const BEGINNING_BYTES = 800_000; // twenty seconds of MP3 at 320 kb/s

/**
 * @param {string} path
 * @param {{rate: number, signal: AbortSignal, onBytes: (got: number, all: number) => void,
 *          onBeginning: (buffer: AudioBuffer) => void}} how
 * @returns {Promise<AudioBuffer>} the whole stem at `rate`
 */
export async function loadStem(path, { rate, signal, onBytes, onBeginning }) {
  const answer = await ask(path, { signal });
  const all = Number(answer.headers.get("Content-Length"));
  const pieces = [];
  let got = 0, before = 0;
  let begun = all < 4 * BEGINNING_BYTES;
  for await (const piece of piecesOf(answer.body)) {
    if (!pieces.length) before = tagBytes(piece);
    pieces.push(piece);
    onBytes((got += piece.length), all);
    if (begun || got < before + BEGINNING_BYTES) continue;
    begun = true;
    // Fails for formats that cannot be cut; the whole file is on its way.
    decode(await new Blob(pieces).arrayBuffer(), rate).then((buffer) => onBeginning(shorter(buffer, rate)), () => {});
  }
  return inTurn(async () => decode(await new Blob(pieces.splice(0)).arrayBuffer(), rate));
}

/** The length of the ID3v2 tag at the start of an MP3; its cover may be longer than the beginning of the song. */
function tagBytes(piece) {
  const isTag = piece.length > 10 && piece[0] === 0x49 && piece[1] === 0x44 && piece[2] === 0x33;
  return isTag ? 10 + ((piece[6] << 21) | (piece[7] << 14) | (piece[8] << 7) | piece[9]) : 0;
}

let running = 0;
const queue = [];

/** Runs `work` once fewer than AT_ONCE others run. */
async function inTurn(work) {
  if (running >= AT_ONCE) await new Promise((go) => queue.push(go));
  else running += 1;
  try {
    return await work();
  } finally {
    if (queue.length) queue.shift()(); // the next one starts
    else running -= 1;
  }
}

/** Uses one context per file, since a context decodes files one after the other. */
export function decode(data, rate) {
  return new OfflineAudioContext(2, 1, rate).decodeAudioData(data);
}

/** Drops the last moments, which are unreliable in a truncated file. */
function shorter(buffer, rate) {
  return part(buffer, 0, Math.max(1, buffer.length - Math.round(rate / 2)));
}

/** @param {number} start in seconds @param {number} most frames that are kept */
export function part(buffer, start, most) {
  const first = Math.min(Math.round(start * buffer.sampleRate), buffer.length - 1);
  const frames = Math.min(most, buffer.length - first);
  if (frames === buffer.length) return buffer;
  const cut = new AudioBuffer({ length: frames, numberOfChannels: buffer.numberOfChannels, sampleRate: buffer.sampleRate });
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    cut.copyToChannel(buffer.getChannelData(channel).subarray(first, first + frames), channel);
  }
  return cut;
}

/** Sums the progress of several downloads. */
export class Meter {
  #got = new Map(); #all = new Map(); #report;

  /** @param {(text: string) => void} report */
  constructor(report) {
    this.#report = report;
  }

  add(name, got, all) {
    this.#got.set(name, got);
    this.#all.set(name, all);
    const sum = (numbers) => [...numbers.values()].reduce((a, b) => a + b, 0);
    const percent = Math.floor((100 * sum(this.#got)) / Math.max(1, sum(this.#all)));
    this.#report(percent < 100 ? `Loading the stems … ${percent} %` : "Decoding …");
  }
}
