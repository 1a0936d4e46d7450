/** The transport: play, loop, seek, compare, and the playhead. Connects the mixer to the page. */

import { find, later, measure, say, seen, setIcon, vary, write } from "../common/dom.js";
import { Lanes, loopWords } from "./lanes.js";
import { LOUDEST_DB, SILENT_DB, neutral } from "./levels.js";
import { LockScreen } from "./lockscreen.js";
import { ORIGINAL } from "./mixer.js";
import * as presets from "./presets.js";
import { Clicks } from "./beats/clicks.js";
import { Beats } from "./beats/panel.js";
import { Meters } from "./meters/meters.js";
import { Tempo } from "./tempo/panel.js";
import { Axis } from "./timeline/axis.js";
import { Detail } from "./timeline/detail.js";
import { Ruler } from "./timeline/ruler.js";
import { View } from "./timeline/view.js";
import { Zoom } from "./timeline/zoom.js";
import { clock, decibels, place, stemName } from "../common/words.js";

const TICK_MS_PER_SECOND = 0.25; // of the view: the playhead moves a quarter of a pixel on an axis of 1000
const LONGEST_TICK_MS = 100; // for the clock

export class Player {
  #mixer = null; #lanes; #length = 0; #axis; #ruler; #chosen = 0; #marked = false; #lastLoop = null; #askOriginal; #lockScreen;
  #view = new View(); #zoom; #scene; #detail; #beats; #clicks; #meters; #tempo; #drawing = false; #ticking = false; /** Seconds of a playhead that is being dragged. */ #dragged = null;
  #play = find("#play"); #seek = find("#seek"); #loop = find("#loop"); #time = find("#time");

