/** The controls of the beats: tempo, its half and double, where a bar begins, whether loops snap to beats. */

import { find, say, show, write } from "../../common/dom.js";
import { keep, load } from "../../common/store.js";
import { listenTyped, showTyped } from "../../common/typed.js";
import { BEATS_A_BAR, LEAST_BPM, MOST_BPM, gridOf } from "./grid.js";
import { ordered } from "../timeline/axis.js";
import { keepBeats, ownBeats } from "./settings.js";

export class Beats extends EventTarget {
  /** @type {import("./grid.js").Grid | null} */ grid = null;
  snaps = load("snap", true);
  #songhash = ""; #tempo = null; #own = {}; #position;
  #field = find("#bpm");

  /** Event: `change`. @param {() => number} position of the playhead, in seconds */
  constructor(position) {
    super();
    this.#position = position;
    find("#half-tempo").addEventListener("click", () => this.#times(1 / 2));
    find("#double-tempo").addEventListener("click", () => this.#times(2));
    find("#one-here").addEventListener("click", () => this.oneHere());
    find("#snap").addEventListener("click", () => this.toggleSnap());
    find("#beats-reset").addEventListener("click", () => this.#set({}, "Beats as measured"));
    listenTyped(this.#field, (text) => this.#typed(text));
  }

  /** @param {string} songhash @param {{bpm: number, confidence: number, first_beat_seconds: number | null} | null | undefined} tempo */
  open(songhash, tempo) {
    this.#songhash = songhash;
    this.#tempo = tempo;
    this.#own = ownBeats(songhash);
    this.#refresh();
  }

  /** The beat that is nearest to a time, or the time itself. @param {number} seconds @param {boolean} [free] true: no snapping */
  snapped(seconds, free = false) {
    return this.#isOn(free) ? Math.max(0, this.grid.nearest(seconds)) : seconds;
  }

  /** The loop between two times, of a beat at least. @param {number} from @param {number} to seconds
   *  @param {{free?: boolean, fixed?: boolean}} how `free`: no snapping; `fixed`: `from` stays @returns {import("../timeline/axis.js").Region} */
  region(from, to, { free = false, fixed = false }) {
    if (!this.#isOn(free)) return ordered(from, to);
    const first = fixed ? from : this.grid.nearest(from);
    const nearest = this.grid.nearest(to);
    const second = nearest === first ? this.grid.away(first, to < from ? -1 : 1) : nearest;
    return ordered(Math.max(0, first), Math.max(0, second));
  }

  /** Where a key moves an edge to. @param {number} seconds @param {1 | -1} direction @param {{far: boolean, free: boolean}} how
   *  @returns {number | null} null: there is no snapping */
  stepped(seconds, direction, { far, free }) {
    return this.#isOn(free) ? this.grid.away(seconds, direction * (far ? BEATS_A_BAR : 1)) : null;
  }

  #isOn(free) {
    return this.grid !== null && this.snaps && !free;
  }

  /** Makes the playhead's place the first beat of a bar. */
  oneHere() {
    if (!this.bpm) return say("Set the tempo first");
    this.#set({ ...this.#own, one: this.#position() }, "A bar begins here");
  }

  toggleSnap() {
    this.snaps = !this.snaps;
    keep("snap", this.snaps);
    this.#refresh();
    say(this.snaps ? "Loops snap to beats" : "Loops do not snap");
  }

  /** Beats a minute as recorded: those that were set, else those that were measured. @returns {number | undefined} */
  get bpm() {
    return this.#own.bpm ?? this.#tempo?.bpm;
  }

  #times(factor) {
    const bpm = this.bpm * factor;
    if (bpm >= LEAST_BPM && bpm <= MOST_BPM) this.#set({ ...this.#own, bpm }, `${short(bpm)} beats a minute`);
  }

  /** @param {string} text @returns {string | void} the range, if it is not in it */
  #typed(text) {
    const bpm = Number(text.replace(",", "."));
    if (!(bpm >= LEAST_BPM && bpm <= MOST_BPM)) return `Beats: a number from ${LEAST_BPM} to ${MOST_BPM} BPM.`;
    if (short(bpm) === short(this.bpm ?? 0)) return;
    this.#set({ ...this.#own, bpm }, `${short(bpm)} beats a minute`);
  }

  #set(own, text) {
    this.#own = own;
    keepBeats(this.#songhash, own);
    this.#refresh();
    say(text);
  }

  #refresh() {
    const bpm = this.bpm;
    this.grid = gridOf(this.#tempo, this.#own);
    showTyped(this.#field, bpm ? short(bpm) : "");
    for (const id of ["#half-tempo", "#double-tempo", "#one-here"]) find(id).disabled = !bpm;
    find("#snap").disabled = !this.grid;
    find("#snap").setAttribute("aria-pressed", String(this.snaps));
    show(find("#beats-reset"), Object.keys(this.#own).length > 0);
    write(find("#beats-note"), this.#note());
    this.dispatchEvent(new Event("change"));
  }

  #note() {
    if (!this.bpm) return "No tempo was found; type one.";
    if (!this.grid) return "No beats were found; put the playhead on a first beat and press 1 here.";
    return `Bars of ${BEATS_A_BAR} assumed`;
  }
}

const short = (bpm) => String(Math.round(bpm * 100) / 100);
