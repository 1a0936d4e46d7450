/** Picked songs that wait for Start, and refused ones: their lengths, and how long they take here. Uploads nothing itself. */

import { copyOf, find, show, write } from "../common/dom.js";
import { bytes, clock, mayHelpToRetry, plainly, plural, roughly, titleOf } from "../common/words.js";

/** @typedef {{file: File, row: HTMLElement, seconds: number | null | undefined, problem: any}} Picked
 *  seconds: undefined while it is read, null if unknown; problem: why the song was refused */

const READ_AT_ONCE = 4; // files: browsers refuse players beyond some tens
const READ_MS = 10_000; // some browsers say nothing of a file that they do not read

export class Tray {
  /** @type {Picked[]} */ #picked = [];
  #options;

  #start;

  /** @param {import("./options.js").Options} options @param {(files: File[]) => void} start */
  constructor(options, start) {
    this.#options = options;
    this.#start = start;
    find("#tray-start").addEventListener("click", () => this.start());
    find("#tray-clear").addEventListener("click", () => this.#clear());
    find("#options").addEventListener("change", () => this.#showCost());
  }

  /** Adds files and moves the focus to Start. @param {File[]} files */
  add(files) {
    this.#append(files.map((file) => this.#entry(file)));
    find("#tray-start").focus();
  }

  /** Takes back songs that were not sent. The focus stays. @param {{file: File, problem: any}[]} songs problem: null if
   *  the upload was stopped */
  takeBack(songs) {
    this.#append(songs.map(({ file, problem }) => this.#entry(file, problem)));
  }

  /** Hands over the songs that may be accepted; the others stay. */
  start() {
    const going = this.#sendable();
    if (!going.length) return;
    this.#picked = this.#picked.filter((one) => !going.includes(one));
    for (const { row } of going) row.remove();
    this.#showCost();
    this.#start(going.map(({ file }) => file));
  }

  /** @param {Picked[]} added */
  #append(added) {
    this.#picked.push(...added);
    find("#tray .songs").append(...added.map(({ row }) => row));
    this.#showCost();
    const unread = this.#sendable().filter((one) => added.includes(one));
    for (let reader = 0; reader < READ_AT_ONCE; reader++) this.#measure(unread);
  }

  #sendable() {
    return this.#picked.filter(({ problem }) => mayHelpToRetry(problem));
  }

  /** Shows costs again: the service's pace has been read. */
  refresh() {
    this.#showCost();
  }

  /** Reads one length after the other of those that nobody reads yet. @param {Picked[]} added */
  async #measure(added) {
    for (let one; (one = added.shift()); ) {
      if (!this.#picked.includes(one)) continue;
      one.seconds = await lengthOf(one.file);
      if (one.seconds && !one.problem) write(find(".song-state", one.row), clock(one.seconds));
      this.#showCost();
    }
  }

  #clear() {
    this.#empty();
    find("#pick").focus();
  }

  #empty() {
    this.#picked = [];
    find("#tray .songs").replaceChildren();
    this.#showCost();
  }

  /** Other rows stay, so that they keep the focus. */
  #remove(one) {
    const index = this.#picked.indexOf(one);
    this.#picked.splice(index, 1);
    if (!this.#picked.length) return this.#clear();
    one.row.remove();
    this.#showCost();
    find(".remove", this.#picked[Math.min(index, this.#picked.length - 1)].row).focus();
  }

  /** @param {File} file @returns {Picked} */
  #entry(file, problem = null) {
    const row = copyOf("picked-template");
    const title = titleOf(file.name);
    const one = { file, row, seconds: undefined, problem };
    find(".song-name", row).textContent = title;
    find(".song-state", row).textContent = problem ? plainly(problem) : bytes(file.size);
    row.classList.toggle("refused", Boolean(problem));
    const button = find(".remove", row);
    button.setAttribute("aria-label", `Remove ${title}`);
    button.addEventListener("click", () => this.#remove(one));
    return one;
  }

  /** In the choice of quality and beside Start: what these songs take here. */
  #showCost() {
    const going = this.#sendable();
    const seconds = going.map((one) => one.seconds ?? 0).filter((length) => length > 0);
    show(find("#tray"), this.#picked.length > 0);
    show(find("#tray-start"), going.length > 0);
    this.#options.showCosts(seconds);
    write(find("#tray-title"), going.length ? "Ready to send" : "Not sent");
    write(find("#tray-start"), going.length === 1 ? "Separate" : `Separate ${going.length} songs`);
    write(find("#tray-cost"), going.length ? this.#cost(going, seconds) : "");
  }

  /** @param {Picked[]} going @param {number[]} seconds the known lengths */
  #cost(going, seconds) {
    const reason = this.#options.reasonToWait;
    if (reason) return `${reason}. Songs that are sent now wait, too.`;
    if (going.some((one) => one.seconds === undefined)) return "Reading the length …";
    const unknown = going.length - seconds.length;
    const takes = this.#options.secondsFor(seconds);
    if (takes === null) return "No song was separated here yet, so the time that it takes is not known.";
    if (!seconds.length) return "The length of this file is known once it is sent.";
    const waits = this.#options.secondsUntilFree;
    const parts = [`Takes ${roughly(takes)} here`];
    if (waits >= 5) parts.push(`after ${roughly(waits)} for the songs before it`);
    if (unknown) parts.push(`without ${plural(unknown, "file")} of unknown length`);
    return `${parts.join(", ")}.`;
  }
}

/** The length in seconds, as the browser reads it from the file's header. @param {File} file @returns {Promise<number | null>} */
function lengthOf(file) {
  const audio = new Audio();
  audio.preload = "metadata";
  const url = URL.createObjectURL(file);
  const length = new Promise((resolve) => {
    audio.onloadedmetadata = () => resolve(Number.isFinite(audio.duration) ? audio.duration : null);
    audio.onerror = () => resolve(null); // a format that this browser does not play
    setTimeout(() => resolve(null), READ_MS);
  });
  audio.src = url;
  return length.finally(() => {
    audio.removeAttribute("src");
    URL.revokeObjectURL(url);
  });
}
