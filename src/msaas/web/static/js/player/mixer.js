/**
 * Plays a song's stems in sync: one AudioContext, one clock. Independent of the page.
 *
 * All lanes start in the same call at the same `when` and from the same frame, both whole samples, and no lane ever
 * moves alone: seeking, looping and new buffers stop all sources and start new ones at the same time. So the lanes
 * cannot drift apart.
 *
 * Positions are frames (samples) internally and seconds in the interface. Event: `change`, except for the clock.
 */

import { factors, neutral, strip } from "./levels.js";

const LEAD_SECONDS = 0.03; // from scheduling to sound: all sources must be scheduled by then
const GLIDE_SECONDS = 0.012; // avoids clicks: faders and starts glide

export const ORIGINAL = "original";

export class Mixer extends EventTarget {
  #makeContext; #lanes = new Map(); #sources = []; #run = null; #frame = 0; #waiting = false; #master = null;

  /**
   * @param {{names: string[], rate: number, frames: number, makeContext?: (rate: number) => AudioContext}} song
   *   `frames`: length of each stem
   */
  constructor({ names, rate, frames, makeContext = (sampleRate) => new AudioContext({ sampleRate }) }) {
    super();
    Object.assign(this, { rate, frames, context: null, loop: null, side: "stems" });
    this.#makeContext = makeContext;
    for (const name of [...names, ORIGINAL]) {
      this.#lanes.set(name, { name, level: neutral(), buffer: null, whole: false, strip: null });
    }
  }

  // --- lanes

