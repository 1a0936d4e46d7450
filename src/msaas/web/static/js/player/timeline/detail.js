/**
 * What is drawn of a zoomed view: decoded sound where it is close, else finer levels from the service.
 *
 * The service answers with up to 2000 intervals of any part, which suits a song of any length. Parts are tiles of a
 * half, a quarter … of the song, the smallest that is as long as the view: two at most are needed, and they are kept.
 */

import { getWaveformsPart } from "../../service/api.js";
import { levelsOf } from "./levels.js";
import { CloseSound } from "./closesound.js";
import { CLOSE_FRAMES, MOST_FRAMES, excerpt, levelsNear } from "./samples.js";

const REST_MS = 120; // that a view stays before its sound and tiles are asked for
const MOST_TILES = 64; // some 16 kB each
const TILE_FRAMES = 2000 * 256; // the finest: the worker measures no shorter intervals
const FINER = 1.5; // times the intervals of the whole song, to be of use

/** @typedef {{start: number, end: number, stems: Record<string, import("./levels.js").Levels> | null}} Tile null: on its way, or of no use */

export class Detail {
  #view; #mixer = null; #songhash = ""; #arrived; /** @type {Map<string, Tile>} */ #tiles = new Map(); #timer = 0; #close;

  /** @param {import("./view.js").View} view @param {() => void} arrived called when there is more to draw */
  constructor(view, arrived) {
    this.#view = view;
    this.#arrived = arrived;
    this.#close = new CloseSound(arrived);
  }

  /** @param {string} songhash @param {import("../mixer.js").Mixer | null} mixer null: none is open */
  open(songhash, mixer) {
    this.#songhash = songhash;
    this.#mixer = mixer;
    this.#tiles = new Map();
    this.#close.open(mixer);
    clearTimeout(this.#timer);
  }

  /** Of one stem, between two times. @param {string} name @param {number} start @param {number} end seconds
   *  @returns {{levels: import("./levels.js").Levels[], samples: import("./samples.js").Excerpt | null}} */
  of(name, start, end) {
    if (this.#view.isWhole) this.#close.want(this.#view); // which drops what closer views needed
    if (!this.#mixer || this.#view.isWhole) return { levels: [], samples: null };
    const { buffer } = this.#mixer.lane(name);
    const sound = buffer ? { buffer, at: 0 } : this.#close.of(name, start, end);
    const close = levelsNear(sound, start, end, CLOSE_FRAMES);
    if (close) return { levels: [close], samples: excerpt(sound, start, end) };
    this.#want();
    const tiles = this.#loaded(name);
    const near = tiles.length ? null : levelsNear(sound, start, end, MOST_FRAMES);
    return { levels: near ? [near] : tiles, samples: null };
  }

  /** Tiles with a part of the view, the finest first. */
  #loaded(name) {
    const { start, end } = this.#view;
    const shown = [...this.#tiles.values()].filter((tile) => tile.stems?.[name] && tile.start < end && tile.end > start);
    return shown.sort((a, b) => a.end - a.start - (b.end - b.start)).map(({ stems }) => stems[name]);
  }

  #want() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#close.want(this.#view);
      this.#needed().forEach((tile) => this.#load(tile));
    }, REST_MS);
  }

  /** @returns {{key: string, start: number, end: number}[]} tiles that have not been asked for */
  #needed() {
    if (!this.#mixer) return [];
    const { length, span, start, end } = this.#view;
    const halvings = Math.floor(Math.log2(length / Math.max(span, TILE_FRAMES / this.#mixer.rate)));
    if (halvings < 1) return [];
    const tile = length / 2 ** halvings;
    const first = Math.floor(start / tile);
    const count = Math.min(2 ** halvings, Math.ceil(end / tile - 1e-9)) - first;
    const all = Array.from({ length: count }, (_, at) => first + at);
    return all.map((at) => ({ key: `${halvings}/${at}`, start: at * tile, end: (at + 1) * tile })).filter(({ key }) => !this.#tiles.has(key));
  }

  async #load({ key, start, end }) {
    const tiles = this.#tiles;
    tiles.set(key, { start, end, stems: null });
    if (tiles.size > MOST_TILES) tiles.delete(tiles.keys().next().value);
    try {
      const found = levelsOf(await getWaveformsPart(this.#songhash, start, end));
      if (tiles !== this.#tiles || !this.#isFiner(Object.values(found))) return;
      tiles.set(key, { start, end, stems: found });
      this.#arrived();
    } catch {
      tiles.delete(key); // asked for again when the view moves; until then the song's levels are shown
    }
  }

  #isFiner([levels]) {
    const wanted = (FINER * 2000) / this.#view.length; // intervals a second
    return levels !== undefined && levels.peak.length / (levels.end - levels.start) > wanted;
  }
}
