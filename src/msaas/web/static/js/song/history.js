/** The songs sent from this browser, newest first: songhash, name, time and last known state. */

import { keep, load } from "../common/store.js";

const MOST = 200;
const MOST_HIDDEN = 1000;

/** `savedAs`: the name in the links of this post, which names saved files.
 *  `fields`: the options it was sent with; `facts`: its length, model and format as text.
 * @typedef {{songhash: string, name: string, savedAs?: string | null, at: number, state: string,
 *   fields?: Record<string, string>, facts?: string}} Sent */

/** @returns {Sent[]} */
export function sent() {
  return load("songs", []);
}

/** @returns {Sent | undefined} */
export function sentAs(songhash) {
  return sent().find((song) => song.songhash === songhash);
}

/** A song sent again moves to the top. @param {Sent} song */
export function remember(song) {
  unhide([song.songhash]);
  keep("songs", [song, ...sent().filter((other) => other.songhash !== song.songhash)].slice(0, MOST));
}

/** @param {string} [facts] */
export function note(songhash, state, facts) {
  const songs = sent();
  const song = songs.find((one) => one.songhash === songhash);
  if (!song || (song.state === state && (facts ?? song.facts) === song.facts)) return;
  Object.assign(song, { state, facts: facts ?? song.facts });
  keep("songs", songs);
}

/** Removes the entry, and hides the song if the service lists it. */
export function forget(songhash) {
  keep("songs", sent().filter((song) => song.songhash !== songhash));
  keep("hidden", [songhash, ...hidden().filter((other) => other !== songhash)].slice(0, MOST_HIDDEN));
}

/** Songs that are not shown, although the service may list them. @returns {string[]} songhashes */
export function hidden() {
  return load("hidden", []);
}

/** @param {string[]} songhashes */
export function unhide(songhashes) {
  keep("hidden", hidden().filter((songhash) => !songhashes.includes(songhash)));
}

/** Puts the entries of forgotten songs back to their places. @param {Sent[]} songs */
export function restore(songs) {
  keep("songs", [...songs, ...sent()].sort((a, b) => b.at - a.at).slice(0, MOST));
}
