/**
 * Plays a song's stems in sync: one AudioContext, one clock. Independent of the page.
 *
 * All lanes are channels of the same buffers (engine/bank.js), so they cannot part. Seeking and looping stop one run
 * and start the next one on the same sample.
 *
 * Positions are frames (samples) of the song internally and seconds in the interface. Events: `change`, except for the
 * clock; `unstretched`: this browser cannot change tempo and pitch, which are as recorded again.
 */

import { channelsOf, groupsOf, lineOf } from "./engine/channels.js";
import { Deck } from "./engine/deck.js";
import { Run, nextExact } from "./engine/run.js";
import { Stretchers } from "./engine/stretch/stretchers.js";
import { factors, neutral, strip } from "./levels.js";

const LEAD_SECONDS = 0.05; // from scheduling to sound
const STRETCH_LEAD_SECONDS = 0.12; // of a stretcher, for its first blocks, and to change smoothly
const MOST_LEAD_SECONDS = 2; // on a machine that is too busy for less
const FILL_EVERY_MS = 500;
const KEEP_AHEAD_SECONDS = 12; // of streams; more than the deck schedules ahead
const KEEP_BEHIND_SECONDS = 3;
const GLIDE_SECONDS = 0.012; // avoids clicks: faders and starts glide

export const ORIGINAL = "original";

export class Mixer extends EventTarget {
  #makeContext; #lanes = new Map(); #deck = null; #run = null; #frame = 0; #waiting = false; #master = null; #timer = 0; #stretchers = null;

