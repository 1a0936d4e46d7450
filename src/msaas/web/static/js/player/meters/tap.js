/** Measures one signal of the audio graph: peak and RMS of its latest samples, both channels. */

const WINDOW_SECONDS = 0.08; // at least: more than the time between two readings

export class Tap {
  #analysers; #samples;

  /** @param {AudioNode[]} nodes whose sum is measured */
  constructor(nodes) {
    const { context } = nodes[0];
    this.#samples = new Float32Array(2 ** Math.ceil(Math.log2(WINDOW_SECONDS * context.sampleRate)));
    const splitter = context.createChannelSplitter(2);
    for (const node of nodes) node.connect(splitter);
    this.#analysers = [0, 1].map((channel) => {
      const analyser = context.createAnalyser();
      analyser.fftSize = this.#samples.length;
      splitter.connect(analyser, channel);
      return analyser;
    });
  }

  /** @returns {{peak: number, rms: number}} full scale is 1; the louder channel of each */
  read() {
    let peak = 0;
    let most = 0;
    for (const analyser of this.#analysers) {
      analyser.getFloatTimeDomainData(this.#samples);
      let sum = 0;
      for (const sample of this.#samples) {
        const size = Math.abs(sample);
        if (size > peak) peak = size;
        sum += sample * sample;
      }
      most = Math.max(most, sum);
    }
    return { peak, rms: Math.sqrt(most / this.#samples.length) };
  }
}
