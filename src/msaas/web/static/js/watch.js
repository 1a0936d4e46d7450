/** Follows a job by server-sent events; asks every two seconds where those do not come through. */

import { Problem, eventsPath, getJob } from "./api.js";
import { eventsOf } from "./events.js";

const POLL_MS = 2000;
const ENDED = new Set(["done", "failed", "cancelled"]);

export const hasEnded = (job) => ENDED.has(job.state);

export class Watch {
  #songhash; #told; #stream = null; #timer = 0; #over = false;

  /**
   * @param {string} songhash
   * @param {{job: (job: any) => void, gone: () => void, refused: () => void, link: (up: boolean) => void}} told
   *   `refused`: for want of a key; `link` says whether the server is within reach
   */
  constructor(songhash, told) {
    this.#songhash = songhash;
    this.#told = told;
    this.#listen();
  }

  stop() {
    this.#over = true;
    this.#stream?.abort();
    clearTimeout(this.#timer);
  }

  async #listen() {
    this.#stream = new AbortController();
    try {
      for await (const { type, data } of eventsOf(eventsPath(this.#songhash), this.#stream.signal)) {
        if (type === "gone") return this.#end(this.#told.gone);
        if (type === "job") this.#hear(JSON.parse(data));
        if (this.#over) return;
      }
    } catch {
      // whatever it was, asking tells
    }
    this.#ask();
  }

  /** The stream is opened again two seconds later; where none comes through, this is asked every two seconds. */
  async #ask() {
    if (this.#over) return;
    try {
      this.#hear(await getJob(this.#songhash));
    } catch (error) {
      if (this.#over) return;
      if (error instanceof Problem && error.status === 404) return this.#end(this.#told.gone);
      if (error instanceof Problem && error.status === 401) return this.#end(this.#told.refused); // until there is a key
      this.#told.link(false);
    }
    if (!this.#over) this.#timer = setTimeout(() => this.#listen(), POLL_MS);
  }

  #hear(job) {
    if (this.#over) return;
    clearTimeout(this.#timer);
    this.#told.link(true);
    if (hasEnded(job)) this.stop();
    this.#told.job(job);
  }

  #end(tell) {
    if (this.#over) return;
    this.stop();
    tell();
  }
}
