/** The songs sent from this browser, newest first: songhash, name, time and last known state. */

import { keep, load } from "./store.js";

const MOST = 200;

/** @typedef {{songhash: string, name: string, at: number, state: string}} Sent */

/** @returns {Sent[]} */
export function sent() {
  return load("songs", []);
}

export function nameOf(songhash) {
  return sent().find((song) => song.songhash === songhash)?.name ?? null;
}

/** A song sent again moves to the top. @param {Sent} song */
export function remember(song) {
  keep("songs", [song, ...sent().filter((other) => other.songhash !== song.songhash)].slice(0, MOST));
}

export function note(songhash, state) {
  const songs = sent();
  const song = songs.find((one) => one.songhash === songhash);
  if (!song || song.state === state) return;
  song.state = state;
  keep("songs", songs);
}

export function forget(songhash) {
  keep("songs", sent().filter((song) => song.songhash !== songhash));
}
