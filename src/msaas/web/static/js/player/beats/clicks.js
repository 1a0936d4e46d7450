/** The click track, and the bar that is counted in before the song starts: on the mixer's clock, not part of the mix. */

import { find, say, vary } from "../../common/dom.js";
import { keep, load } from "../../common/store.js";
import { decibels } from "../../common/words.js";
import { SILENT_DB, amplitude } from "../levels.js";
import { BEATS_A_BAR } from "./grid.js";
import { clicksBetween } from "./schedule.js";

const AHEAD_SECONDS = 1.5; // timers of hidden pages run once a second
const EVERY_MS = 250;
const LEAD_SECONDS = 0.15; // before the first click of a count-in
const SECONDS = 0.04; // of a click
const [ONE_HZ, OTHER_HZ] = [1600, 1000];

export class Clicks {
  #mixer = null; #beats; #on = load("click", false); #counts = load("count-in", false); #counting = false;
  #gain = null; #sounds = []; #pending = []; #scheduled = 0; #timer = 0;
  #volume = find("#click-volume");

  /** @param {import("./panel.js").Beats} beats */
  constructor(beats) {
    this.#beats = beats;
    find("#click").addEventListener("click", () => this.toggle());
    find("#count-in").addEventListener("click", () => this.toggleCountIn());
    this.#volume.value = String(load("click-volume", -6));
    this.#volume.addEventListener("input", () => this.#setVolume());
    beats.addEventListener("change", () => this.#refresh());
    this.#setVolume();
  }

  /** @param {import("../mixer.js").Mixer | null} mixer null: none is open */
  open(mixer) {
    this.#mixer = mixer;
    this.#gain = null;
    this.#pending = [];
    this.#counting = false;
    mixer?.addEventListener("change", () => this.#mixer === mixer && this.#again());
    this.#refresh();
  }

  /** For a play that begins now. @returns {number} seconds until the song starts: those of a bar, or 0 */
  countIn() {
    this.#counting = this.#counts && this.#beats.grid !== null;
    return this.#counting ? (BEATS_A_BAR * this.#beats.grid.step) / this.#mixer.speed + LEAD_SECONDS : 0;
  }

  toggle() {
    if (!this.#beats.grid) return say("The beats are not known");
    this.#on = !this.#on;
    keep("click", this.#on);
    this.#refresh();
    say(this.#on ? "Click on" : "Click off");
  }

  toggleCountIn() {
    if (!this.#beats.grid) return say("The beats are not known");
    this.#counts = !this.#counts;
    keep("count-in", this.#counts);
    this.#refresh();
    say(this.#counts ? "A bar is counted in" : "No count-in");
  }

  #refresh() {
    for (const [id, isOn] of [["#click", this.#on], ["#count-in", this.#counts]]) {
      find(id).disabled = !this.#beats.grid;
      find(id).setAttribute("aria-pressed", String(isOn));
    }
    this.#volume.disabled = !this.#beats.grid;
    this.#again();
  }

  #setVolume() {
    const db = Number(this.#volume.value);
    keep("click-volume", db);
    if (this.#gain) this.#gain.gain.value = amplitude(db);
    const text = decibels(db, SILENT_DB);
    this.#volume.setAttribute("aria-valuetext", text.replace("−", "minus "));
    vary(this.#volume, "fill", (db - this.#volume.min) / (this.#volume.max - this.#volume.min));
  }

  /** Takes back what has not sounded: the song was moved, or stopped. */
  #again() {
    const now = this.#mixer?.context?.currentTime ?? 0;
    for (const { source, time } of this.#pending) if (time > now) source.stop(0);
    this.#pending = [];
    this.#scheduled = now;
    clearInterval(this.#timer);
    this.#timer = 0;
    if (!this.#mixer?.playing || !this.#beats.grid || !(this.#on || this.#counting)) return;
    this.#timer = setInterval(() => this.#schedule(), EVERY_MS);
    this.#schedule();
  }

  #schedule() {
    const { context } = this.#mixer;
    const run = this.#run();
    const now = context.currentTime;
    const until = now + AHEAD_SECONDS;
    if (this.#counting && now > run.at) this.#counting = false;
    const from = Math.max(this.#scheduled, now); // after the browser was held up: no click off the beat
    const clicks = clicksBetween(this.#beats.grid, run, from, until, this.#counting);
    for (const { time, beat } of clicks) if (this.#on || time < run.at) this.#click(time, beat);
    this.#scheduled = Math.max(this.#scheduled, until);
    this.#pending = this.#pending.filter(({ time }) => time > now);
  }

  /** @returns {import("./schedule.js").Run} */
  #run() {
    const { rate, frames, loop } = this.#mixer;
    const { when, offset, speed } = this.#mixer.inspect();
    const region = loop && { start: loop.start / rate, end: loop.end / rate };
    return { at: when / rate, begin: offset / rate, end: region?.end ?? frames / rate, loop: region, speed };
  }

  #click(time, beat) {
    const { context } = this.#mixer;
    if (!this.#gain) this.#open(context);
    const source = context.createBufferSource();
    source.buffer = this.#sounds[beat === 1 ? 0 : 1];
    source.connect(this.#gain);
    source.start(time);
    this.#pending.push({ source, time });
  }

  #open(context) {
    this.#gain = context.createGain();
    this.#gain.connect(context.destination);
    this.#sounds = [ONE_HZ, OTHER_HZ].map((hertz) => beep(context, hertz));
    this.#setVolume();
  }
}

function beep({ sampleRate }, hertz) {
  const buffer = new AudioBuffer({ length: Math.round(SECONDS * sampleRate), sampleRate });
  const fall = (at) => Math.exp((-5 * at) / (SECONDS * sampleRate));
  buffer.getChannelData(0).forEach((_, at, samples) => { samples[at] = Math.sin((2 * Math.PI * hertz * at) / sampleRate) * fall(at); });
  return buffer;
}
