/** The caller's songs on the service: pages of `GET /apiv1/jobs`, all of them or those of a search. */

import { factsOf } from "../common/words.js";
import { key } from "../service/access.js";
import { listJobs } from "../service/api.js";
import { isRemoved } from "../service/watch.js";
import { note } from "../song/history.js";

const PAGE = 50;
const LARGEST_PAGE = 200; // the service's limit
const LONGEST_SEARCH = 200; // characters
const SHOWN = new Set(["queued", "running", "done"]);

/** `job`: the service's view of it.
 *  @typedef {import("../song/history.js").Sent & {job: any}} Listed */

export class Library {
  #jobs = new Map(); #text = ""; #next = null; #call = 0; #answered = 0; #problem = null; #key = "";

  /** Songs that can be heard, now or later; those that had failed or were cancelled are left out. @returns {Listed[]} */
  get songs() {
    return [...this.#jobs.values()].map(entryOf);
  }

  /** What is searched for; empty: all songs are listed. */
  get text() {
    return this.#text;
  }

  get hasMore() {
    return this.#next !== null;
  }

  /** Whether the service was asked and has not answered yet. */
  get asking() {
    return this.#call !== this.#answered;
  }

  /** Why the list could not be read; null if it was, or was not asked for yet. */
  get problem() {
    return this.#problem;
  }

  /** Reads the songs that were read before anew. */
  reload() {
    return this.#read(Math.min(Math.max(this.#jobs.size, PAGE), LARGEST_PAGE));
  }

  /** @param {string} text to be in the name or tags of the songs; empty for all songs */
  search(text) {
    this.#text = text.trim().slice(0, LONGEST_SEARCH);
    return this.#read(PAGE);
  }

  /** Reads the next page. */
  more() {
    return this.#read(PAGE, this.#next);
  }

  /** A newer view of a listed song; null: the service does not have it any more. @param {any} job */
  update(songhash, job) {
    const known = this.#jobs.get(songhash);
    if (known) this.#jobs.set(songhash, job ?? { ...known, state: "gone" });
  }

  /** The answer to an earlier call is ignored. If the service fails, what was read with this key stays.
   *  @param {string | null} [before] the page to add; without: the first one */
  async #read(limit, before) {
    const call = ++this.#call;
    if (this.#key !== key()) this.#clear();
    try {
      const { jobs, next } = await listJobs({ limit, before, q: this.#text });
      if (call === this.#call) this.#take(jobs, next, Boolean(before));
    } catch (problem) {
      if (call === this.#call) this.#fail(problem);
    }
  }

  #fail(problem) {
    this.#answered = this.#call;
    this.#problem = problem;
    if (problem.status >= 400 && problem.status < 500) this.#clear();
  }

  #take(jobs, next, more) {
    if (!more) this.#clear();
    for (const job of jobs) {
      if (SHOWN.has(job.state)) this.#jobs.set(job.songhash, job);
      if (isRemoved(job)) note(job.songhash, "removed");
    }
    this.#next = next;
    this.#answered = this.#call;
    this.#problem = null;
  }

  #clear() {
    this.#key = key();
    this.#jobs.clear();
    this.#next = null;
  }
}

/** @returns {Listed} */
function entryOf(job) {
  const name = job.name?.replaceAll("_", " ") ?? `Song ${job.songhash.slice(0, 8)}`;
  const state = isRemoved(job) ? "removed" : job.state;
  return { songhash: job.songhash, name, at: Date.parse(job.created_at) || 0, state, facts: factsOf(job), job };
}

/** One list, newest first: of a song that both have, the browser's entry.
 *  @param {import("../song/history.js").Sent[]} own @param {Listed[]} listed */
export function merged(own, listed) {
  const known = new Set(own.map(({ songhash }) => songhash));
  return [...own, ...listed.filter(({ songhash }) => !known.has(songhash))].sort((a, b) => b.at - a.at);
}
