/**
 * Changes speed and pitch of a signal of many channels, in the audio thread, by the package signalsmith-stretch.
 *
 * The package's own processor seeks anew for each 128 frames, and loses frames where two of its buffers join. This one feeds
 * the signal once, in order, and knows which frame of it is heard at which frame of the context.
 */

import { caught } from "./capture.js";
import "../../../../../vendor/signalsmith-stretch/SignalsmithStretch.mjs";
import { Input } from "./input.js";

const BLOCK_MS = 120; // as the package has it
const INTERVAL_MS = 30;
const TONALITY_HZ = 8000; // above it, a change of pitch leaves the timbre
const CATCH_UP = 512; // frames at a time, while the first blocks are made
const MOST_PACES = 16;
const MOST_ODD = 8; // quanta

class Stretcher extends caught.processor {
  #run = null; #views = null; #next = 0; #odd = 0;

  constructor(options) {
    super(options);
    Object.assign(this.config, { blockMs: BLOCK_MS, intervalMs: INTERVAL_MS, splitComputation: true });
    super.port.onmessage = ({ data }) => this.#heard(data);
  }

  /** The port that the package's class finds: our messages are others. */
  get port() {
    this.quiet ??= { postMessage: ([what]) => what === "ready" && super.port.postMessage({ ready: true }) };
    return this.quiet;
  }

  #heard({ start, add, change, stop }) {
    if (start) this.#run = runOf(start);
    if (!this.#run) return;
    if (add) this.#run.input.add(add);
    if (stop !== undefined) this.#run.stop = stop;
    if (change) this.#change(change);
  }

  #change({ pace, semitones }) {
    this.#run.paces = [...this.#run.paces, pace].slice(-MOST_PACES);
    this.#run.semitones = semitones;
    if (this.#run.at !== null) this.#tune();
  }

  /** @param {Float32Array[][]} _inputs @param {Float32Array[][]} outputs */
  process(_inputs, [output]) {
    const run = this.#run;
    const now = this.#now(output[0].length);
    if (!run || !this.wasmReady) return true;
    if (now >= run.stop) this.#run = null;
    else this.#play(run, output, now - run.when);
    return true;
  }

  /** The frame of the context. A browser that is held up may give one frame to two calls and leave out the next. */
  #now(quantum) {
    this.#odd = currentFrame === this.#next ? 0 : this.#odd + 1;
    const isTrusted = this.#odd === 0 || this.#odd > MOST_ODD || !this.#run;
    const now = isTrusted ? currentFrame : this.#next;
    if (isTrusted) this.#odd = 0;
    this.#next = now + quantum;
    return now;
  }

  /** @param {number} first frame of this output, counted from the start of the run */
  #play(run, output, first) {
    const due = Math.max(0, first);
    if (run.at === null) this.#begin(run, due);
    if (run.at < due) this.#make(run, Math.min(due - run.at, CATCH_UP));
    const last = Math.min(first + output[0].length, run.stop - run.when);
    if (run.at !== due || last <= due) return;
    this.#make(run, last - due);
    output.forEach((channel, index) => channel.set(this.#views.out[index].subarray(0, last - due), due - first));
    for (let over; (over = run.input.drop(played(run, run.when + last))); ) super.port.postMessage({ over, id: run.id }, over.map(({ buffer }) => buffer));
  }

  /** The first blocks: all that add to the frame `due`. */
  #begin(run, due) {
    const { wasmModule: wasm } = this;
    wasm._reset();
    this.#tune();
    run.at = due - wasm._outputLatency() - Math.ceil(wasm._blockSamples() / 2) - wasm._intervalSamples();
    run.fed = this.#needed(run, 0);
    const before = Math.min(this.bufferLength, wasm._blockSamples() + wasm._intervalSamples());
    this.#look();
    run.input.copy(this.#views.in, run.fed - before, before);
    wasm._seek(before, run.paces[0].speed);
  }

  #tune() {
    this.wasmModule._setTransposeSemitones(this.#run.semitones, TONALITY_HZ / sampleRate);
  }

  /** The end of the input that is needed for so many frames more. */
  #needed(run, count) {
    const { wasmModule: wasm } = this;
    return Math.round(played(run, run.when + run.at + count + wasm._outputLatency())) + wasm._inputLatency();
  }

  /** Makes the next frames, in the module's memory. A change that came late is made up for here. */
  #make(run, count) {
    const more = Math.min(this.bufferLength, Math.max(0, this.#needed(run, count) - run.fed));
    this.#look();
    run.input.copy(this.#views.in, run.fed, more);
    this.wasmModule._process(more, count);
    run.fed += more;
    run.at += count;
    this.#look();
  }

  /** The module's memory is another one once it has grown. */
  #look() {
    const { buffer } = this.wasmModule.HEAP8;
    if (this.#views?.buffer === buffer) return;
    const views = (pointers) => pointers.map((pointer) => new Float32Array(buffer, pointer, this.bufferLength));
    this.#views = { buffer, in: views(this.buffersIn), out: views(this.buffersOut) };
  }
}

/** `at`: the next frame that is made, counted from the start; null: none yet. `fed`: the end of the input so far. */
function runOf({ id, when, speed, semitones, before }) {
  const paces = [{ when, played: 0, speed }];
  return { id, when, semitones, paces, input: new Input(before), stop: Infinity, at: null, fed: 0 };
}

/** Frames of the input that have been played at a frame of the context. */
function played({ paces }, frame) {
  const { when, played, speed } = paces.findLast((pace) => pace.when <= frame) ?? paces[0];
  return played + (frame - when) * speed;
}

registerProcessor("stretcher", Stretcher);