  /**
   * @param {{names: string[], rate: number, frames: number, makeContext?: (rate: number) => AudioContext}} song
   *   `frames`: length of each stem
   */
  constructor({ names, rate, frames, makeContext = (sampleRate) => new AudioContext({ sampleRate }) }) {
    super();
    Object.assign(this, { names, rate, frames, context: null, loop: null, side: "stems", speed: 1, semitones: 0 });
    this.#makeContext = makeContext;
    for (const name of [...names, ORIGINAL]) {
      this.#lanes.set(name, { name, level: neutral(), buffer: null, whole: false, stream: null, strip: null });
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

  /** Puts the stems into this order; those that it does not name follow. @param {string[]} names */
  setOrder(names) {
    const known = names.filter((name) => this.names.includes(name));
    const order = [...new Set([...known, ...this.names, ORIGINAL])];
    this.#lanes = new Map(order.map((name) => [name, this.lane(name)]));
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
    Object.assign(this.lane(name), { buffer, whole });
    if (this.#waiting) this.#startIfCovered();
    else if (this.#run && name === ORIGINAL) this.#restart();
    else this.#fill();
    this.#changed();
  }

  /** Gives a lane sound that is loaded around the position. @param {string} name @param {import("./stream/stream.js").Stream | null} stream */
  setStream(name, stream) {
    this.lane(name).stream = stream;
    if (stream) stream.arrived = () => (this.#waiting ? this.#startIfCovered() : this.#fill());
    this.#want();
    if (this.#run && name === ORIGINAL) this.#restart();
    this.#changed();
  }

  /** Frames from the start that every stem has sound for, or can load when they are due. */
  get covered() {
    const lengths = this.stems.map((lane) => (lane.whole || lane.stream ? this.frames : lane.buffer?.length ?? 0));
    return Math.min(this.frames, ...lengths);
  }

  /** Whether every stem is decoded as a whole. */
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

  /** @param {number} [after] seconds from now, at least, until the song starts */
  async play(after = 0) {
    if (this.#run || this.#waiting) return;
    this.#open();
    if (this.#frame >= this.frames) this.#frame = this.loop?.start ?? 0;
    this.#waiting = true;
    this.#changed();
    await this.context.resume();
    if (this.isStretched) await this.#openStretchers();
    this.#startIfCovered(this.#soon(Math.max(this.#lead, after)));
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
    this.#want();
    this.#changed();
  }

  /** Tempo and pitch of all lanes. Without any change of them, nothing but the recorded samples is played.
   *  @param {{speed?: number, semitones?: number}} change `speed`: 1 as recorded */
  stretch({ speed = this.speed, semitones = this.semitones }) {
    if (speed === this.speed && semitones === this.semitones) return;
    Object.assign(this, { speed, semitones });
    if (this.#run) this.#stretchRun();
    this.#changed();
  }

  /** Whether tempo or pitch are not as recorded. */
  get isStretched() {
    return this.speed !== 1 || this.semitones !== 0;
  }

  close() {
    this.#stop(0);
    this.context?.close();
    for (const lane of this.#lanes.values()) Object.assign(lane, { buffer: null, stream: null });
  }

  /** The run that plays: `when`, in frames of the context, it is at `offset` of the song, and goes on from there at `speed`;
   *  and the names of the lanes that play. */
  inspect() {
    if (!this.#run) return null;
    const { when, played, speed } = this.#run.paces.at(-1);
    return { when, offset: this.#run.frameAfter(played), speed, lanes: this.#sounding.map(({ name }) => name) };
  }

  // --- internals

  /** Created at the first play: browsers require a user gesture before sound. */
  #open() {
    if (this.context) return;
    this.context = this.#makeContext(this.rate);
    this.#stretchers = new Stretchers(this.context);
    this.#master = this.context.createGain();
    this.#master.gain.value = 0; // each start fades in
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

  /** Fades everything in or out, from `begin` on, complete at `time`. */
  #fade(value, time, begin = 0) {
    const { gain } = this.#master;
    const now = this.context.currentTime;
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(gain.value, Math.max(now, begin)).linearRampToValueAtTime(value, Math.max(time, now));
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
    return this.#run ? this.#run.frameAfter(this.#run.playedAt(Math.round(time * this.rate))) : this.#frame;
  }

  get #lead() {
    return this.isStretched ? STRETCH_LEAD_SECONDS : LEAD_SECONDS;
  }

  /** A start time in the near future, on a whole sample. */
  #soon(lead = this.#lead) {
    return nextExact(Math.ceil((this.context.currentTime + lead) * this.rate), this.rate) / this.rate;
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
    this.#want();
    this.#changed();
  }

  /** Restarts at the same position without a gap: the old run ends on the sample where the new one starts. What a stretcher
   *  makes does not join with other sound, so it fades. */
  #restart(lead = this.#lead) {
    const when = this.#soon(lead);
    const frame = this.#frameAt(when);
    const seamless = !this.#run.isStretched && !this.isStretched;
    if (!seamless) this.#fade(0, when, when - GLIDE_SECONDS);
    this.#stop(when);
    this.#frame = frame;
    this.#waiting = true;
    this.#startIfCovered(when, seamless);
  }

  async #stretchRun() {
    if (this.isStretched && !this.#stretchers.isOpen) {
      await this.#openStretchers();
      if (!this.#run || this.#run.isStretched === this.isStretched) return;
    }
    if (!this.#run.isStretched || !this.isStretched) return this.#restart();
    const when = Math.max(this.#run.when, Math.round(this.#soon() * this.rate));
    this.#run = this.#run.changed({ when, speed: this.speed, semitones: this.semitones });
    this.#deck.change(this.#run);
    this.#fill();
  }

  /** In a browser that has none, nothing is stretched. */
  async #openStretchers() {
    const [group] = groupsOf(this.#sounding.map(lineOf));
    try {
      await this.#stretchers.open(channelsOf(group));
    } catch {
      Object.assign(this, { speed: 1, semitones: 0 });
      this.dispatchEvent(new Event("unstretched"));
      this.#changed();
    }
  }

  #startIfCovered(when = this.#soon(), seamless = false) {
    if (!this.#waiting || this.context.state !== "running") return;
    if (this.#frame >= this.frames) return this.#finish();
    const offset = this.loop && this.#frame >= this.loop.end ? this.loop.start : this.#frame;
    if (!this.#reach(offset) || !this.#canStart()) return;
    this.#waiting = false;
    for (let lead = this.#lead; !this.#start(offset, when) && lead < MOST_LEAD_SECONDS; when = this.#soon(lead)) lead *= 2;
    if (!seamless) this.#fadeIn(this.#run.when / this.rate);
    this.#timer ||= setInterval(() => this.#fill(), FILL_EVERY_MS);
    this.#changed();
  }

  /** @returns {boolean} false: it starts later, once it can stretch */
  #canStart() {
    const can = !this.isStretched || this.#stretchers.isOpen;
    if (!can) this.#openStretchers().then(() => this.#startIfCovered());
    return can;
  }

  /** @returns {boolean} false: the browser was held up until after `when`, so it began too late */
  #start(offset, when) {
    this.#deck?.stop(0);
    const { loop, frames, speed, semitones } = this;
    this.#run = new Run({ when: Math.round(when * this.rate), offset, loop, frames, speed, semitones });
    const how = { reach: (frame) => this.#reach(frame), ended: () => this.#ran(deck), stretchers: this.#stretchers };
    const deck = new Deck(this.context, this.#sounding.map(lineOf), this.#run, how);
    this.#deck = deck;
    return deck.fill();
  }

  #fill() {
    this.#want();
    if (this.#run && !this.#deck.fill()) this.#restart(2 * this.#lead);
  }

  /** Has the streams load what is played next, and keep what was played last. */
  #want() {
    const streams = [...this.#lanes.values()].flatMap(({ stream }) => stream ?? []);
    if (!streams.length) return;
    const offset = this.#frameAt(this.context?.currentTime ?? 0);
    const next = new Run({ when: 0, offset, loop: this.loop, frames: this.frames }).pieces(0, KEEP_AHEAD_SECONDS * this.rate);
    const behind = Math.min(offset, KEEP_BEHIND_SECONDS * this.rate);
    for (const stream of streams) stream.want([...next, { from: offset - behind, count: behind }]);
  }

  get #sounding() {
    return [...this.#lanes.values()].filter((lane) => lane.buffer || lane.stream);
  }

  /** Frames from one of the song on that every lane has sound for. */
  #reach(frame) {
    const reaches = [...this.#lanes.values()].map(({ stream }) => stream?.reach(frame) ?? Infinity);
    return Math.max(0, Math.min(this.covered - frame, ...reaches));
  }

  #fadeIn(when) {
    const { gain } = this.#master;
    gain.cancelScheduledValues(when);
    gain.setValueAtTime(0, when).linearRampToValueAtTime(1, when + GLIDE_SECONDS);
  }

  /** Playback reached the end of the song, or of its loaded part. */
  #ran(deck) {
    if (this.#deck !== deck) return;
    this.#frame = this.#run.frameAfter(deck.scheduled);
    this.#stop(0);
    if (this.#frame >= this.frames) return this.#finish();
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
    this.#deck?.stop(when);
    this.#deck = null;
    this.#run = null;
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