  /** The stems, without the original. */
  get stems() {
    return [...this.#lanes.values()].filter((lane) => lane.name !== ORIGINAL);
  }

  lane(name) {
    return this.#lanes.get(name);
  }

  /** @param {string} name @param {Partial<import("./levels.js").Level>} change */
  setLevel(name, change) {
    Object.assign(this.lane(name).level, change);
    this.#level();
    this.#changed();
  }

  /** @param {"stems" | "original"} side which of the two plays */
  setSide(side) {
    this.side = side;
    this.#level();
    this.#changed();
  }

  /**
   * Gives a lane its buffer. `whole` is false for a song's beginning, which is enough to start playback.
   * @param {string} name @param {AudioBuffer} buffer @param {boolean} whole
   */
  setBuffer(name, buffer, whole) {
    const before = this.covered;
    Object.assign(this.lane(name), { buffer, whole });
    if (this.#waiting) this.#startIfCovered();
    else if (this.#run && (this.covered > before || name === ORIGINAL)) this.#restart();
    this.#changed();
  }

  /** Frames that every stem has sound for. */
  get covered() {
    return Math.min(this.frames, ...this.stems.map((lane) => (lane.whole ? this.frames : lane.buffer?.length ?? 0)));
  }

  get whole() {
    return this.stems.every((lane) => lane.whole);
  }

  // --- transport

  get playing() {
    return this.#run !== null;
  }

  /** Playing, but waiting for sound at this position. */
  get waiting() {
    return this.#waiting;
  }

  get position() {
    return this.#frameAt(this.#heard()) / this.rate;
  }

  async play() {
    if (this.#run || this.#waiting) return;
    this.#open();
    if (this.#frame >= this.frames) this.#frame = this.loop?.start ?? 0;
    this.#waiting = true;
    this.#changed();
    await this.context.resume();
    this.#startIfCovered();
  }

  pause() {
    if (this.#run) {
      const end = this.context.currentTime + GLIDE_SECONDS;
      this.#frame = this.#frameAt(end);
      this.#fade(0, end);
      this.#stop(end);
    }
    this.#waiting = false;
    this.#changed();
  }

  /** @param {number} seconds */
  seek(seconds) {
    const frame = Math.round(Math.min(Math.max(seconds, 0) * this.rate, this.frames));
    this.#moveTo(frame);
  }

  /** Moves the position into the loop. @param {{start: number, end: number} | null} region in seconds; null: no loop */
  setLoop(region) {
    const at = this.#frameAt(this.#heard());
    this.loop = region && this.#frames(region);
    if (this.loop && (at < this.loop.start || at >= this.loop.end)) return this.#moveTo(this.loop.start);
    if (this.#run) this.#restart();
    this.#changed();
  }

  close() {
    this.#stop(0);
    this.context?.close();
    for (const lane of this.#lanes.values()) lane.buffer = null;
  }

  /** For tests: the starts of each lane, in frames. */
  inspect() {
    return { run: this.#run, lanes: this.#sources.map(({ name, when, offset }) => ({ name, when, offset })) };
  }

  // --- internals

  /** Created at the first play: browsers require a user gesture before sound. */
  #open() {
    if (this.context) return;
    this.context = this.#makeContext(this.rate);
    this.#master = this.context.createGain();
    this.#master.connect(this.context.destination);
    for (const lane of this.#lanes.values()) lane.strip = strip(this.context, this.#master);
    this.#level(0);
  }

  #level(glide = GLIDE_SECONDS) {
    if (!this.context) return;
    const stems = this.stems;
    const gains = factors(stems.map((lane) => lane.level));
    stems.forEach((lane, index) => this.#glide(lane, this.side === "stems" ? gains[index] : 0, lane.level.pan, glide));
    this.#glide(this.lane(ORIGINAL), this.side === "original" ? 1 : 0, 0, glide);
  }

  /** Fades everything in or out, complete at `time`. */
  #fade(value, time) {
    const { gain } = this.#master;
    const now = this.context.currentTime;
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(gain.value, now).linearRampToValueAtTime(value, Math.max(time, now));
  }

  #glide({ strip: { gain, pan } }, factor, place, seconds) {
    const now = this.context.currentTime;
    for (const [param, value] of [[gain.gain, factor], [pan.pan, place]]) {
      param.cancelScheduledValues(now);
      if (!seconds) param.value = value;
      else param.setValueAtTime(param.value, now).linearRampToValueAtTime(value, now + seconds);
    }
  }

  #frames({ start, end }) {
    const least = Math.min(Math.round(this.rate / 20), this.frames);
    const bound = (seconds, most) => Math.round(Math.min(Math.max(seconds * this.rate, 0), most));
    const first = bound(start, this.frames - least);
    return { start: first, end: Math.max(bound(end, this.frames), first + least) };
  }

  /** The context time that is audible now. */
  #heard() {
    return this.context ? this.context.currentTime - (this.context.outputLatency || 0) : 0;
  }

  #frameAt(time) {
    if (!this.#run) return this.#frame;
    const { when, offset, loop } = this.#run;
    const frame = offset + Math.max(0, Math.round((time - when) * this.rate));
    if (!loop || frame < loop.end) return Math.min(frame, this.frames);
    return loop.start + ((frame - loop.start) % (loop.end - loop.start));
  }

  /** A start time in the near future, on a whole sample. */
  #soon() {
    return Math.ceil((this.context.currentTime + LEAD_SECONDS) * this.rate) / this.rate;
  }

  #moveTo(frame) {
    if (this.#run) {
      const when = this.#soon();
      this.#fade(0, when);
      this.#stop(when);
      this.#frame = frame;
      this.#waiting = true;
      this.#startIfCovered(when);
    } else {
      this.#frame = frame;
      if (this.#waiting) this.#startIfCovered();
    }
    this.#changed();
  }

  /** Restarts at the same position without a gap: the old sources end on the sample where the new ones start. */
  #restart() {
    const when = this.#soon();
    const frame = this.#frameAt(when);
    this.#stop(when);
    this.#frame = frame;
    this.#waiting = true;
    this.#startIfCovered(when, true);
  }

  #startIfCovered(when = this.#soon(), seamless = false) {
    if (!this.#waiting || this.context.state !== "running") return;
    if (this.#frame >= this.frames) return this.#finish();
    const loop = this.loop;
    const offset = loop && this.#frame >= loop.end ? loop.start : this.#frame;
    const needed = Math.max(offset, loop ? loop.end - 1 : 0);
    if (needed >= this.covered) return;
    this.#waiting = false;
    this.#run = { when, offset, loop };
    if (!seamless) this.#master.gain.setValueAtTime(0, when).linearRampToValueAtTime(1, when + GLIDE_SECONDS);
    this.#sources = [...this.#lanes.values()].filter((lane) => lane.buffer).map((lane) => this.#start(lane, this.#run));
    this.#changed();
  }

  #start(lane, run) {
    const source = this.context.createBufferSource();
    source.buffer = lane.buffer;
    source.connect(lane.strip.gain);
    const { when, offset, loop } = run;
    if (loop) {
      Object.assign(source, { loop: true, loopStart: loop.start / this.rate, loopEnd: loop.end / this.rate });
      source.start(when, offset / this.rate);
    } else {
      source.start(when, offset / this.rate, (this.covered - offset) / this.rate);
    }
    if (lane.name !== ORIGINAL) source.onended = () => this.#ran(run);
    return { name: lane.name, source, when: Math.round(when * this.rate), offset };
  }

  /** Playback reached the end of the song, or of its loaded part. */
  #ran(run) {
    if (this.#run !== run) return;
    this.#frame = this.#frameAt(this.context.currentTime);
    this.#stop(0);
    if (this.whole) return this.#finish();
    this.#waiting = true;
    this.#startIfCovered();
    this.#changed();
  }

  #finish() {
    this.#waiting = false;
    this.#run = null;
    this.#frame = this.frames;
    this.#changed();
  }

  #stop(when) {
    for (const { source } of this.#sources) {
      source.onended = null;
      source.stop(when);
    }
    this.#sources = [];
    this.#run = null;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
