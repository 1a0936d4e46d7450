/**
 * Plays a group of lanes as the channels of one AudioBuffer, by one source node: lanes cannot part, even if the browser's
 * main thread is held up between two calls. A buffer has at most 32 channels; more lanes take several banks.
 */

import { Channels, lengthOf } from "./channels.js";

const MOST_SILENCE = 32; // frames at the end of a window

export class Bank {
  #context; #channels; #length; #sources = new Set(); #spare = [];

  /** @param {BaseAudioContext} context @param {import("./channels.js").Line[]} lines @param {number} length of a usual window, in frames */
  constructor(context, lines, length) {
    this.#context = context;
    this.#length = length;
    this.#channels = new Channels(context, lines);
  }

  /** @param {import("./channels.js").Piece[]} pieces one after the other */
  window(pieces) {
    const buffer = this.#buffer(lengthOf(pieces));
    const targets = Array.from({ length: this.#channels.count }, (_, channel) => buffer.getChannelData(channel));
    for (const target of targets) target.fill(0); // not every lane has sound everywhere
    this.#channels.copy(targets, pieces);
    return buffer;
  }

  /** A window that is nearly as long as usual gets a buffer that was played before, and ends with silence. */
  #buffer(length) {
    const isUsual = length <= this.#length && length > this.#length - MOST_SILENCE;
    const size = isUsual ? this.#length : length;
    return (isUsual && this.#spare.pop()) || this.#context.createBuffer(this.#channels.count, size, this.#context.sampleRate);
  }

  /** @param {AudioBuffer} buffer @param {number} when seconds @param {() => void} ended */
  play(buffer, when, ended) {
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#channels.input);
    source.onended = () => {
      this.#sources.delete(source);
      source.disconnect();
      if (buffer.length === this.#length) this.#spare.push(buffer);
      ended();
    };
    this.#sources.add(source);
    source.start(when);
  }

  /** The latest first: those that have not begun must not begin. @param {number} when seconds */
  stop(when) {
    for (const source of [...this.#sources].reverse()) source.stop(when);
  }
}
