/**
 * A song's mix as a short text: kept in this browser, and part of a shared address.
 *
 * `mix=vocals:-6:-30:m,drums:0:0:s&loop=12.5-20&tempo=75&pitch=-2&order=bass,drums`: name, decibels, pan in percent, and m
 * (muted) or s (soloed) of each lane that is not neutral; the loop in seconds; tempo in percent, pitch in semitones; the
 * first lanes. Texts from addresses are not trusted: what is unknown is left out, and what is out of range is limited.
 */

import { LOUDEST_DB, SILENT_DB } from "./levels.js";
import { PITCH, TEMPO, bounded } from "./tempo/ranges.js";

const PREFIX = "msaas.mix.";
const LINK_PREFIX = "msaas.linkmix.";
const MOST = 200; // of each kind
const LONGEST = 2000; // characters
const NUMBER = "-?\\d{1,5}(?:\\.\\d{1,5})?";
const LANE = new RegExp(`^(${NUMBER}):(${NUMBER}):(m?s?)$`);
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

/** How much of a text this song's mixer can take. @param {import("./mixer.js").Mixer} mixer @param {string} text
 *  @returns {"all" | "some" | "none"} */
export function fit({ names, frames, rate }, text) {
  if (text.length > LONGEST) return "none";
  const found = text.split("&").flatMap((part) => (part.startsWith("mix=") ? part.slice(4).split(",").map((lane) => laneFit(lane, names)) : partFit(part, names, frames / rate)));
  if (found.every((one) => one === "all")) return "all";
  return found.every((one) => one === "none") ? "none" : "some";
}

// --- kept in this browser: one's own mixes, and those of links as they were changed here

const placeOf = (songhash, link) => (link ? `${LINK_PREFIX}${songhash}?${link}` : PREFIX + songhash);

/** @param {string} songhash @param {string} [link] by which the song was opened @returns {string | null} null: nothing is kept */
export function kept(songhash, link = "") {
  return read(placeOf(songhash, link))?.mix ?? null;
}

/** @param {string} songhash @param {string | null} text null: nothing is kept @param {string} [link] */
export function keepMix(songhash, text, link = "") {
  if (text === kept(songhash, link)) return;
  const place = placeOf(songhash, link);
  try {
    if (text === null) return localStorage.removeItem(place);
    localStorage.setItem(place, JSON.stringify({ mix: text, at: Date.now() }));
    prune(link ? LINK_PREFIX : PREFIX);
  } catch {
    // full, or forbidden
  }
}

/** Forgets a song's mixes. @param {string} songhash */
export function dropMixes(songhash) {
  keepMix(songhash, null);
  for (const name of namesOf(`${LINK_PREFIX}${songhash}?`)) localStorage.removeItem(name);
}

function namesOf(prefix) {
  try {
    return Object.keys(localStorage).filter((name) => name.startsWith(prefix));
  } catch {
    return []; // forbidden
  }
}

function prune(prefix) {
  const names = namesOf(prefix);
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

/** @param {string} text of a lane @param {string[]} names */
function laneFit(text, names) {
  const [, name, db, percent] = new RegExp(`^([^:]+):${LANE.source.slice(1)}`).exec(text) ?? [];
  if (!names.includes(decoded(name ?? ""))) return "none";
  const isWithin = within(Number(db), SILENT_DB, LOUDEST_DB) === Number(db) && Math.abs(Number(percent)) <= 100;
  return isWithin ? "all" : "some";
}

/** @param {string} part of a text, other than its lanes @param {string[]} names @param {number} length seconds */
function partFit(part, names, length) {
  const loop = loopOf(part, length);
  if (loop) return Number(part.split("-").at(-1)) <= length + 1e-4 ? "all" : "some"; // five decimals are written
  const order = orderOf(part).map((name) => names.includes(name));
  if (order.includes(true)) return order.includes(false) ? "some" : "all";
  const [, name, value] = new RegExp(`^(tempo|pitch)=(${NUMBER})$`).exec(part) ?? [];
  if (!name) return "none";
  const { least, most } = name === "tempo" ? TEMPO : PITCH;
  return within(Number(value), least, most) === Number(value) ? "all" : "some";
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
