/** One run of playback: from a start to the next seek, loop change or pause. Pure arithmetic on frames. */

/** @typedef {{start: number, end: number}} Loop frames
 *  @typedef {{when: number, played: number, speed: number}} Pace from the context's frame `when` on, at which `played` frames
 *    of the run have been played, `speed` frames of the song are played a frame */

const MOST_PACES = 16;

export class Run {
  /**
   * @param {{when: number, offset: number, loop: Loop | null, frames: number, speed?: number, semitones?: number}} plan
   *   `when`: the context's frame at which `offset`, a frame of the song, is played; `frames`: length of the song
   * @param {Pace[]} [paces] the current one last; some may begin soon
   */
  constructor({ when, offset, loop, frames, speed = 1, semitones = 0 }, paces = [{ when, played: 0, speed }]) {
    Object.assign(this, { when, offset, loop, frames, speed, semitones, paces });
    Object.freeze(this);
  }

  /** Whether the sound is another one than the recorded. */
  get isStretched() {
    return this.speed !== 1 || this.semitones !== 0;
  }

  /** The same run, with another speed and pitch from a frame of the context on. @returns {Run} */
  changed({ when, speed, semitones }) {
    const pace = { when, played: this.playedAt(when), speed };
    return new Run({ ...this, speed, semitones }, [...this.paces, pace].slice(-MOST_PACES));
  }

  /** Frames of the song, negative before the start, that have been played at a frame of the context; may have a fraction. */
  playedAt(frame) {
    const { when, played, speed } = this.paces.findLast((pace) => pace.when <= frame) ?? this.paces[0];
    return played + (frame - when) * speed;
  }

  /** The frame of the context, maybe with a fraction, at which so many frames have been played. */
  dueAt(played) {
    const pace = this.paces.at(-1);
    return pace.when + (played - pace.played) / pace.speed;
  }

  /** Frames from the start to the end of the song; a loop has no end. */
  get length() {
    return this.loop ? Infinity : this.frames - this.offset;
  }

  /** The song's frame after `played` frames of this run. */
  frameAfter(played) {
    const frame = this.offset + Math.max(0, Math.round(played));
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
