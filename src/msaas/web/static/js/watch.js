/** Follows a job by server-sent events; asks every two seconds where those do not come through. */

import { Problem, eventsPath, getJob } from "./api.js";

const POLL_MS = 2000;
const ENDED = new Set(["done", "failed", "cancelled"]);

export const hasEnded = (job) => ENDED.has(job.state);

export class Watch {
  #songhash; #told; #source = null; #timer = 0; #over = false;

  /**
   * @param {string} songhash
   * @param {{job: (job: any) => void, gone: () => void, link: (up: boolean) => void}} told
   *   `link` says whether the server is within reach
   */
  constructor(songhash, told) {
    this.#songhash = songhash;
    this.#told = told;
    this.#listen();
  }

  stop() {
    this.#over = true;
    this.#source?.close();
    clearTimeout(this.#timer);
  }

  #listen() {
    const source = (this.#source = new EventSource(eventsPath(this.#songhash)));
    source.addEventListener("job", (event) => this.#hear(JSON.parse(event.data)));
    source.addEventListener("gone", () => this.#end(this.#told.gone));
    source.onerror = () => this.#falter();
  }

  /** The browser connects again by itself; meanwhile, and where it has given up, plain calls go on. */
  #falter() {
    if (this.#over) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), this.#source.readyState === EventSource.CLOSED ? 0 : POLL_MS);
  }

  async #ask() {
    try {
      this.#hear(await getJob(this.#songhash));
    } catch (error) {
      if (this.#over) return;
      if (error instanceof Problem && error.status === 404) return this.#end(this.#told.gone);
      this.#told.link(false);
    }
    if (this.#over) return;
    if (this.#source.readyState === EventSource.CLOSED) this.#timer = setTimeout(() => this.#retry(), POLL_MS);
    else if (this.#source.readyState === EventSource.CONNECTING) this.#timer = setTimeout(() => this.#ask(), POLL_MS);
  }

  #retry() {
    this.#source.close();
    this.#listen();
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
