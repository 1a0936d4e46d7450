/**
 * Plays a song's stems in sync: one AudioContext, one clock. Independent of the page.
 *
 * All lanes are channels of the same buffers (engine/bank.js), so they cannot part. Seeking and looping stop one run
 * and start the next one on the same sample.
 *
 * Positions are frames (samples) internally and seconds in the interface. Event: `change`, except for the clock.
 */

import { Deck } from "./engine/deck.js";
import { Run, nextExact } from "./engine/run.js";
import { factors, neutral, strip } from "./levels.js";

const LEAD_SECONDS = 0.05; // from scheduling to sound
const MOST_LEAD_SECONDS = 2; // on a machine that is too busy for less
const FILL_EVERY_MS = 500;
const KEEP_AHEAD_SECONDS = 12; // of streams; more than the deck schedules ahead
const KEEP_BEHIND_SECONDS = 3;
const GLIDE_SECONDS = 0.012; // avoids clicks: faders and starts glide

export const ORIGINAL = "original";

export class Mixer extends EventTarget {
  #makeContext; #lanes = new Map(); #deck = null; #run = null; #frame = 0; #waiting = false; #master = null; #timer = 0;

  /**
   * @param {{names: string[], rate: number, frames: number, makeContext?: (rate: number) => AudioContext}} song
   *   `frames`: length of each stem
   */
  constructor({ names, rate, frames, makeContext = (sampleRate) => new AudioContext({ sampleRate }) }) {
    super();
    Object.assign(this, { rate, frames, context: null, loop: null, side: "stems" });
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

  /** Gives a lane sound that is loaded around the position. @param {string} name @param {import("./stream/stream.js").Stream} stream */
  setStream(name, stream) {
    this.lane(name).stream = stream;
    stream.arrived = () => (this.#waiting ? this.#startIfCovered() : this.#fill());
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
    this.#startIfCovered(this.#soon(Math.max(LEAD_SECONDS, after)));
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

  close() {
    this.#stop(0);
    this.context?.close();
    for (const lane of this.#lanes.values()) Object.assign(lane, { buffer: null, stream: null });
  }

  /** The run that plays: `when`, in frames of the context, it is at `offset` of the song; and the names of the lanes that play. */
  inspect() {
    return this.#run && { when: this.#run.when, offset: this.#run.offset, lanes: this.#sounding.map(({ name }) => name) };
  }

  // --- internals

  /** Created at the first play: browsers require a user gesture before sound. */
  #open() {
    if (this.context) return;
    this.context = this.#makeContext(this.rate);
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
    return this.#run ? this.#run.frameAfter(Math.round(time * this.rate) - this.#run.when) : this.#frame;
  }

  /** A start time in the near future, on a whole sample. */
  #soon(lead = LEAD_SECONDS) {
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

  /** Restarts at the same position without a gap: the old run ends on the sample where the new one starts. */
  #restart(lead = LEAD_SECONDS) {
    const when = this.#soon(lead);
    const frame = this.#frameAt(when);
    this.#stop(when);
    this.#frame = frame;
    this.#waiting = true;
    this.#startIfCovered(when, true);
  }

  #startIfCovered(when = this.#soon(), seamless = false) {
    if (!this.#waiting || this.context.state !== "running") return;
    if (this.#frame >= this.frames) return this.#finish();
    const offset = this.loop && this.#frame >= this.loop.end ? this.loop.start : this.#frame;
    if (!this.#reach(offset)) return;
    this.#waiting = false;
    for (let lead = LEAD_SECONDS; !this.#start(offset, when) && lead < MOST_LEAD_SECONDS; when = this.#soon(lead)) lead *= 2;
    if (!seamless) this.#fadeIn(this.#run.when / this.rate);
    this.#timer ||= setInterval(() => this.#fill(), FILL_EVERY_MS);
    this.#changed();
  }

  /** @returns {boolean} false: the browser was held up until after `when`, so it began too late */
  #start(offset, when) {
    this.#deck?.stop(0);
    const run = new Run({ when: Math.round(when * this.rate), offset, loop: this.loop, frames: this.frames });
    const lines = this.#sounding.map((lane) => lineOf(lane));
    const how = { reach: (frame) => this.#reach(frame), ended: () => this.#ran(run) };
    this.#run = run;
    this.#deck = new Deck(this.context, lines, run, how);
    return this.#deck.fill();
  }

  #fill() {
    this.#want();
    if (this.#run && !this.#deck.fill()) this.#restart(2 * LEAD_SECONDS);
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

  /** Frames from one of the song on that every stem has sound for. */
  #reach(frame) {
    const reaches = this.stems.map(({ stream }) => stream?.reach(frame) ?? Infinity);
    return Math.max(0, Math.min(this.covered - frame, ...reaches));
  }

  #fadeIn(when) {
    const { gain } = this.#master;
    gain.cancelScheduledValues(when);
    gain.setValueAtTime(0, when).linearRampToValueAtTime(1, when + GLIDE_SECONDS);
  }

  /** Playback reached the end of the song, or of its loaded part. */
  #ran(run) {
    if (this.#run !== run) return;
    this.#frame = run.frameAfter(this.#deck.scheduled);
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

/** A lane for the deck: it plays what the lane has by then. Last frames that a decoder leaves out are silence. */
function lineOf(lane) {
  const { stream, strip } = lane;
  if (stream) return { channels: stream.channels, strip, copy: (...place) => stream.copy(...place) };
  const channels = lane.buffer.numberOfChannels;
  const copy = (targets, at, from, count) => {
    for (let channel = 0; channel < channels; channel++) {
      targets[channel].set(lane.buffer.getChannelData(channel).subarray(from, from + count), at);
    }
  };
  return { channels, strip, copy };
}
