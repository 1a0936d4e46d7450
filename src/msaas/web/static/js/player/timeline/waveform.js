/** A lane's waveform: bars on a canvas at screen resolution, or at the closest zooms a line through the samples. */

import { loudest } from "./levels.js";

const BAR = 2; // CSS pixels, and the gap after it
const GAP = 1;
const MARGIN = 10; // CSS pixels above and below together
const LINE_FRAMES = 4; // fewer a pixel are drawn as a line
const DOT_PIXELS = 7; // samples that are further apart get a dot
const LIFT = 0.8; // exponent that makes quiet lanes visible

/** @typedef {import("./levels.js").Levels} Levels */
/** What is drawn besides the whole song's levels. @typedef {{view: import("./view.js").View, rate: number,
 *   detail: (name: string, start: number, end: number) => {levels: Levels[], samples: import("./samples.js").Excerpt | null}}} Scene */

export class Waveform {
  #canvas; #name; #scene; #levels = null; #scale = 1;

  /** @param {HTMLCanvasElement} canvas its CSS colour is used for the bars @param {string} name of the stem @param {Scene} scene */
  constructor(canvas, name, scene) {
    this.#canvas = canvas;
    this.#name = name;
    this.#scene = scene;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    document.addEventListener("themechange", () => this.draw());
  }

  /** @param {Levels | null} levels of the whole song @param {number} scale scales the loudest lane to full height */
  show(levels, scale = 1) {
    this.#levels = levels;
    this.#scale = scale;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width) return;
    const dense = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * dense);
    this.#canvas.height = Math.round(height * dense);
    const pen = this.#canvas.getContext("2d");
    pen.scale(dense, dense);
    pen.fillStyle = pen.strokeStyle = getComputedStyle(this.#canvas).color;
    const { start, end } = this.#shown();
    const { levels, samples } = this.#scene.detail(this.#name, start, end);
    const isClose = samples && ((end - start) * this.#scene.rate) / width < LINE_FRAMES;
    this.#canvas.dataset.drawn = isClose ? "line" : "bars";
    if (isClose) this.#line(pen, samples, { start, end, width, height });
    else this.#bars(pen, [...levels, ...(this.#levels ? [this.#levels] : [])], { start, end, width, height });
  }

  /** The part of the song that is drawn; all of it while none is open. In units of the levels' own times. */
  #shown() {
    const { start, end, length } = this.#scene.view;
    return length ? { start, end } : { start: 0, end: this.#levels?.end ?? 1 };
  }

  /** Bars stay on the same times while the view scrolls. */
  #bars(pen, levels, { start, end, width, height }) {
    const seconds = ((end - start) * (BAR + GAP)) / width;
    const [first, last] = [Math.floor(start / seconds), Math.ceil(end / seconds)];
    for (const [kind, alpha] of [["peak", 0.42], ["rms", 1]]) {
      pen.globalAlpha = alpha;
      for (let bar = first; bar < last; bar++) {
        const tall = Math.max(1, this.#height(loudest(levels, kind, bar * seconds, (bar + 1) * seconds)) * (height - MARGIN));
        pen.beginPath();
        pen.roundRect(((bar * seconds - start) / (end - start)) * width, (height - tall) / 2, BAR, tall, 1);
        pen.fill();
      }
    }
  }

  #line(pen, { first, values }, { start, end, width, height }) {
    const { rate } = this.#scene;
    const x = (index) => (((first + index) / rate - start) / (end - start)) * width;
    const y = (value) => height / 2 - Math.sign(value) * this.#height(Math.abs(value)) * ((height - MARGIN) / 2);
    pen.lineWidth = 1.5;
    pen.beginPath();
    values.forEach((value, index) => pen.lineTo(x(index), y(value)));
    pen.stroke();
    if (x(1) - x(0) < DOT_PIXELS) return;
    values.forEach((value, index) => {
      pen.beginPath();
      pen.arc(x(index), y(value), 2, 0, 7);
      pen.fill();
    });
  }

  #height(value) {
    return Math.min(1, value * this.#scale) ** LIFT;
  }
}
