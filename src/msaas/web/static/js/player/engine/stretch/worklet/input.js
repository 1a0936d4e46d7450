/** The sound that a stretcher plays: windows one after the other, of some channels each. Pure. */

export class Input {
  #windows = []; #end = 0;

  /** @param {Float32Array[] | null} before what comes before frame 0 */
  constructor(before) {
    if (before) this.#windows.push({ start: -before[0].length, end: 0, channels: before });
  }

  /** @param {Float32Array[]} channels */
  add(channels) {
    const start = this.#end;
    this.#end += channels[0].length;
    this.#windows.push({ start, end: this.#end, channels });
  }

  /** Copies frames from `from` on; where there are none, silence. @param {Float32Array[]} targets one a channel */
  copy(targets, from, count) {
    for (const target of targets) target.fill(0, 0, count);
    for (const { start, end, channels } of this.#windows) {
      const first = Math.max(from, start);
      const last = Math.min(from + count, end);
      if (first >= last) continue;
      targets.forEach((target, channel) => target.set(channels[channel].subarray(first - start, last - start), first - from));
    }
  }

  /** Drops a window that ends before this frame. @returns {Float32Array[] | null} it; null: there is none */
  drop(frame) {
    if (this.#windows[0]?.start < 0 && this.#windows[0].end < frame) this.#windows.shift(); // nobody waits for it
    return this.#windows[0]?.end <= frame ? this.#windows.shift().channels : null;
  }
}
