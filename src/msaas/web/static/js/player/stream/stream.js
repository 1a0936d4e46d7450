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
  #sound; #frames; #size; #signal; #failed; #pieces = new Map(); #wanted = []; #loading = null;
  /** Called when there is more sound. */
  arrived = () => {};

  /**
   * @param {import("./sound.js").Sound | import("./sound.js").Resampled} sound at the rate of the song
   * @param {{rate: number, frames: number, signal: AbortSignal, failed: (error: Error) => void}} how `frames`: length of the song;
   *   `failed`: a piece could not be loaded, after several tries
   */
  constructor(sound, { rate, frames, signal, failed }) {
    this.#sound = sound;
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
    for (let done = 0; done < count; ) {
      const index = Math.floor((from + done) / this.#size);
      const { buffer, first } = this.#pieces.get(index);
      const inside = from + done - index * this.#size;
      const part = Math.min(count - done, this.#size - inside);
      targets.forEach((target, channel) => target.set(buffer.getChannelData(channel).subarray(first + inside, first + inside + part), at + done));
      done += part;
    }
  }

  /** Any part, of which nothing is kept. @param {number} from @param {number} count frames @param {AbortSignal} signal
   *  @returns {Promise<import("./sound.js").Piece>} */
  part(from, count, signal) {
    return this.#load(from, count, AbortSignal.any([this.#signal, signal]));
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

  async #next() {
    const index = this.#wanted.find((one) => !this.#pieces.has(one));
    if (this.#loading || index === undefined || this.#signal.aborted) return;
    const give = new AbortController();
    this.#loading = { index, give };
    try {
      const piece = await this.#load(index * this.#size, this.#size, AbortSignal.any([this.#signal, give.signal]));
      if (this.#wanted.includes(index)) this.#pieces.set(index, piece);
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

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}
