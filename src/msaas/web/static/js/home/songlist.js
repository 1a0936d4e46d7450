/** The list of songs: sent from this browser, and others on the service. Searched, selected, deleted. States of unfinished
 *  ones are followed. */

import { copyOf, find, show, write } from "../common/dom.js";
import { factsOf, folded, momentOf, plainly, plural, stageOf } from "../common/words.js";
import { Problem, getJob } from "../service/api.js";
import { askDelete } from "../song/deleting.js";
import { hidden, note, sent, unhide } from "../song/history.js";
import { Library, merged } from "./library.js";

const ASK_AGAIN_MS = 3000;
const SEARCH_AFTER_MS = 300;
const MAX_ASKED = 20;
const OPEN_STATES = new Set(["queued", "running", "sending"]);
const PAST = { gone: "No longer on the server", removed: "Stems deleted", failed: "Failed", cancelled: "Cancelled", done: "" };
const NOTES = { own: "Kept in this browser only.", both: "Sent from this browser, and others on the service.", down: "Sent from this browser. The service's list cannot be read at the moment." };
const NO_LIST = new Set([401, 403, 404, 405]); // no key, or an older service
/** What keeps the focus when the rows are built anew. */
const FOCUSABLE = [".song-link", ".pick-song input", ".forget"];

export class SongList {
  #timer = 0; #typing = 0; #live = new Map(); #root = find("#history"); #rows = find("#history .songs");
  #library = new Library();
  #songs = []; // as shown, before the search of this browser
  /** @type {Set<string>} songhashes */ #chosen = new Set();

