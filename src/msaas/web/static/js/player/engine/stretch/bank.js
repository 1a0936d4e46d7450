/**
 * Plays a group of lanes at another speed or pitch: as the channels of one signal that one stretcher makes, so lanes cannot
 * part. Beside ../bank.js, which plays them as recorded.
 */

import { Channels, lengthOf } from "../channels.js";

const BEFORE_SECONDS = 0.25; // of the song before the start, which the stretcher's first blocks consist of

export class StretchedBank {
  #context; #channels; #stretchers; #node; #endings = []; #spare = [];

  /**
   * @param {BaseAudioContext} context @param {import("../channels.js").Line[]} lines @param {import("../run.js").Run} run
   * @param {{reach: (frame: number) => number, stretchers: import("./stretchers.js").Stretchers}} how
   */
  constructor(context, lines, run, { reach, stretchers }) {
    this.#context = context;
    this.#channels = new Channels(context, lines);
    this.#stretchers = stretchers;
    this.#node = stretchers.take(this.#channels.count);
    this.#node.connect(this.#channels.input);
    this.#node.port.onmessage = ({ data }) => this.#over(data);
    const { when, speed, semitones } = run;
    this.#node.run += 1;
    const before = this.#before(run.offset, reach);
    this.#node.port.postMessage({ start: { id: this.#node.run, when, speed, semitones, before } });
  }

  /** What is played just before the start, if it is loaded. @returns {Float32Array[] | null} */
  #before(offset, reach) {
    const count = Math.min(offset, Math.round(BEFORE_SECONDS * this.#context.sampleRate));
    const from = offset - count;
    return count && reach(from) >= count ? this.window([{ from, count }]) : null;
  }

  /** @param {import("../channels.js").Piece[]} pieces one after the other @returns {Float32Array[]} one a channel */
  window(pieces) {
    const length = lengthOf(pieces);
    const at = this.#spare.findIndex(([first]) => first.length === length);
    const channels = at >= 0 ? this.#spare.splice(at, 1)[0] : this.#empty(length);
    for (const channel of channels) channel.fill(0); // not every lane has sound everywhere
    this.#channels.copy(channels, pieces);
    return channels;
  }

  #empty(length) {
    return Array.from({ length: this.#channels.count }, () => new Float32Array(length));
  }

  /** Windows follow each other without a gap. @param {Float32Array[]} channels @param {number} _when given by those before it @param {() => void} ended */
  play(channels, _when, ended) {
    this.#endings.push(ended);
    this.#node.port.postMessage({ add: channels }, buffersOf(channels));
  }

  /** The oldest window has been played. @param {{over: Float32Array[], id: number}} message of this run, or of one before it */
  #over({ over, id }) {
    if (id !== this.#node?.run) return;
    this.#spare = [over];
    this.#endings.shift()?.();
  }

  /** @param {import("../run.js").Run} run the same one with another speed or pitch */
  change({ paces, semitones }) {
    this.#node.port.postMessage({ change: { pace: paces.at(-1), semitones } });
  }

  /** @param {number} when seconds */
  stop(when) {
    if (!this.#node) return;
    this.#node.port.postMessage({ stop: Math.round(when * this.#context.sampleRate) });
    this.#stretchers.give(this.#node, when);
    this.#node = null;
  }
}

const buffersOf = (channels) => channels.map(({ buffer }) => buffer);
