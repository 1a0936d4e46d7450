/** The key that this page sends: kept for this tab or in this browser, as chosen. Never part of a URL. */

const NAME = "msaas.apikey";
/** Without storage the key is kept in memory. */
let held = "";
/** The token of a link that shares a song, while that song is open; it takes the place of a key. */
let shared = "";
/** Counts the keys that were given and removed. */
let turn = 0;
const listeners = new Set();

export function key() {
  return shared || held || read("sessionStorage") || read("localStorage");
}

/** @param {string} text @param {boolean} remember in this browser; otherwise until this tab is closed */
export function keepKey(text, remember) {
  forgetKey();
  held = text;
  write(remember ? "localStorage" : "sessionStorage", text);
}

export function forgetKey() {
  turn += 1;
  held = "";
  for (const place of ["sessionStorage", "localStorage"]) write(place, "");
}

export const isRemembered = () => read("localStorage") !== "";

/** @param {string} token of a link; empty when its song is left */
export function useShare(token) {
  shared = token;
}

export const isShared = () => shared !== "";

/** The ID of the link that is open, which is no secret; empty: none. */
export const shareId = () => shared.split("_", 2).join("_");

/** Differs after each change of the key, also if the same one is given again. */
export const keyTurn = () => `${turn} ${key()}`;

/** @returns {Record<string, string>} the header, if there is a key */
export function authorization() {
  const text = key();
  return text ? { Authorization: `Bearer ${text}` } : {};
}

/** @param {(problem: any) => void} listener called when a call needs a key, or another one */
export function onKeyWanted(listener) {
  listeners.add(listener);
}

export function keyWanted(problem) {
  for (const listener of listeners) listener(problem);
}

function read(place) {
  try {
    return window[place].getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

function write(place, text) {
  try {
    if (text) window[place].setItem(NAME, text);
    else window[place].removeItem(NAME);
  } catch {
    // full, or forbidden
  }
}
