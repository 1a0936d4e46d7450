/**
 * A stem's sound around the position: pieces of five seconds, fetched as ranges of bytes and decoded to the exact sample.
 * What is not wanted any more is dropped, so memory does not grow with the song.
 */

const PIECE_SECONDS = 5;
const RETRY_SECONDS = [1, 2, 4, 8];

/**
 * @typedef {{rate: number, channels: number, frames: number,
 *   cut: (from: number, count: number, signal: AbortSignal) => Promise<{data: ArrayBuffer, tail: number}>}} Cutter
 *   `cut` gives a file of its own that holds these frames; the wanted ones begin `tail` frames before its end;
 *   `frames`: the length, Infinity if it is not known: then `data` is empty behind the end
 */

export class Stream {
  #sound; #rate; #frames; #size; #signal; #failed; #pieces = new Map(); #wanted = []; #loading = null;
  /** Called when there is more sound. */
  arrived = () => {};

  /**
   * @param {import("./sound.js").Sound | import("./sound.js").Resampled} sound at the rate of the song
   * @param {{rate: number, frames: number, signal: AbortSignal, failed: (error: Error) => void}} how `frames`: length of the song;
   *   `failed`: a piece could not be loaded, after several tries
   */
  constructor(sound, { rate, frames, signal, failed }) {
    this.#sound = sound;
    this.#rate = rate;
    this.#frames = frames;
    this.#size = Math.round(PIECE_SECONDS * rate);
    this.#signal = signal;
    this.#failed = failed;
  }

  get channels() {
    return this.#sound.channels;
  }

  /** Frames from this one on that can be played now. */
  reach(frame) {
    let index = Math.floor(frame / this.#size);
    while (this.#pieces.has(index)) index += 1;
    return Math.max(0, Math.min(index * this.#size, this.#frames) - frame);
  }

  /** @param {Float32Array[]} targets one a channel @param {number} at in them @param {number} from @param {number} count */
  copy(targets, at, from, count) {
    for (const span of this.#spans(from, count)) copyFrames(this.#pieces.get(span.index), span.inside, span.count, targets, at + span.at);
  }

  /** Any part that is here. @param {number} from @param {number} count frames; fewer at the song's end
   *  @returns {AudioBuffer | null} null: not all of it is here */
  held(from, count) {
    const length = Math.min(count, this.#frames - from);
    if (length <= 0 || this.reach(from) < length) return null;
    const { buffer, targets } = this.#room(length);
    this.copy(targets, 0, from, length);
    return buffer;
  }

  /** Any part. What is neither here nor on its way is loaded for it, and not kept.
   *  @param {number} from @param {number} count frames; fewer at the song's end @param {AbortSignal} signal @returns {Promise<AudioBuffer>} */
  async part(from, count, signal) {
    const length = Math.min(count, this.#frames - from);
    const { buffer, targets } = this.#room(length);
    const gaps = [];
    for (const span of this.#spans(from, length)) {
      const piece = this.#pieces.get(span.index) ?? (await this.#coming(span.index));
      signal.throwIfAborted();
      if (piece) copyFrames(piece, span.inside, span.count, targets, span.at);
      else if (gaps.at(-1)?.end === span.at) gaps.at(-1).end += span.count;
      else gaps.push({ at: span.at, end: span.at + span.count });
    }
    const either = AbortSignal.any([this.#signal, signal]);
    await Promise.all(gaps.map(async ({ at, end }) => copyFrames(await this.#load(from + at, end - at, either), 0, end - at, targets, at)));
    return buffer;
  }

  /** Loads these ranges, in this order, and drops all others. @param {{from: number, count: number}[]} ranges */
  want(ranges) {
    const wanted = new Set();
    for (const { from, count } of ranges) {
      const last = Math.min(from + count, this.#frames) - 1;
      for (let index = Math.floor(from / this.#size); index * this.#size <= last; index++) wanted.add(index);
    }
    this.#wanted = [...wanted];
    for (const index of this.#pieces.keys()) if (!wanted.has(index)) this.#pieces.delete(index);
    if (this.#loading && !wanted.has(this.#loading.index)) this.#loading.give.abort();
    this.#next();
  }

  #room(length) {
    const buffer = new AudioBuffer({ length, numberOfChannels: this.channels, sampleRate: this.#rate });
    return { buffer, targets: Array.from({ length: this.channels }, (_, channel) => buffer.getChannelData(channel)) };
  }

  /** The pieces that some frames lie in: `inside` the piece from this frame on, `at` this one of the frames. */
  *#spans(from, count) {
    for (let at = 0; at < count; ) {
      const index = Math.floor((from + at) / this.#size);
      const inside = from + at - index * this.#size;
      const part = Math.min(count - at, this.#size - inside);
      yield { index, inside, at, count: part };
      at += part;
    }
  }

  /** The piece if it is on its way; null: it is not, or it was given up. */
  async #coming(index) {
    return this.#loading?.index === index ? this.#loading.piece.catch(() => null) : null;
  }

  async #next() {
    const index = this.#wanted.find((one) => !this.#pieces.has(one));
    if (this.#loading || index === undefined || this.#signal.aborted) return;
    const give = new AbortController();
    const piece = this.#load(index * this.#size, this.#size, AbortSignal.any([this.#signal, give.signal]));
    this.#loading = { index, give, piece };
    try {
      const loaded = await piece;
      if (this.#wanted.includes(index)) this.#pieces.set(index, loaded);
    } catch (error) {
      if (error.name !== "AbortError") return this.#failed(error);
    } finally {
      this.#loading = null;
    }
    if (this.#signal.aborted) return;
    this.#next();
    this.arrived();
  }

  /** Tries again if the service does not answer. */
  async #load(from, count, signal) {
    for (const seconds of [...RETRY_SECONDS, null]) {
      try {
        return await this.#sound.piece(from, Math.min(count, this.#frames - from), signal);
      } catch (error) {
        if (seconds === null || error.code !== "unreachable") throw error;
        await pause(seconds, signal);
      }
    }
  }
}

/** Copies frames of a piece, from its frame `inside` on; missing ones are left as they are. */
function copyFrames({ buffer, first }, inside, count, targets, at) {
  const begin = first + inside;
  targets.forEach((target, channel) => target.set(buffer.getChannelData(channel).subarray(begin, begin + count), at));
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}
