/** Sends songs one after the other. More can be added on the way, and all can be stopped. Shows nothing itself. */

import { upload } from "../service/upload.js";

/** @typedef {{file: File, fields: Record<string, string>}} Item a song and the options that it is sent with
 *  @typedef {{item: Item, problem: any}} Refusal `problem` is null if the upload was stopped
 *  @typedef {{sent: number, refused: Refusal[], stopped: Item[]}} Outcome */

export class Sender {
  /** @type {Item[]} */ #queue = [];
  /** @type {AbortController | null} */ #stop = null;
  #total = 0; #listener;

  /**
   * @param {{begun: (item: Item, number: number, total: number) => void, progressed: (item: Item, fraction: number) => void,
   *   arrived: (item: Item, answer: any) => void, refused: (item: Item) => void, finished: (outcome: Outcome) => void}} listener
   *   `refused`: also when stopped
   */
  constructor(listener) {
    this.#listener = listener;
  }

  get busy() {
    return this.#total > 0;
  }

  /** @param {Item[]} items */
  add(items) {
    const idle = !this.busy;
    this.#queue.push(...items);
    this.#total += items.length;
    if (idle) this.#run();
  }

  /** Ends the current upload and sends no other one. */
  stop() {
    this.#stop?.abort();
  }

  async #run() {
    const outcome = { sent: 0, refused: [], stopped: [] };
    this.#stop = new AbortController();
    let number = 0;
    for (let item; (item = this.#queue.shift()); ) {
      this.#listener.begun(item, ++number, this.#total);
      await this.#one(item, outcome);
      if (this.#stop.signal.aborted) outcome.stopped.push(...this.#queue.splice(0));
    }
    this.#total = 0;
    this.#listener.finished(outcome);
  }

  async #one(item, outcome) {
    const onProgress = (fraction) => this.#listener.progressed(item, fraction);
    try {
      const answer = await upload(item.file, item.fields, { onProgress, signal: this.#stop.signal });
      outcome.sent += 1;
      this.#listener.arrived(item, answer);
    } catch (error) {
      if (error.name === "AbortError") outcome.stopped.push(item);
      else outcome.refused.push({ item, problem: error });
      this.#listener.refused(item);
    }
  }
}
