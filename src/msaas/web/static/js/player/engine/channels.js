/** A group of lanes as the channels of one signal, and the way from there into each lane's fader. */

const MOST_CHANNELS = 32; // that every browser must support

/** @typedef {{channels: number, strip: {gain: GainNode}, copy: (targets: Float32Array[], at: number, from: number, count: number) => void}} Line
 *   a lane's sound, and where it goes; `copy` writes `count` frames from the song's frame `from` into `targets` at `at`
 *  @typedef {{from: number, count: number}} Piece of the song, in frames */

export class Channels {
  #context; #lines;

  /** @param {BaseAudioContext} context @param {Line[]} lines */
  constructor(context, lines) {
    this.#context = context;
    this.#lines = lines;
    this.count = channelsOf(lines);
    /** Takes the signal. */
    this.input = context.createChannelSplitter(this.count);
    let first = 0;
    for (const { channels, strip } of lines) {
      this.#connect(first, channels, strip.gain);
      first += channels;
    }
  }

  /** One channel stays one channel: a merger would make two of it, which the panner treats differently. */
  #connect(first, channels, out) {
    if (channels === 1) return this.input.connect(out, first);
    const merger = this.#context.createChannelMerger(channels);
    for (let channel = 0; channel < channels; channel++) this.input.connect(merger, first + channel, channel);
    merger.connect(out);
  }

  /** Writes pieces, one after the other, into arrays of zeros, one a channel. @param {Float32Array[]} targets @param {Piece[]} pieces */
  copy(targets, pieces) {
    let first = 0;
    for (const line of this.#lines) {
      let at = 0;
      for (const { from, count } of pieces) {
        line.copy(targets.slice(first, first + line.channels), at, from, count);
        at += count;
      }
      first += line.channels;
    }
  }
}

/** @param {Line[]} lines */
export const channelsOf = (lines) => lines.reduce((sum, { channels }) => sum + channels, 0);

/** Frames of all pieces. @param {Piece[]} pieces */
export const lengthOf = (pieces) => pieces.reduce((sum, { count }) => sum + count, 0);

/** Groups of lanes that have at most as many channels as one signal may have. @param {Line[]} lines @returns {Line[][]} */
export function groupsOf(lines) {
  const groups = [[]];
  let channels = 0;
  for (const line of lines) {
    if (channels + line.channels > MOST_CHANNELS) {
      groups.push([]);
      channels = 0;
    }
    groups.at(-1).push(line);
    channels += line.channels;
  }
  return groups;
}

/** A lane of the mixer for the deck: it plays what the lane has by then. Last frames that a decoder leaves out are silence.
 *  @returns {Line} */
export function lineOf(lane) {
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
