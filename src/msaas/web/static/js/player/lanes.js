/** The lanes on the page: name, two switches, two sliders and a waveform each. Reports user actions; plays nothing. */

import { copyOf, find, seen, vary, write } from "../common/dom.js";
import { listenTyped, showTyped } from "../common/typed.js";
import { LOUDEST_DB, SILENT_DB } from "./levels.js";
import { listenToHandle } from "./handle.js";
import { Waveform } from "./timeline/waveform.js";
import { clock, decibels, decibelsOf, place, stemName } from "../common/words.js";

const COLOURS = ["vocals", "drums", "bass", "other", "guitar", "piano"];

export class Lanes {
  #list; #lanes = new Map(); #axis; #scene; #level; #order; #loop = null;

  /**
   * @param {HTMLElement} list @param {import("./timeline/axis.js").Axis} axis
   * @param {import("./timeline/waveform.js").Scene} scene
   * @param {(name: string, change: object) => void} level called when a lane's controls are used
   * @param {(name: string, index: number) => void} order called when a lane is moved to another place
   */
  constructor(list, axis, scene, level, order) {
    this.#order = order;
    this.#list = list;
    this.#axis = axis;
    this.#scene = scene;
    this.#level = level;
  }

  get names() {
    return [...this.#lanes.keys()];
  }

  /** Creates lanes for these stems; existing ones stay. @param {string[]} names */
  build(names) {
    if (names.join() === this.names.join()) return;
    this.#lanes.clear();
    this.#list.replaceChildren(...names.map((name, index) => this.#lane(name, index)));
  }

  /** Puts the lanes into this order. The one that has the focus stays, and the others move around it. @param {string[]} names */
  arrange(names) {
    if (names.join() === this.names.join() || !names.every((name) => this.#lanes.has(name))) return;
    this.#lanes = new Map(names.map((name) => [name, this.#lanes.get(name)]));
    const elements = [...this.#lanes.values()].map(({ element }) => element);
    const fixed = elements.find((element) => element.matches(".dragged, :focus-within")) ?? elements[0];
    const at = elements.indexOf(fixed);
    for (const element of elements.slice(0, at)) fixed.before(element);
    this.#list.append(...elements.slice(at + 1));
  }

  clear() {
    this.build([]);
  }

  /** @param {boolean} on whether the stems can be mixed yet */
  enable(on) {
    this.#list.classList.toggle("still", !on);
    for (const { element } of this.#lanes.values()) {
      for (const control of element.querySelectorAll("button, input")) control.disabled = !on;
      find(".save", element).hidden = !on;
    }
  }

  setDownload(name, path) {
    const link = find(".save", this.#lanes.get(name).element);
    link.href = path;
    link.setAttribute("aria-label", `Download ${stemName(name)}`);
  }

  /** @param {Record<string, import("./timeline/levels.js").Levels>} levels @param {number} scale */
  draw(levels, scale) {
    for (const [name, { waveform }] of this.#lanes) if (levels[name]) waveform.show(levels[name], scale);
  }

  /** Draws the lanes again: the view has changed, or there is finer detail. */
  refresh() {
    for (const { waveform } of this.#lanes.values()) waveform.draw();
    this.showLoop(this.#loop);
  }

  /** Sets the controls to the current mix. @param {{name: string, level: import("./levels.js").Level}[]} stems */
  showLevels(stems) {
    const solo = stems.some(({ level }) => level.soloed);
    for (const { name, level } of stems) {
      const lane = this.#lanes.get(name);
      if (!lane) continue;
      find(".mute", lane.element).setAttribute("aria-pressed", level.muted);
      find(".solo", lane.element).setAttribute("aria-pressed", level.soloed);
      lane.element.classList.toggle("off", level.muted || (solo && !level.soloed));
      this.#showVolume(lane.element, level.db);
      this.#showPan(lane.element, Math.round(level.pan * 100));
    }
  }

  /** @param {number} seconds of the playhead */
  showPosition(seconds) {
    const at = seen(this.#axis.view.fraction(seconds));
    for (const mark of this.#list.querySelectorAll(".ahead, .head")) vary(mark, "at", at);
  }

  /** @param {number | null} seconds under the pointer; null: none */
  showHover(seconds) {
    this.#list.classList.toggle("hovering", seconds !== null);
    if (seconds !== null) vary(this.#list, "hover", this.#axis.view.fraction(seconds));
  }

  /** @param {{start: number, end: number} | null} region seconds */
  showLoop(region) {
    this.#loop = region;
    this.#list.classList.toggle("looping", region !== null);
    if (!region) return;
    vary(this.#list, "from", this.#axis.view.fraction(region.start));
    vary(this.#list, "to", this.#axis.view.fraction(region.end));
  }

  /** Marks the lane that the keyboard controls. */
  choose(name) {
    for (const [other, { element }] of this.#lanes) element.classList.toggle("chosen", other === name);
  }

  /** @param {string} name @returns {HTMLElement | null} */
  elementOf(name) {
    return this.#lanes.get(name)?.element ?? null;
  }

  /** @param {EventTarget | null} target @returns {string | undefined} the lane an element belongs to */
  laneOf(target) {
    return this.names.find((name) => this.#lanes.get(name).element.contains(target));
  }

  // --- creating a lane

  #lane(name, index) {
    const element = copyOf("lane-template");
    const title = stemName(name);
    element.dataset.stem = name;
    vary(element, "lane", `var(--${colour(name, index)})`);
    find(".lane-name span", element).textContent = title;
    const labels = { ".level": `Decibels of ${title}`, ".mute": `Mute ${title}`, ".solo": `Solo ${title}`, ".volume": `Volume of ${title}`, ".pan": `Pan of ${title}`, ".handle": `Move ${title}` };
    for (const [selector, label] of Object.entries(labels)) find(selector, element).setAttribute("aria-label", label);
    this.#wire(name, element);
    this.#lanes.set(name, { element, waveform: new Waveform(find("canvas", element), name, this.#scene) });
    return element;
  }

  #wire(name, element) {
    const ask = (change) => this.#level(name, change);
    const pressed = (button) => button.getAttribute("aria-pressed") === "true";
    const [mute, solo] = [find(".mute", element), find(".solo", element)];
    const [volume, pan] = [find(".volume", element), find(".pan", element)];
    mute.addEventListener("click", () => ask({ muted: !pressed(mute) }));
    solo.addEventListener("click", () => ask({ soloed: !pressed(solo) }));
    volume.addEventListener("input", () => ask({ db: Number(volume.value) }));
    pan.addEventListener("input", () => ask({ pan: Number(pan.value) / 100 }));
    listenTyped(find(".level", element), (text) => {
      const db = decibelsOf(text, SILENT_DB);
      if (db !== null) ask({ db: Math.min(LOUDEST_DB, Math.max(SILENT_DB, db)) });
      return remarkOn(db);
    });
    volume.addEventListener("dblclick", () => ask({ db: 0 }));
    pan.addEventListener("dblclick", () => ask({ pan: 0 }));
    listenToHandle(find(".handle", element), () => [...this.#list.children], (index) => this.#order(name, index));
    this.#axis.wire(find(".wave", element));
    this.#showVolume(element, 0);
    this.#showPan(element, 0);
  }

  #showVolume(element, db) {
    const input = find(".volume", element);
    const text = decibels(db, SILENT_DB);
    input.value = String(db);
    input.setAttribute("aria-valuetext", db <= SILENT_DB ? "silent" : text.replace("−", "minus "));
    vary(input, "fill", (db - SILENT_DB) / (LOUDEST_DB - SILENT_DB));
    showTyped(find(".level", element), text);
  }

  #showPan(element, percent) {
    const input = find(".pan", element);
    input.value = String(percent);
    input.setAttribute("aria-valuetext", percent ? `${Math.abs(percent)} percent ${percent < 0 ? "left" : "right"}` : "centre");
    write(find(".place", element), place(percent));
  }
}

/** The range, to be said of a typed volume that is not in it. @param {number | null} db */
function remarkOn(db) {
  if (db !== null && db >= SILENT_DB && db <= LOUDEST_DB) return "";
  return `Volume: decibels from −${-SILENT_DB} (silence) to +${LOUDEST_DB}.`;
}

function colour(name, index) {
  if (name.startsWith("no_")) return "rest";
  return COLOURS.includes(name) ? name : COLOURS[index % COLOURS.length];
}

/** A text for a loop. */
export function loopWords({ start, end }) {
  return `Loop from ${clock(start)} to ${clock(end)}`;
}
