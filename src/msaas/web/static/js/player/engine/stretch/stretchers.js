/** The stretchers of one audio context: worklet nodes that are used again, since each has a WASM module of its own. */

const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const PROCESSOR = new URL("./worklet/stretcher.js", import.meta.url);

export class Stretchers {
  #context; #opened = null; #free = [];
  isOpen = false;

  /** @param {BaseAudioContext} context */
  constructor(context) {
    this.#context = context;
  }

  /** @param {number} channels of the first one @returns {Promise<void>} rejects in a browser that cannot run them */
  open(channels) {
    this.#opened ??= this.#open(channels);
    return this.#opened;
  }

  async #open(channels) {
    new WebAssembly.Module(EMPTY_MODULE); // throws where that is not allowed; the worklet would be silent about it
    await this.#context.audioWorklet.addModule(PROCESSOR);
    const node = this.#make(channels);
    await new Promise((ready, failed) => {
      node.port.onmessage = ({ data }) => data.ready && ready();
      node.onprocessorerror = failed;
    });
    this.give(node, 0);
    this.isOpen = true;
  }

  /** @param {number} channels @returns {AudioWorkletNode} one that is silent, and connected to nothing */
  take(channels) {
    const now = this.#context.currentTime;
    const at = this.#free.findIndex(({ node, from }) => node.channels === channels && from <= now);
    if (at < 0) return this.#make(channels);
    const [{ node }] = this.#free.splice(at, 1);
    node.disconnect();
    return node;
  }

  /** @param {AudioWorkletNode} node @param {number} from seconds: it is silent from then on */
  give(node, from) {
    this.#free.push({ node, from });
  }

  #make(channels) {
    const node = new AudioWorkletNode(this.#context, "stretcher", { numberOfInputs: 0, numberOfOutputs: 1, outputChannelCount: [channels] });
    return Object.assign(node, { channels, run: 0 });
  }
}
