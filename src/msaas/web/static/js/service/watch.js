/** Follows a job by server-sent events; polls every two seconds if they do not get through. */

import { Problem, eventsPath, getJob } from "./api.js";
import { eventsOf } from "./events.js";

const POLL_MS = 2000;
const ENDED = new Set(["done", "failed", "cancelled"]);

export const hasEnded = (job) => ENDED.has(job.state);

/** Whether a job is done, but none of its stems is stored any more. */
export const isRemoved = (job) => job.removed?.length > 0 && Object.keys(job.stems).every((stem) => job.removed.includes(stem));

export class Watch {
  #songhash; #listeners; #stream = null; #timer = 0; #over = false;

  /**
   * @param {string} songhash
   * @param {{job: (job: any) => void, gone: () => void, refused: () => void, link: (problem: any) => void}} listeners
   *   `refused`: the key is missing; `link`: null if the service answers, else why it does not
   */
  constructor(songhash, listeners) {
    this.#songhash = songhash;
    this.#listeners = listeners;
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
        if (type === "gone") return this.#end(this.#listeners.gone);
        if (type === "job") this.#hear(JSON.parse(data));
        if (this.#over) return;
      }
    } catch {
      // a poll finds out what happened
    }
    this.#ask();
  }

  /** Reopens the stream after two seconds; if none gets through, polls every two seconds. */
  async #ask() {
    if (this.#over) return;
    try {
      this.#hear(await getJob(this.#songhash));
    } catch (error) {
      if (this.#over) return;
      if (error instanceof Problem && error.status === 404) return this.#end(this.#listeners.gone);
      if (error instanceof Problem && error.status === 401) return this.#end(this.#listeners.refused); // until there is a key
      this.#listeners.link(error);
    }
    if (!this.#over) this.#timer = setTimeout(() => this.#listen(), POLL_MS);
  }

  #hear(job) {
    if (this.#over) return;
    clearTimeout(this.#timer);
    this.#listeners.link(null);
    if (hasEnded(job)) this.stop();
    this.#listeners.job(job);
  }

  #end(tell) {
    if (this.#over) return;
    this.stop();
    tell();
  }
}
