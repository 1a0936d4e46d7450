/** One run of playback: from a start to the next seek, loop change or pause. Pure arithmetic on frames. */

/** @typedef {{start: number, end: number}} Loop frames */

export class Run {
  /**
   * @param {{when: number, offset: number, loop: Loop | null, frames: number}} plan
   *   `when`: the context's frame at which `offset`, a frame of the song, is played; `frames`: length of the song
   */
  constructor({ when, offset, loop, frames }) {
    Object.assign(this, { when, offset, loop, frames });
    Object.freeze(this);
  }

  /** Frames from the start to the end of the song; a loop has no end. */
  get length() {
    return this.loop ? Infinity : this.frames - this.offset;
  }

  /** The song's frame after `played` frames of this run. */
  frameAfter(played) {
    const frame = this.offset + Math.max(0, played);
    if (!this.loop || frame < this.loop.end) return Math.min(frame, this.frames);
    return this.loop.start + ((frame - this.loop.start) % (this.loop.end - this.loop.start));
  }

  /**
   * The pieces of the song that `count` frames consist of, from `played` on; a loop is unrolled.
   * @returns {{from: number, count: number}[]}
   */
  pieces(played, count) {
    const pieces = [];
    const end = Math.min(played + count, this.length);
    for (let at = played; at < end; at += pieces.at(-1).count) {
      const from = this.frameAfter(at);
      pieces.push({ from, count: Math.min(end - at, (this.loop?.end ?? this.frames) - from) });
    }
    return pieces;
  }
}

/**
 * Whether the time of a frame stands for exactly this frame: browsers multiply it by the rate, and interpolate between
 * samples if the product has a fraction, however small. One frame in seven has no such time.
 */
export const isExact = (frame, rate) => (frame / rate) * rate === frame;

/** The next frame from this one on that has an exact time. */
export function nextExact(frame, rate) {
  while (!isExact(frame, rate)) frame += 1;
  return frame;
}
