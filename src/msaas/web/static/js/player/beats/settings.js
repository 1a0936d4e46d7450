/** What a user has set about a song's beats, kept in this browser for the last songs. */

import { keep, load } from "../../common/store.js";

const MOST = 200; // songs

/** @typedef {{bpm?: number, one?: number}} Own beats a minute, seconds of a bar's first beat */

/** @param {string} songhash @returns {Own} */
export function ownBeats(songhash) {
  return load("beats", []).find(([song]) => song === songhash)?.[1] ?? {};
}

/** @param {string} songhash @param {Own} own empty: as measured */
export function keepBeats(songhash, own) {
  const others = load("beats", []).filter(([song]) => song !== songhash);
  keep("beats", Object.keys(own).length ? [[songhash, own], ...others].slice(0, MOST) : others);
}
