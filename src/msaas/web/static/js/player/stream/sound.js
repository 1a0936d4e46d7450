/** What a cutter's pieces sound like: decoded to the exact sample, and at another rate where that is needed. */

import { Unfit } from "./unfit.js";
import { Filter } from "./filter.js";

/** @typedef {{buffer: AudioBuffer, first: number}} Piece the wanted frames begin at `first`; missing ones are silence */

export class Sound {
  #cutter; #decoder; #skip;

  /** @param {import("./stream.js").Cutter} cutter @param {number} [skip] frames before the first one that is wanted */
  constructor(cutter, skip = 0) {
    this.#cutter = cutter;
    this.#skip = skip;
    this.#decoder = new OfflineAudioContext(1, 1, cutter.rate); // one for all pieces: each has threads of its own
  }

  get rate() {
    return this.#cutter.rate;
  }

  get channels() {
    return this.#cutter.channels;
  }

  /** @param {number} from @param {number} count frames @returns {Promise<Piece>} */
  async piece(from, count, signal) {
    const first = from + this.#skip;
    const there = Math.min(count, this.#cutter.frames - first);
    if (there <= 0) return this.#silence();
    const { data, tail } = await this.#cutter.cut(first, there, signal);
    if (!data.byteLength) return this.#silence();
    const buffer = await this.#decoder.decodeAudioData(data);
    if (buffer.length < tail || buffer.numberOfChannels !== this.channels) throw new Unfit("too little sound");
    return { buffer, first: buffer.length - tail };
  }

  #silence() {
    return { buffer: new AudioBuffer({ length: 1, numberOfChannels: this.channels, sampleRate: this.rate }), first: 0 };
  }
}

/** The same at another rate. Frame 0 of both is one moment. */
export class Resampled {
  #sound; #filter; #rate;

  /** @param {Sound} sound @param {number} rate */
  constructor(sound, rate) {
    this.#sound = sound;
    this.#rate = rate;
    this.#filter = new Filter(sound.rate, rate);
  }

  get channels() {
    return this.#sound.channels;
  }

  async piece(from, count, signal) {
    const range = this.#filter.needed(from, count);
    const begin = Math.max(0, range.from);
    const { buffer, first } = await this.#sound.piece(begin, range.from + range.count - begin, signal);
    const made = new AudioBuffer({ length: count, numberOfChannels: this.channels, sampleRate: this.#rate });
    for (let channel = 0; channel < this.channels; channel++) {
      const samples = new Float32Array(range.count);
      samples.set(buffer.getChannelData(channel).subarray(first, first + range.from + range.count - begin), begin - range.from);
      this.#filter.apply(samples, from, made.getChannelData(channel));
    }
    return { buffer: made, first: 0 };
  }
}
