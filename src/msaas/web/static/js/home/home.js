/** The home view: the drop zone, the upload, and the list of songs. Uploads nothing itself. */

import { find, show, vary, write } from "../common/dom.js";
import { chosen, dropped } from "./folders.js";
import { SongList } from "./songlist.js";
import { warn } from "../common/toasts.js";
import { bytes, listed, plural } from "../common/words.js";

export class Home {
  #songs = new SongList();

  /** @param {(files: File[]) => void} send @param {() => void} stop stops the uploads */
  constructor(send, stop) {
    decorate(find("#drop .art"));
    this.#wirePicker(send);
    this.#wireDrop(send);
    find("#stop-sending").addEventListener("click", stop);
  }

  enter() {
    document.title = "MSaaS · music separation";
    this.#songs.enter();
  }

  leave() {
    this.#songs.leave();
  }

  /** The list of songs is another one. */
  list() {
    this.#songs.list();
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
