/** Measures one signal of the audio graph: peak and RMS of its latest samples, both channels. */

const WINDOW = 4096; // samples: 85 ms at 48 kHz, more than the time between two readings

const samples = new Float32Array(WINDOW);

export class Tap {
  #analysers;

  /** @param {AudioNode[]} nodes whose sum is measured */
  constructor(nodes) {
    const { context } = nodes[0];
    const splitter = context.createChannelSplitter(2);
    for (const node of nodes) node.connect(splitter);
    this.#analysers = [0, 1].map((channel) => {
      const analyser = context.createAnalyser();
      analyser.fftSize = WINDOW;
      splitter.connect(analyser, channel);
      return analyser;
    });
  }

  /** @returns {{peak: number, rms: number}} full scale is 1; the louder channel of each */
  read() {
    let peak = 0;
    let most = 0;
    for (const analyser of this.#analysers) {
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) {
        const size = Math.abs(sample);
        if (size > peak) peak = size;
        sum += sample * sample;
      }
      most = Math.max(most, sum);
    }
    return { peak, rms: Math.sqrt(most / WINDOW) };
  }
}
