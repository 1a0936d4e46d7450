/** The home view: the drop zone and the songs sent from this browser. Uploads nothing itself. */

import { Problem, getJob } from "../service/api.js";
import { askDelete } from "../song/deleting.js";
import { copyOf, find, show, vary, write } from "../common/dom.js";
import { chosen, dropped } from "./folders.js";
import { note, sent } from "../song/history.js";
import { warn } from "../common/toasts.js";
import { bytes, listed, plainly, plural, stageOf } from "../common/words.js";

const ASK_AGAIN_MS = 3000;
const MAX_ASKED = 20;
const OPEN_STATES = new Set(["queued", "running", "sending"]);
const PAST = { gone: "No longer on the server", removed: "Stems deleted", failed: "Failed", cancelled: "Cancelled", done: "" };

export class Home {
  #timer = 0; #live = new Map();

  /** @param {(files: File[]) => void} send @param {() => void} stop stops the uploads */
  constructor(send, stop) {
    decorate(find("#drop .art"));
    this.#wirePicker(send);
    this.#wireDrop(send);
    find("#stop-sending").addEventListener("click", stop);
  }

  enter() {
    document.title = "MSaaS · music separation";
    this.list();
    this.#ask();
  }

  leave() {
    clearTimeout(this.#timer);
  }

  /** @param {{upload_bytes: number, duration_seconds: number}} limits */
  showLimits({ upload_bytes, duration_seconds }) {
    const hours = duration_seconds / 3600;
    const long = hours >= 1 ? plural(Math.round(hours * 10) / 10, "hour") : plural(Math.round(duration_seconds / 60), "minute");
    write(find("#limits"), `Any audio format, up to ${bytes(upload_bytes)} or ${long}`);
  }

  // --- the upload

  /** @param {string} name @param {number} number of the song, from 1 @param {number} total */
  showSending(name, number, total) {
    const card = find("#sending");
    write(find(".label", card), total > 1 ? `Sending ${number} of ${total}: ${name}` : `Sending ${name}`);
    show(card, true);
  }

  /** @param {number} fraction uploaded part of the current song */
  showSent(fraction) {
    const bar = find("#sending .bar");
    vary(bar, "done", fraction);
    bar.setAttribute("aria-valuenow", String(Math.floor(fraction * 100)));
  }

  hideSending() {
    const card = find("#sending");
    const had = card.contains(document.activeElement);
    show(card, false);
    this.showSent(0);
    if (had) find("#pick").focus();
  }

  // --- choosing files

  #wirePicker(send) {
    const input = find("#file");
    find("#pick").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // allows choosing the same file again
      if (files.length) send(files);
    });
    this.#wireFolderPicker(send);
  }

  #wireFolderPicker(send) {
    const [input, button] = [find("#folder"), find("#pick-folder")];
    show(button, "webkitdirectory" in input);
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const taken = chosen(input.files);
      input.value = "";
      take(taken, send);
    });
  }

  /** A file may be dropped anywhere on the page. */
  #wireDrop(send) {
    let deep = 0; // dragenter and dragleave fire for every element crossed
    const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
    const mark = (over) => {
      find("#drop").classList.toggle("over", over);
      show(find("#veil"), over && find("#home").hidden);
    };
    addEventListener("dragenter", (event) => carriesFiles(event) && mark(++deep > 0));
    addEventListener("dragleave", (event) => carriesFiles(event) && mark((deep = Math.max(0, deep - 1)) > 0));
    addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      mark((deep = 0) > 0);
      dropped(event.dataTransfer).then((taken) => take(taken, send));
    });
  }

  // --- the songs

  list() {
    const songs = sent();
    show(find("#history"), songs.length > 0);
    find("#history .songs").replaceChildren(...songs.map((song) => this.#row(song)));
  }

  #row(song) {
    const row = copyOf("song-template");
    find(".song-link", row).href = `#/job/${song.songhash}`;
    find(".song-name", row).textContent = song.name;
    find(".song-state", row).textContent = this.#standing(song);
    const button = find(".forget", row);
    button.setAttribute("aria-label", `Delete ${song.name}`);
    button.addEventListener("click", () => askDelete(song.songhash, song.name, null, () => this.list()));
    return row;
  }

  #standing(song) {
    const live = this.#live.get(song.songhash);
    if (live instanceof Problem && OPEN_STATES.has(song.state)) return plainly(live);
    if (live && OPEN_STATES.has(live.state)) {
      return live.state === "running" ? `${stageOf(live)}, ${Math.floor(live.progress * 100)} %` : stageOf(live);
    }
    const when = new Date(song.at).toLocaleDateString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    return [PAST[song.state] ?? "", when].filter(Boolean).join(" · ");
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
      note(songhash, job.state);
    } catch (problem) {
      if (problem.status === 404) note(songhash, "gone");
      else this.#live.set(songhash, problem);
    }
  }

  /** Updates states only, so that rows keep the focus. */
  #refresh() {
    const rows = find("#history .songs").children;
    sent().forEach((song, index) => rows[index] && write(find(".song-state", rows[index]), this.#standing(song)));
  }
}

/** @param {import("./folders.js").Taken} taken @param {(files: File[]) => void} send */
function take({ files, left }, send) {
  if (files.length) send(files);
  const what = files.length ? `${plural(files.length, "song")} taken.` : "No songs found.";
  if (left.length) warn(`${what} Left out: ${listed(left)}.`);
  else if (!files.length) warn(what);
}

/** Four faint waves behind the drop zone. */
function decorate(art) {
  const lanes = [["vocals", 30, 0.9], ["drums", 90, 2.6], ["bass", 150, 0.45], ["other", 210, 1.5]];
  for (const [name, middle, pace] of lanes) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    let bars = "";
    for (let x = 4; x < 800; x += 7) {
      const tall = 4 + 22 * Math.abs(Math.sin(x * pace * 0.021) * Math.sin(x * 0.013 + pace * 3));
      bars += `M${x} ${(middle - tall).toFixed(1)}v${(2 * tall).toFixed(1)}`;
    }
    path.setAttribute("d", bars);
    path.setAttribute("class", name);
    art.append(path);
  }
}
