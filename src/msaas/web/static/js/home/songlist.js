/** The songs sent from this browser: searched, selected, deleted. States of unfinished ones are followed. */

import { copyOf, find, show, write } from "../common/dom.js";
import { factsOf, folded, plainly, plural, stageOf } from "../common/words.js";
import { Problem, getJob } from "../service/api.js";
import { askDelete } from "../song/deleting.js";
import { note, sent } from "../song/history.js";

const ASK_AGAIN_MS = 3000;
const MAX_ASKED = 20;
const OPEN_STATES = new Set(["queued", "running", "sending"]);
const PAST = { gone: "No longer on the server", removed: "Stems deleted", failed: "Failed", cancelled: "Cancelled", done: "" };

export class SongList {
  #timer = 0; #live = new Map(); #root = find("#history"); #rows = find("#history .songs");
  /** @type {Set<string>} songhashes */ #chosen = new Set();

  constructor() {
    find("#search").addEventListener("input", () => this.#filter());
    find("#choose-all").addEventListener("click", () => this.#chooseAll());
    find("#delete-chosen").addEventListener("click", () => this.#delete(sent().filter(({ songhash }) => this.#chosen.has(songhash))));
  }

  enter() {
    this.list();
    this.#ask();
  }

  leave() {
    clearTimeout(this.#timer);
  }

  /** Builds the rows anew. The focus stays in its row, or goes to the next one. */
  list() {
    const songs = sent();
    const focused = [...this.#rows.children].findIndex((row) => row.contains(document.activeElement));
    const there = new Set(songs.map(({ songhash }) => songhash));
    this.#chosen = new Set([...this.#chosen].filter((songhash) => there.has(songhash)));
    show(this.#root, songs.length > 0);
    this.#rows.replaceChildren(...songs.map((song) => this.#row(song)));
    this.#filter();
    if (focused >= 0) this.#focus(focused);
  }

  #focus(index) {
    const rows = this.#shown();
    const row = rows[Math.min(index, rows.length - 1)];
    if (row) find(".forget", row).focus();
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
    askDelete(songs, () => this.list());
  }

  // --- searching and selecting

  /** The rows that the search leaves. @returns {HTMLElement[]} */
  #shown() {
    return [...this.#rows.children].filter((row) => !row.hidden);
  }

  #filter() {
    const words = folded(find("#search").value).split(/\s+/).filter(Boolean);
    for (const row of this.#rows.children) {
      const text = folded(find(".song-link", row).textContent);
      show(row, words.every((word) => text.includes(word)));
    }
    show(find("#search-field"), this.#rows.children.length > 1);
    write(find("#none-found"), words.length && !this.#shown().length ? "No song matches." : "");
    this.#showChosen();
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
    const live = this.#live.get(song.songhash);
    const open = OPEN_STATES.has(song.state);
    if (live instanceof Problem && open) return plainly(live);
    if (live && open) return live.state === "running" ? `${stageOf(live)}, ${Math.floor(live.progress * 100)} %` : stageOf(live);
    const when = new Date(song.at).toLocaleDateString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    return [PAST[song.state] ?? "", song.facts ?? "", when].filter(Boolean).join(" · ");
  }

  /** Polls unfinished songs while the list is visible. */
  async #ask() {
    clearTimeout(this.#timer);
    const open = sent().filter((song) => OPEN_STATES.has(song.state)).slice(0, MAX_ASKED);
    if (!open.length) return;
    await Promise.all(open.map(({ songhash }) => this.#askOne(songhash)));
    if (find("#home").hidden) return;
    this.#refresh();
    this.#timer = setTimeout(() => this.#ask(), ASK_AGAIN_MS);
  }

  async #askOne(songhash) {
    try {
      const job = await getJob(songhash);
      this.#live.set(songhash, job);
      note(songhash, job.state, factsOf(job));
    } catch (problem) {
      if (problem.status === 404) note(songhash, "gone");
      else this.#live.set(songhash, problem);
    }
  }

  /** Updates states only, so that rows keep the focus. */
  #refresh() {
    const songs = new Map(sent().map((song) => [song.songhash, song]));
    for (const row of this.#rows.children) {
      const song = songs.get(row.dataset.songhash);
      if (song) write(find(".song-state", row), this.#standing(song));
    }
  }
}
