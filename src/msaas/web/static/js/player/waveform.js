/** A lane's waveform: bars on a canvas at screen resolution, from the worker's data or from decoded sound. */

const BAR = 2; // CSS pixels, and the gap after it
const GAP = 1;
const POINTS = 2000;

/** @typedef {{peak: Uint8Array, rms: Uint8Array}} Outline 0 … 255 is silence … full scale */

export class Waveform {
  #canvas; #outline = null; #scale = 1;

  /** @param {HTMLCanvasElement} canvas its CSS colour is used for the bars */
  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    document.addEventListener("themechange", () => this.draw());
  }

  /** @param {Outline | null} outline @param {number} scale scales the loudest lane to full height */
  show(outline, scale = 1) {
    this.#outline = outline;
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
    pen.fillStyle = getComputedStyle(this.#canvas).color;
    const count = Math.floor(width / (BAR + GAP));
    this.#bars(pen, "peak", count, height, 0.42);
    this.#bars(pen, "rms", count, height, 1);
  }

  #bars(pen, kind, count, height, alpha) {
    pen.globalAlpha = alpha;
    for (let bar = 0; bar < count; bar++) {
      const tall = Math.max(1, this.#loudest(kind, bar, count) * (height - 10));
      pen.beginPath();
      pen.roundRect(bar * (BAR + GAP), (height - tall) / 2, BAR, tall, 1);
      pen.fill();
    }
  }

  #loudest(kind, bar, count) {
    const values = this.#outline?.[kind];
    if (!values?.length) return 0;
    const from = Math.floor((bar * values.length) / count);
    const to = Math.max(from + 1, Math.floor(((bar + 1) * values.length) / count));
    let most = 0;
    for (let index = from; index < to; index++) most = Math.max(most, values[index]);
    return Math.min(1, (most / 255) * this.#scale) ** 0.8; // lifts quiet lanes to make them visible
  }
}

/** The server's waveforms, unpacked. @returns {Record<string, Outline>} by stem */
export function outlinesOf(waveforms) {
  const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const pairs = Object.entries(waveforms.stems);
  return Object.fromEntries(pairs.map(([stem, { peak, rms }]) => [stem, { peak: unpack(peak), rms: unpack(rms) }]));
}

/** The same from decoded sound, if the server has none. @param {AudioBuffer} buffer @returns {Outline} */
export function outlineOf(buffer) {
  const count = Math.min(POINTS, buffer.length);
  const outline = { peak: new Uint8Array(count), rms: new Uint8Array(count) };
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, index) => buffer.getChannelData(index));
  for (let point = 0; point < count; point++) {
    const from = Math.floor((point * buffer.length) / count);
    const to = Math.floor(((point + 1) * buffer.length) / count);
    const { peak, rms } = measured(channels, from, to);
    outline.peak[point] = Math.min(255, Math.round(peak * 255));
    outline.rms[point] = Math.min(255, Math.round(rms * 255));
  }
  return outline;
}

function measured(channels, from, to) {
  let peak = 0;
  let sum = 0;
  for (const samples of channels) {
    for (let index = from; index < to; index++) {
      const sample = samples[index];
      peak = Math.max(peak, Math.abs(sample));
      sum += sample * sample;
    }
  }
  return { peak, rms: Math.sqrt(sum / ((to - from) * channels.length)) };
}

/** One scale for all lanes, so that louder lanes look louder. @param {Outline[]} outlines */
export function commonScale(outlines) {
  const loudest = Math.max(1, ...outlines.map(({ peak }) => peak.reduce((most, value) => Math.max(most, value), 0)));
  return Math.min(4, 255 / loudest);
}