  constructor() {
    find("#search").addEventListener("input", () => this.#search());
    find("#choose-all").addEventListener("click", () => this.#chooseAll());
    find("#delete-chosen").addEventListener("click", () => this.#delete(this.#songs.filter(({ songhash }) => this.#chosen.has(songhash))));
    find("#more-songs").addEventListener("click", () => this.#more());
    find("#show-hidden").addEventListener("click", () => this.#showHidden());
  }

  enter() {
    this.list();
    this.#ask();
    this.#reload();
  }

  leave() {
    clearTimeout(this.#timer);
    clearTimeout(this.#typing);
  }

  /** Builds the rows anew. The focus stays in its row, or goes to the next one. */
  list() {
    this.#songs = this.#merged();
    const focus = this.#focused();
    const there = new Set(this.#songs.map(({ songhash }) => songhash));
    this.#chosen = new Set([...this.#chosen].filter((songhash) => there.has(songhash)));
    this.#rows.replaceChildren(...this.#songs.map((song) => this.#row(song)));
    this.#showFoot();
    this.#filter();
    if (focus) this.#focus(focus);
  }

  #merged() {
    const left = new Set(hidden());
    return merged(sent(), this.#library.songs.filter(({ songhash }) => !left.has(songhash)));
  }

  #focused() {
    const rows = [...this.#rows.children];
    const index = rows.findIndex((row) => row.contains(document.activeElement));
    if (index < 0) return null;
    const place = FOCUSABLE.find((selector) => document.activeElement.matches(selector)) ?? ".forget";
    return { index, songhash: rows[index].dataset.songhash, place };
  }

  #focus({ index, songhash, place }) {
    const rows = this.#shown();
    const same = rows.find((row) => row.dataset.songhash === songhash);
    const row = same ?? rows[Math.min(index, rows.length - 1)];
    if (row) find(place, row).focus();
    else find("#pick").focus();
  }

  #row(song) {
    const row = copyOf("song-template");
    row.dataset.songhash = song.songhash;
    find(".song-link", row).href = `#/job/${song.songhash}`;
    find(".song-name", row).textContent = song.name;
    find(".song-name", row).title = song.name;
    find(".song-state", row).textContent = this.#standing(song);
    const box = find("input", row);
    box.checked = this.#chosen.has(song.songhash);
    box.setAttribute("aria-label", `Select ${song.name}`);
    box.addEventListener("change", () => this.#choose([song.songhash], box.checked));
    const button = find(".forget", row);
    button.setAttribute("aria-label", `Delete ${song.name}`);
    button.addEventListener("click", () => this.#delete([song]));
    return row;
  }

  #delete(songs) {
    const changed = () => {
      this.list();
      this.#reload();
    };
    askDelete(songs.map(({ songhash, name }) => ({ songhash, name })), changed);
  }

  // --- the service's list

  async #reload() {
    const { value } = find("#search");
    await (value.trim() === this.#library.text ? this.#library.reload() : this.#library.search(value));
    this.#arrived();
  }

  async #more() {
    const button = find("#more-songs");
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    const before = new Set(this.#songs.map(({ songhash }) => songhash));
    await this.#library.more();
    button.ariaBusy = "false";
    const had = document.activeElement === button;
    this.#arrived();
    const first = this.#shown().find((row) => !before.has(row.dataset.songhash));
    if (had && first) find(".song-link", first).focus();
    else if (had && button.hidden) find("#search").focus();
  }

  #arrived() {
    if (find("#home").hidden) return;
    this.list();
    this.#ask();
  }

  #showHidden() {
    const first = this.#library.songs.find(({ songhash }) => hidden().includes(songhash));
    unhide(this.#library.songs.map(({ songhash }) => songhash));
    this.list();
    const row = this.#shown().find(({ dataset }) => dataset.songhash === first?.songhash);
    if (row) find(".song-link", row).focus();
  }

  #showFoot() {
    const left = new Set(hidden());
    const count = this.#library.songs.filter(({ songhash }) => left.has(songhash)).length;
    show(find("#more-songs"), this.#library.hasMore);
    show(find("#show-hidden"), count > 0);
    write(find("#show-hidden"), `Show ${plural(count, "removed song")}`);
    const { problem } = this.#library;
    const quiet = problem && (NO_LIST.has(problem.status) ? NOTES.own : NOTES.down);
    write(find("#history-note"), quiet || NOTES.both);
  }

  // --- searching and selecting

  /** The rows that the search leaves. @returns {HTMLElement[]} */
  #shown() {
    return [...this.#rows.children].filter((row) => !row.hidden);
  }

  /** At once in what is listed; on the service when typing pauses. */
  #search() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#reload(), SEARCH_AFTER_MS);
    this.#filter();
  }

  #filter() {
    const text = find("#search").value.trim();
    const words = folded(text).split(/\s+/).filter(Boolean);
    const found = new Set(this.#library.text === text ? this.#library.songs.map(({ songhash }) => songhash) : []); // by tags, too
    for (const row of this.#rows.children) {
      const its = folded(find(".song-link", row).textContent);
      show(row, found.has(row.dataset.songhash) || words.every((word) => its.includes(word)));
    }
    const some = this.#rows.children.length > 0 || !find("#show-hidden").hidden || this.#library.hasMore;
    show(this.#root, some || words.length > 0);
    show(find("#search-field"), this.#rows.children.length > 1 || words.length > 0 || this.#library.hasMore);
    write(find("#none-found"), words.length && !this.#shown().length ? this.#noneFound(text) : "");
    this.#showChosen();
  }

  #noneFound(text) {
    if (this.#library.asking || this.#library.text !== text) return "Searching …";
    return this.#library.hasMore ? "No song matches so far." : "No song matches.";
  }

  #choose(songhashes, on) {
    for (const songhash of songhashes) this.#chosen[on ? "add" : "delete"](songhash);
    this.#showChosen();
  }

  /** Selects all songs that are shown, or none if all are selected. */
  #chooseAll() {
    const rows = this.#shown();
    const on = !rows.every((row) => this.#chosen.has(row.dataset.songhash));
    for (const row of rows) find("input", row).checked = on;
    this.#choose(rows.map((row) => row.dataset.songhash), on);
  }

  #showChosen() {
    const rows = this.#shown();
    show(find("#choose-all"), this.#rows.children.length > 1 && rows.length > 0);
    write(find("#choose-all"), rows.every((row) => this.#chosen.has(row.dataset.songhash)) ? "Select none" : "Select all");
    show(find("#delete-chosen"), this.#chosen.size > 0);
    write(find("#delete-chosen"), `Delete ${plural(this.#chosen.size, "song")} …`);
  }

  // --- states

  #standing(song) {
    const live = this.#live.get(song.songhash) ?? song.job;
    const open = OPEN_STATES.has(song.state);
    if (live instanceof Problem && open) return plainly(live);
    if (live && open) return live.state === "running" ? `${stageOf(live)}, ${Math.floor(live.progress * 100)} %` : stageOf(live);
    return [PAST[song.state] ?? "", song.facts ?? "", momentOf(song.at)].filter(Boolean).join(" · ");
  }

  /** Polls unfinished songs while the list is visible. */
  async #ask() {
    clearTimeout(this.#timer);
    const open = this.#songs.filter((song) => OPEN_STATES.has(song.state)).slice(0, MAX_ASKED);
    if (!open.length) return;
    await Promise.all(open.map(({ songhash }) => this.#askOne(songhash)));
    if (find("#home").hidden) return;
    this.#refresh();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), ASK_AGAIN_MS);
  }

  async #askOne(songhash) {
    try {
      const job = await getJob(songhash);
      this.#live.set(songhash, job);
      note(songhash, job.state, factsOf(job));
      this.#library.update(songhash, job);
    } catch (problem) {
      if (problem.status !== 404) return this.#live.set(songhash, problem);
      note(songhash, "gone");
      this.#library.update(songhash, null);
    }
  }

  /** Updates states only, so that rows keep the focus. */
  #refresh() {
    this.#songs = this.#merged();
    const songs = new Map(this.#songs.map((song) => [song.songhash, song]));
    for (const row of this.#rows.children) {
      const song = songs.get(row.dataset.songhash);
      if (song) write(find(".song-state", row), this.#standing(song));
    }
  }
}
