/** The HTTP calls of this page: the public API. Independent of the page's elements. */

import { authorization, isShared, keyTurn, keyWanted } from "./access.js";

/** An error answer, with its `code`. */
export class Problem extends Error {
  constructor({ code = "internal_error", detail = "", status = 0 }) {
    super(detail || code);
    Object.assign(this, { code, detail, status });
  }

  /** @param {number} status @param {string} text the body, normally problem+json */
  static fromText(status, text) {
    try {
      return new Problem({ ...JSON.parse(text), status });
    } catch {
      return new Problem({ code: "internal_error", status });
    }
  }
}

/** Reads an error answer; calls the key listener if a key is missing or wrong. */
export function refusal(status, text) {
  const problem = Problem.fromText(status, text);
  if (status === 401 && !isShared()) keyWanted(problem);
  return problem;
}

/** The first call with a key, which finds out whether the service takes it: null, or the Problem that all others meet, too. */
let first = { turn: "", refusal: /** @type {Promise<Problem | null>} */ (Promise.resolve(null)) };

/** Waits for the first call with this page's key, or without one. Rejects with the Problem if the service has refused it. */
export async function checkKey() {
  const known = first.turn === keyTurn() ? await first.refusal : null;
  if (known) throw known;
}

/** fetch with this page's key. A key that was refused, or its lack, is not sent again.
 *  @returns {Promise<Response>} rejects with a Problem, or an AbortError */
export async function ask(path, options) {
  const turn = keyTurn();
  if (first.turn === turn) await checkKey(); // the first call does not wait: those that begin beside it have to find it
  const answer = send(path, options);
  const refusal = answer.then(() => null, (problem) => (problem.status === 401 ? problem : null));
  if (first.turn !== turn) first = { turn, refusal };
  else refusal.then((problem) => problem && first.turn === turn && Object.assign(first, { refusal }));
  return answer;
}

async function send(path, { headers = {}, ...options } = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...headers, ...authorization() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "unreachable" });
  }
  if (!answer.ok) throw refusal(answer.status, await answer.text());
  return answer;
}

/** A body's chunks; not all browsers can iterate over streams. */
export async function* piecesOf(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // a caller that stops reading ends the download
  }
}

const call = async (method, path) => (await ask(path, { method })).json();

const jobPath = (songhash) => `/apiv1/jobs/${encodeURIComponent(songhash)}`;

export const getModels = () => call("GET", "/apiv1/models");
export const getJob = (songhash) => call("GET", jobPath(songhash));
/** One page of the caller's songs. Empty values are left out. @param {Record<string, any>} query */
export const listJobs = (query) => call("GET", `/apiv1/jobs?${new URLSearchParams(Object.entries(query).filter(([, value]) => value))}`);
export const cancelJob = (songhash) => call("DELETE", jobPath(songhash));
/** @param {string} search the query of the link that was clicked, which may give the song a name */
export const getLinks = (songhash, search = "") => call("GET", `${jobPath(songhash)}/links${search}`);
export const getWaveforms = (songhash) => call("GET", `${jobPath(songhash)}/waveforms`);
/** Of a part of the song, in finer intervals. @param {number} start @param {number} end seconds */
export const getWaveformsPart = (songhash, start, end) => call("GET", `${jobPath(songhash)}/waveforms?${new URLSearchParams({ start, end })}`);
export const eventsPath = (songhash) => `${jobPath(songhash)}/events`;
export const zipPath = (songhash) => `${jobPath(songhash)}/stems.zip`;

async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

/** Queues a mix; the answer is its job. @param {any} mix as the API takes it */
export const mixStems = (songhash, mix) => post(`${jobPath(songhash)}/mix`, mix);

/** Makes a link that opens a song without a key. @param {string} mix as text */
export const shareSong = (songhash, mix) => post(`${jobPath(songhash)}/shares`, { mix });
/** The links that open a song, without their tokens. */
export const getShares = (songhash) => call("GET", `${jobPath(songhash)}/shares`);
/** @returns {Promise<{shares: any[]}>} the links that are left */
export const revokeShare = (songhash, id) => call("DELETE", `${jobPath(songhash)}/shares/${id}`);
/** What the link shares whose token this page uses. */
export const getShared = () => call("GET", "/apiv1/share");

/** The link under which a file is saved with the song's name. @param {string} path @param {string | null | undefined} name */
export const named = (path, name) => (name ? `${path}?${new URLSearchParams({ name })}` : path);

/** Deletes a job's stems; a missing one is not an error. */
export async function removeStems(job) {
  for (const stem of Object.keys(job.stems)) {
    await call("DELETE", `/apiv1/remove/${job.songhash}-${stem}`).catch((problem) => {
      if (problem.status !== 404) throw problem;
    });
  }
}
