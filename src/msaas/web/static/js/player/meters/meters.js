/** The level meters of the lanes and of their sum, and the lamps that stay lit after a clip. Nothing runs while paused. */

import { find, later, say, show, vary } from "../../common/dom.js";
import { stemName } from "../../common/words.js";
import { fallen, fractionOf, LOWEST_DB, toDecibels } from "./scale.js";
import { Tap } from "./tap.js";

const CLIP = 1 + 1e-6; // above full scale; of float samples
const SUM = "mix";
const EVERY_MS = 60; // less than a tap's window, so that no peak is missed

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Meters {
  #mixer = null; #taps = new Map(); #shown = new Map(); #clips = new Map(); #elementOf; #before = 0; #running = false;

  /** @param {(name: string) => HTMLElement | null} elementOf the lane of a stem */
  constructor(elementOf) {
    this.#elementOf = (name) => (name === SUM ? find("#mix-meter") : elementOf(name));
    document.addEventListener("click", ({ target }) => target.closest?.(".clip") && this.#clear(target.closest(".clip")));
  }

  /** @param {import("../mixer.js").Mixer | null} mixer null: none is open */
  open(mixer) {
    this.#mixer = mixer;
    this.#taps.clear();
    this.#clips.clear();
    this.#rest();
    for (const name of this.#names()) this.#showClip(name);
    mixer?.addEventListener("change", () => this.#mixer === mixer && this.#start());
  }

  #names() {
    return this.#mixer ? [SUM, ...this.#mixer.stems.map(({ name }) => name)] : [SUM];
  }

  #start() {
    if (this.#running || !this.#mixer.playing || !this.#mixer.context) return;
    if (!this.#taps.size) this.#connect();
    this.#running = true;
    this.#before = performance.now();
    later(EVERY_MS, () => this.#tick());
  }

  /** The mixer makes its audio graph at the first play. */
  #connect() {
    const lanes = [...this.#mixer.stems, this.#mixer.lane("original")];
    this.#taps.set(SUM, new Tap(lanes.map(({ strip }) => strip.pan)));
    for (const { name, strip } of this.#mixer.stems) this.#taps.set(name, new Tap([strip.pan]));
  }

  #tick() {
    if (!this.#mixer?.playing) {
      this.#running = false;
      return this.#rest();
    }
    const now = performance.now();
    for (const [name, tap] of this.#taps) this.#measure(name, tap.read(), (now - this.#before) / 1000);
    this.#before = now;
    later(EVERY_MS, () => this.#tick());
  }

  #measure(name, { peak, rms }, seconds) {
    if (peak > CLIP) this.#clip(name, toDecibels(peak));
    if (still.matches) return; // the lamps are all that changes then
    const peakDb = fallen(this.#shown.get(name) ?? LOWEST_DB, toDecibels(peak), seconds);
    this.#shown.set(name, peakDb);
    this.#draw(name, fractionOf(peakDb), fractionOf(toDecibels(rms)));
  }

  #draw(name, peak, rms) {
    const element = this.#elementOf(name);
    if (!element) return;
    const meter = find(".meter", element);
    vary(meter, "peak", peak.toFixed(3));
    vary(meter, "rms", rms.toFixed(3));
  }

  #rest() {
    this.#shown.clear();
    for (const name of this.#names()) this.#draw(name, 0, 0);
  }

  #clip(name, db) {
    const before = this.#clips.get(name) ?? 0;
    if (db <= before) return;
    this.#clips.set(name, db);
    this.#showClip(name);
    if (!before) say(`${titleOf(name)} clipped`);
  }

  #showClip(name) {
    const lamp = this.#elementOf(name)?.querySelector(".clip");
    if (!lamp) return;
    const db = this.#clips.get(name);
    show(lamp, db !== undefined);
    lamp.dataset.clip = name;
    const text = `${titleOf(name)}: up to ${(db ?? 0).toFixed(1)} dB above full scale. Click to clear`;
    lamp.title = text;
    lamp.setAttribute("aria-label", text);
  }

  #clear(lamp) {
    if (document.activeElement === lamp) find("#play").focus(); // it is hidden
    this.#clips.delete(lamp.dataset.clip);
    this.#showClip(lamp.dataset.clip);
  }
}

const titleOf = (name) => (name === SUM ? "The mix" : stemName(name));