  /** @param {(back: () => void) => Promise<boolean>} askOriginal loads it, and calls `back` if it is lost; false: not available */
  constructor(askOriginal) {
    this.#beats = new Beats(() => this.#mixer?.position ?? 0);
    this.#clicks = new Clicks(this.#beats);
    this.#tempo = new Tempo(this.#beats);
    const axis = new Axis(this.#view, {
      seek: (seconds) => this.seek(seconds),
      loop: (region) => this.setLoop(region),
      preview: (region) => (region ? this.#showLoop(region) : this.#show()),
      head: (seconds) => this.#drag(seconds),
      hover: (seconds) => this.#showHover(seconds),
      region: (from, to, how) => this.#beats.region(from, to, how),
    });
    this.#axis = axis;
    this.#detail = new Detail(this.#view, () => this.#redraw());
    const scene = { view: this.#view, rate: 0, detail: (name, start, end) => this.#detail.of(name, start, end) };
    this.#lanes = new Lanes(find("#lanes"), axis, scene, (name, change) => this.#mixer?.setLevel(name, change), (name, index) => this.#place(name, index));
    this.#ruler = new Ruler(find("#ruler"), axis, (region) => this.setLoop(region), this.#beats);
    this.#zoom = new Zoom(this.#view, () => this.#mixer?.position ?? 0);
    this.#scene = scene;
    this.#meters = new Meters((name) => this.#lanes.elementOf(name));
    this.#view.addEventListener("change", () => this.#redraw());
    this.#askOriginal = askOriginal;
    this.#lockScreen = new LockScreen({
      play: () => this.#mixer?.play(),
      pause: () => this.#mixer?.pause(),
      seekto: (seconds) => this.#mixer && this.seek(seconds),
      seekby: (seconds) => this.#mixer && this.nudge(seconds),
      previoustrack: () => this.#mixer && this.toStart(),
    });
    measure("transport");
    this.#play.addEventListener("click", () => this.toggle());
    find("#to-start").addEventListener("click", () => this.toStart());
    this.#loop.addEventListener("click", () => this.toggleLoop());
    this.#seek.addEventListener("input", () => this.seek(Number(this.#seek.value)));
    find("#sides").addEventListener("change", (event) => this.setSide(event.target.value));
    find("#reset-mix").addEventListener("click", () => this.reset());
  }

  get lanes() {
    return this.#lanes;
  }

  get mixer() {
    return this.#mixer;
  }

  get zoom() {
    return this.#zoom;
  }

  get beats() {
    return this.#beats;
  }

  get clicks() {
    return this.#clicks;
  }

  get tempo() {
    return this.#tempo;
  }

  get view() {
    return this.#view;
  }

  /** @param {import("./mixer.js").Mixer} mixer @param {number} length seconds
   *  @param {{songhash: string, name: string, tempo: any}} song `tempo`: of its analysis */
  open(mixer, length, { songhash, name, tempo }) {
    this.#mixer = mixer;
    this.#length = length;
    this.#lastLoop = null;
    this.#lockScreen.name(name);
    presets.showButtons(() => this.#mixer, (preset) => this.setPreset(preset));
    this.#seek.max = String(length);
    write(find("#length"), clock(length));
    find("#sides input[value=stems]").checked = true;
    this.#scene.rate = mixer.rate;
    this.#detail.open(songhash, mixer);
    this.#view.open(length, mixer.rate);
    this.#beats.open(songhash, tempo);
    this.#meters.open(mixer);
    this.#clicks.open(mixer);
    this.#tempo.open(mixer);
    mixer.addEventListener("change", () => {
      if (this.#mixer !== mixer) return;
      this.#show();
      if (!this.#ticking) this.#tick();
    });
    this.#chosen = 0;
    this.#marked = false;
    this.#show();
  }

  close() {
    this.#mixer?.close();
    this.#mixer = null;
    this.#detail.open("", null);
    this.#view.open(0, 1);
    this.#meters.open(null);
    this.#clicks.open(null);
    this.#tempo.open(null);
    this.#lockScreen.close();
  }

  // --- actions

  toggle() {
    if (this.#mixer.playing || this.#mixer.waiting) return this.#mixer.pause();
    this.#zoom.reach();
    this.#mixer.play(this.#clicks.countIn());
  }

  /** Switches the loop off if the position is beyond it. */
  seek(seconds) {
    const loop = this.#axis.loop;
    if (loop && (seconds < loop.start || seconds >= loop.end)) this.setLoop(null);
    this.#mixer.seek(seconds);
    this.#zoom.reach();
    this.#showTime();
  }

  /** Stays in the loop. In a zoomed view a step is at most a quarter of it. */
  nudge(seconds) {
    const loop = this.#axis.loop;
    const most = this.#view.isWhole ? Infinity : this.#view.span / 4;
    const wanted = this.#mixer.position + Math.sign(seconds) * Math.min(most, Math.abs(seconds));
    this.seek(loop && (wanted < loop.start || wanted >= loop.end) ? loop.start : wanted);
  }

  /** To the start of the loop, or of the song. */
  toStart() {
    this.seek(this.#axis.loop?.start ?? 0);
  }

  zoomToLoop() {
    this.#zoom.toLoop(this.#axis.loop);
  }

  toggleLoop() {
    if (this.#mixer.loop) return this.setLoop(null);
    return this.setLoop(this.#lastLoop ?? { start: 0, end: this.#length });
  }

  setLoop(region) {
    if (region) this.#lastLoop = region;
    this.#mixer.setLoop(region);
    say(region ? loopWords(region) : "Loop off");
  }

  /** Sets one end of the loop to the playhead, or the beat next to it. @param {"start" | "end"} end @param {boolean} free of beats */
  markLoop(end, free) {
    const at = Math.min(this.#length, this.#beats.snapped(this.#mixer.position, free));
    const region = { start: 0, end: this.#length, ...(this.#mixer.loop && this.#lastLoop), [end]: at };
    if (region.end - region.start < 0.05) region[end === "start" ? "end" : "start"] = end === "start" ? this.#length : 0;
    this.setLoop(region);
  }

  async setSide(side) {
    if (side === ORIGINAL && !(await this.#askOriginal(() => this.setSide("stems")))) side = "stems";
    find(`#sides input[value=${side}]`).checked = true;
    this.#mixer?.setSide(side);
  }

  toggleSide() {
    if (!find("#sides").hidden) this.setSide(this.#mixer.side === "stems" ? ORIGINAL : "stems");
  }

  /** @param {string | null} preset null: none */
  setPreset(preset) {
    presets.set(this.#mixer, preset);
    if (this.#mixer.side === ORIGINAL) this.setSide("stems");
    say(preset ?? "All tracks on");
  }

  reset() {
    for (const { name } of this.#mixer.stems) this.#mixer.setLevel(name, neutral());
    this.#mixer.setOrder([]);
    say("All tracks at 0 decibels, centred, in their usual order");
  }

  // --- lanes by number, for the keyboard

  choose(step) {
    const { stems } = this.#mixer;
    if (this.#marked) this.#chosen = (this.#chosen + step + stems.length) % stems.length;
    this.chooseNamed(stems[this.#chosen].name);
    say(stemName(stems[this.#chosen].name));
  }

  /** Selects the lane that has the focus. */
  chooseNamed(name) {
    this.#chosen = this.#mixer.stems.findIndex((lane) => lane.name === name);
    this.#marked = true;
    this.#lanes.choose(name);
  }

  /** Moves the selected lane. @param {1 | -1} step */
  move(step) {
    this.#place(this.#mixer.stems[this.#chosen].name, this.#chosen + step);
  }

  #place(name, index) {
    const names = this.#mixer.stems.map((lane) => lane.name);
    const place = Math.min(Math.max(index, 0), names.length - 1);
    const others = names.filter((other) => other !== name);
    const chosen = names[this.#chosen];
    this.#mixer.setOrder(others.toSpliced(place, 0, name));
    this.#chosen = this.#mixer.stems.findIndex((lane) => lane.name === chosen);
    say(`${stemName(name)} at place ${place + 1} of ${names.length}`);
  }

  /** @param {"muted" | "soloed"} what @param {number} [index] default: the selected lane */
  flip(what, index = this.#chosen) {
    const lane = this.#mixer.stems[index];
    if (!lane) return;
    this.#mixer.setLevel(lane.name, { [what]: !lane.level[what] });
    say(`${stemName(lane.name)} ${lane.level[what] ? "" : "no longer "}${what}`);
  }

  allOn() {
    for (const { name } of this.#mixer.stems) this.#mixer.setLevel(name, { muted: false, soloed: false });
    say("All tracks on");
  }

  turn(decibelStep) {
    const { name, level } = this.#mixer.stems[this.#chosen];
    const db = Math.min(LOUDEST_DB, Math.max(SILENT_DB, level.db + decibelStep));
    this.#mixer.setLevel(name, { db });
    say(`${stemName(name)} ${decibels(db, SILENT_DB).replace("−", "minus ")}`);
  }

  shift(step) {
    const { name, level } = this.#mixer.stems[this.#chosen];
    const percent = Math.min(100, Math.max(-100, Math.round(level.pan * 100) + step));
    this.#mixer.setLevel(name, { pan: percent / 100 });
    say(`${stemName(name)} ${place(percent)}`);
  }

  // --- display

  #show() {
    const { playing, waiting, loop, rate, stems, speed } = this.#mixer;
    const going = playing || waiting;
    setIcon(this.#play, going ? "i-pause" : "i-play");
    this.#play.setAttribute("aria-label", going ? "Pause" : "Play");
    this.#play.classList.toggle("waiting", waiting);
    this.#loop.setAttribute("aria-pressed", String(loop !== null));
    this.#axis.loop = loop && { start: loop.start / rate, end: loop.end / rate };
    this.#showLoop(this.#axis.loop);
    this.#lanes.arrange(stems.map(({ name }) => name));
    this.#lanes.showLevels(stems);
    presets.refresh(this.#mixer);
    this.#lockScreen.show({ playing: going, position: this.#mixer.position, length: this.#length, speed });
    this.#tempo.show();
    this.#showTime();
  }

  #showLoop(region) {
    this.#lanes.showLoop(region);
    this.#ruler.showLoop(region);
  }

  #showTime() {
    const at = this.#dragged ?? this.#mixer.position;
    write(this.#time, clock(at));
    const place = seen(at / this.#length);
    if (this.#seek.style.getPropertyValue("--fill") !== place || !this.#mixer.playing) {
      this.#seek.value = String(at);
      this.#seek.setAttribute("aria-valuetext", `${clock(at)} of ${clock(this.#length)}`);
      vary(this.#seek, "fill", place);
    }
    this.#lanes.showPosition(at);
    this.#ruler.showHead(at);
  }

  /** @param {number | null} seconds */
  #showHover(seconds) {
    this.#lanes.showHover(seconds);
    this.#ruler.showHover(seconds);
  }

  /** Shows a playhead on the way; it seeks when it is let go. @param {number | null} seconds null: as it plays */
  #drag(seconds) {
    this.#dragged = seconds;
    this.#showTime();
  }

  /** Draws the lanes once a frame, however often the view changes. */
  #redraw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#lanes.refresh();
      if (this.#mixer) this.#showTime();
    });
  }

  /** Follows the playhead while the song plays. */
  #tick() {
    this.#ticking = Boolean(this.#mixer?.playing);
    if (!this.#ticking) return;
    this.#zoom.played();
    this.#showTime();
    later(Math.min(LONGEST_TICK_MS, this.#view.span * TICK_MS_PER_SECOND), () => this.#tick());
  }
}
