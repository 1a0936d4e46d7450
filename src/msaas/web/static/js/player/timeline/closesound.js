/** Decoded sound of streamed lanes around a close view: for zooms that are closer than the service's levels. */

import { CLOSE_FRAMES } from "./samples.js";

const MARGIN_SECONDS = 1; // before and after the view, so that little scrolling needs nothing new
const EDGE_SECONDS = 0.001; // a line is drawn from the sample before the view to the one after it

/** @typedef {{start: number, end: number}} Range seconds */

export class CloseSound {
  #mixer = null; #arrived; #abort = new AbortController(); /** Wanted before there was a stream. */ #early = false;
  /** What was loaded. @type {Map<string, import("./samples.js").Decoded & Range>} */ #held = new Map();
  /** What the streams had for playing. @type {Map<string, import("./samples.js").Decoded & Range>} */ #copies = new Map();
  /** What is held or on its way. @type {Range | null} */ #asked = null;

  /** @param {() => void} arrived called when there is more to draw */
  constructor(arrived) {
    this.#arrived = arrived;
  }

  /** @param {import("../mixer.js").Mixer | null} mixer null: none is open */
  open(mixer) {
    this.#mixer = mixer;
    this.#early = false;
    this.#drop();
    mixer?.addEventListener("change", () => {
      if (!this.#early || this.#mixer !== mixer || !this.#streams.length) return;
      this.#early = false;
      this.#arrived();
    });
  }

  /** @param {string} name of a stem @returns {import("./samples.js").Decoded | null} null: not all of it is here */
  of(name, start, end) {
    const has = (sound) => sound && start >= sound.start && end <= sound.end;
    return [this.#held.get(name), this.#copies.get(name)].find(has) ?? this.#copy(name, start, end);
  }

  /** Loads what a close view shows, and drops the rest. @param {import("./view.js").View} view */
  want({ start, end, span, length }) {
    if (!this.#mixer || span * this.#mixer.rate > CLOSE_FRAMES) return this.#drop();
    if (this.#asked && start >= this.#asked.start && end <= this.#asked.end) return;
    this.#drop();
    this.#early = !this.#streams.length;
    if (this.#early) return;
    this.#asked = { start: Math.max(0, start - MARGIN_SECONDS), end: Math.min(length, end + MARGIN_SECONDS) };
    for (const { name, stream } of this.#streams) this.#load(name, stream, this.#asked, this.#abort.signal);
  }

  get #streams() {
    return this.#mixer.stems.filter(({ stream }) => stream);
  }

  /** Of what the stream has for playing, at once: a view that follows the playhead is drawn without a wait. */
  #copy(name, start, end) {
    const { rate } = this.#mixer;
    const { stream } = this.#mixer.lane(name);
    if (!stream || (end - start) * rate > CLOSE_FRAMES) return null;
    for (const margin of [MARGIN_SECONDS, EDGE_SECONDS]) {
      const range = { start: Math.max(0, start - margin), end: end + margin };
      const from = Math.floor(range.start * rate);
      const buffer = stream.held(from, Math.ceil(range.end * rate) - from);
      if (!buffer) continue;
      this.#copies.set(name, { ...range, buffer, at: from });
      return this.#copies.get(name);
    }
    return null;
  }

  async #load(name, stream, range, signal) {
    const from = Math.floor(range.start * this.#mixer.rate);
    try {
      const buffer = await stream.part(from, Math.ceil(range.end * this.#mixer.rate) - from, signal);
      if (signal.aborted) return;
      this.#held.set(name, { ...range, buffer, at: from });
      this.#arrived();
    } catch {
      // given up, or failed for good (stream.js tries again where that may help): the service's levels are shown
    }
  }

  #drop() {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#held.clear();
    this.#copies.clear();
    this.#asked = null;
  }
}
