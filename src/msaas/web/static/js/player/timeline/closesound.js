/** Decoded sound of streamed lanes around a close view: for zooms that are closer than the service's levels. */

import { CLOSE_FRAMES } from "./samples.js";

const MARGIN_SECONDS = 1; // before and after the view, so that little scrolling needs nothing new

/** @typedef {{start: number, end: number}} Range seconds */

export class CloseSound {
  #mixer = null; #arrived; #abort = new AbortController(); /** Wanted before there was a stream. */ #early = false;
  /** @type {Map<string, import("./samples.js").Decoded & Range>} */ #held = new Map();
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
    const sound = this.#held.get(name);
    return sound && start >= sound.start && end <= sound.end ? sound : null;
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

  async #load(name, stream, range, signal) {
    const from = Math.floor(range.start * this.#mixer.rate);
    try {
      const { buffer, first } = await stream.part(from, Math.ceil(range.end * this.#mixer.rate) - from, signal);
      if (signal.aborted) return;
      this.#held.set(name, { ...range, buffer, at: from - first });
      this.#arrived();
    } catch {
      // given up, or failed for good (stream.js tries again where that may help): the service's levels are shown
    }
  }

  #drop() {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#held.clear();
    this.#asked = null;
  }
}
