/**
 * A song's mix as a short text: kept in this browser, and part of a shared address.
 *
 * `mix=vocals:-6:-30:m,drums:0:0:s&loop=12.5-20&tempo=75&pitch=-2&order=bass,drums`: name, decibels, pan in percent, and m (muted) or s
 * (soloed) of each lane that is not neutral; the loop in seconds; tempo in percent, pitch in semitones; the first
 * lanes. Texts from
 * addresses are not trusted: what is unknown or out of range is left out.
 */

import { LOUDEST_DB, SILENT_DB } from "./levels.js";
import { PITCH, TEMPO, bounded } from "./tempo/ranges.js";

const PREFIX = "msaas.mix.";
const MOST = 200; // songs
const NUMBER = "-?\\d{1,5}(?:\\.\\d{1,5})?";
const LANE = new RegExp(`^(${NUMBER}):(${NUMBER}):(m?s?)$`);
const OTHERS = new RegExp(`(?:^|&)(?:tempo|pitch)=${NUMBER}(?:&|$)`);
const LOOP = new RegExp(`(?:^|&)loop=(${NUMBER})-(${NUMBER})(?:&|$)`);

/** @param {import("./mixer.js").Mixer} mixer @returns {string} empty if all is neutral */
export function textOf({ stems, names, loop, rate, speed, semitones }) {
  const lanes = stems.map(({ name, level }) => [name, laneText(level)]).filter(([, text]) => text !== "0:0:");
  const parts = lanes.length ? [`mix=${lanes.map(([name, text]) => `${encodeURIComponent(name)}:${text}`).join(",")}`] : [];
  if (loop) parts.push(`loop=${short(loop.start / rate, 5)}-${short(loop.end / rate, 5)}`);
  if (speed !== 1) parts.push(`tempo=${short(100 * speed, TEMPO.digits)}`);
  if (semitones) parts.push(`pitch=${short(semitones, PITCH.digits)}`);
  const order = stems.map(({ name }) => name);
  if (order.join() !== names.join()) parts.push(`order=${order.map(encodeURIComponent).join(",")}`);
  return parts.join("&");
}

/** Sets the mixer to a text, and all that it does not name to neutral. @param {import("./mixer.js").Mixer} mixer @param {string} text */
export function apply(mixer, text) {
  const lanes = lanesOf(text);
  for (const { name } of mixer.stems) mixer.setLevel(name, lanes.get(name) ?? levelOf(0, 0, ""));
  mixer.setLoop(loopOf(text, mixer.frames / mixer.rate));
  mixer.setOrder(orderOf(text));
  mixer.stretch({ speed: numberOf("tempo", text, TEMPO) / 100, semitones: numberOf("pitch", text, PITCH) });
}

/** Whether an address has a mix. @param {string} text */
export const hasMix = (text) => lanesOf(text).size > 0 || LOOP.test(text) || OTHERS.test(text) || orderOf(text).length > 0;

// --- kept in this browser

/** @returns {string} */
export function kept(songhash) {
  return read(PREFIX + songhash)?.mix ?? "";
}

/** @param {string} songhash @param {string} text empty: nothing is kept */
export function keepMix(songhash, text) {
  if (text === kept(songhash)) return;
  try {
    if (!text) return localStorage.removeItem(PREFIX + songhash);
    localStorage.setItem(PREFIX + songhash, JSON.stringify({ mix: text, at: Date.now() }));
    prune();
  } catch {
    // full, or forbidden
  }
}

function prune() {
  const names = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
  if (names.length <= MOST) return;
  const oldest = names.sort((a, b) => (read(b)?.at ?? 0) - (read(a)?.at ?? 0)).slice(MOST);
  for (const name of oldest) localStorage.removeItem(name);
}

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

// --- the text

function laneText({ db, pan, muted, soloed }) {
  return `${short(db, 1)}:${Math.round(pan * 100)}:${muted ? "m" : ""}${soloed ? "s" : ""}`;
}

const short = (number, digits) => Number(number.toFixed(digits));
const within = (number, least, most) => Math.min(most, Math.max(least, number));

/** @returns {Map<string, import("./levels.js").Level>} */
function lanesOf(text) {
  const lanes = new Map();
  for (const lane of (/(?:^|&)mix=([^&]*)/.exec(text)?.[1] ?? "").split(",")) {
    const [name, ...rest] = lane.split(":");
    const found = LANE.exec(rest.join(":"));
    if (found) lanes.set(decoded(name), levelOf(Number(found[1]), Number(found[2]), found[3]));
  }
  return lanes;
}

function levelOf(db, percent, flags) {
  const pan = within(percent, -100, 100) / 100;
  return { db: within(db, SILENT_DB, LOUDEST_DB), pan, muted: flags.includes("m"), soloed: flags.includes("s") };
}

/** @param {number} length of the song in seconds */
function loopOf(text, length) {
  const [start, end] = (LOOP.exec(text) ?? []).slice(1).map(Number);
  return start >= 0 && end > start && start < length ? { start, end: Math.min(end, length) } : null;
}

/** @returns {string[]} names, maybe unknown ones */
function orderOf(text) {
  const found = /(?:^|&)order=([^&]+)/.exec(text)?.[1];
  return found ? found.split(",").map(decoded) : [];
}

/** @param {string} name @param {string} text @param {import("./tempo/ranges.js").Range} range */
function numberOf(name, text, range) {
  const found = new RegExp(`(?:^|&)${name}=(${NUMBER})(?:&|$)`).exec(text);
  return found ? bounded(Number(found[1]), range) : range.neutral;
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // no stem has such a name
  }
}
