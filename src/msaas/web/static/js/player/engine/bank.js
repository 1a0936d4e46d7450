/**
 * All lanes as the channels of one AudioBuffer, which one source node plays: lanes cannot part, even if the browser's
 * main thread is held up between two calls. A buffer has at most 32 channels; more lanes take several banks.
 */

const MOST_CHANNELS = 32; // that every browser must support
const MOST_SILENCE = 32; // frames at the end of a window

/** @typedef {{channels: number, strip: {gain: GainNode}, copy: (targets: Float32Array[], at: number, from: number, count: number) => void}} Line
 *   a lane's sound, and where it goes; `copy` writes `count` frames from the song's frame `from` into `targets` at `at` */

export class Bank {
  #context; #lines; #channels; #splitter; #length; #sources = new Set(); #spare = [];

  /** @param {BaseAudioContext} context @param {Line[]} lines @param {number} length of a usual window, in frames */
  constructor(context, lines, length) {
    this.#context = context;
    this.#length = length;
    this.#lines = lines;
    this.#channels = lines.reduce((sum, { channels }) => sum + channels, 0);
    this.#splitter = context.createChannelSplitter(this.#channels);
    let first = 0;
    for (const { channels, strip } of lines) {
      this.#connect(first, channels, strip.gain);
      first += channels;
    }
  }

  /** One channel stays one channel: a merger would make two of it, which the panner treats differently. */
  #connect(first, channels, out) {
    if (channels === 1) return this.#splitter.connect(out, first);
    const merger = this.#context.createChannelMerger(channels);
    for (let channel = 0; channel < channels; channel++) this.#splitter.connect(merger, first + channel, channel);
    merger.connect(out);
  }

  /** @param {{from: number, count: number}[]} pieces of the song, one after the other */
  window(pieces) {
    const length = pieces.reduce((sum, { count }) => sum + count, 0);
    const buffer = this.#buffer(length);
    const targets = Array.from({ length: this.#channels }, (_, channel) => buffer.getChannelData(channel));
    for (const target of targets) target.fill(0); // not every lane has sound everywhere
    let first = 0;
    for (const line of this.#lines) {
      let at = 0;
      for (const { from, count } of pieces) {
        line.copy(targets.slice(first, first + line.channels), at, from, count);
        at += count;
      }
      first += line.channels;
    }
    return buffer;
  }

  /** A window that is nearly as long as usual gets a buffer that was played before, and ends with silence. */
  #buffer(length) {
    const isUsual = length <= this.#length && length > this.#length - MOST_SILENCE;
    const size = isUsual ? this.#length : length;
    return (isUsual && this.#spare.pop()) || this.#context.createBuffer(this.#channels, size, this.#context.sampleRate);
  }

  /** @param {AudioBuffer} buffer @param {number} when seconds @param {() => void} ended */
  play(buffer, when, ended) {
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#splitter);
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

  /** @param {BaseAudioContext} context @param {Line[]} lines @param {number} length @returns {Bank[]} */
  static all(context, lines, length) {
    const groups = [[]];
    let channels = 0;
    for (const line of lines) {
      if (channels + line.channels > MOST_CHANNELS) {
        groups.push([]);
        channels = 0;
      }
      groups.at(-1).push(line);
      channels += line.channels;
    }
    return groups.map((group) => new Bank(context, group, length));
  }
}
