/** Picked songs that wait for Start: their lengths, and how long they take here. Uploads nothing itself. */

import { copyOf, find, show, write } from "./dom.js";
import { bytes, clock, plural, roughly, titleOf } from "./words.js";

/** @typedef {{file: File, seconds: number | null | undefined}} Picked seconds: undefined while it is read, null if unknown */

export class Tray {
  /** @type {Picked[]} */ #picked = [];
  #options;

  /** @param {import("./options.js").Options} options @param {(files: File[]) => boolean} start
   *  false: they stay in the tray */
  constructor(options, start) {
    this.#options = options;
    find("#tray-start").addEventListener("click", () => {
      const files = this.#picked.map(({ file }) => file);
      if (start(files)) this.#put([]);
    });
    find("#tray-clear").addEventListener("click", () => this.#clear());
    find("#options").addEventListener("change", () => this.#showCost());
  }

  /** Adds files and moves the focus to Start. @param {File[]} files */
  add(files) {
    const added = files.map((file) => ({ file, seconds: undefined }));
    this.#put([...this.#picked, ...added]);
    find("#tray-start").focus();
    for (const one of added) this.#measure(one);
  }

  /** Shows costs again: the service's pace has been read. */
  refresh() {
    this.#showCost();
  }

  async #measure(one) {
    one.seconds = await lengthOf(one.file);
    if (this.#picked.includes(one)) this.#put(this.#picked);
  }

  #clear() {
    this.#put([]);
    find("#pick").focus();
  }

  #put(picked) {
    this.#picked = picked;
    show(find("#tray"), picked.length > 0);
    find("#tray .songs").replaceChildren(...picked.map((one) => this.#row(one)));
    this.#showCost();
  }

  #row(one) {
    const row = copyOf("picked-template");
    const title = titleOf(one.file.name);
    find(".song-name", row).textContent = title;
    find(".song-state", row).textContent = one.seconds ? clock(one.seconds) : bytes(one.file.size);
    const button = find(".remove", row);
    button.setAttribute("aria-label", `Remove ${title}`);
    button.addEventListener("click", () => {
      const left = this.#picked.filter((other) => other !== one);
      if (left.length) this.#put(left);
      else this.#clear();
    });
    return row;
  }

  /** In the choice of quality and beside Start: what these songs take here. */
  #showCost() {
    const seconds = this.#picked.map((one) => one.seconds ?? 0).filter((length) => length > 0);
    this.#options.showCosts(seconds);
    if (!this.#picked.length) return;
    write(find("#tray-start"), this.#picked.length === 1 ? "Separate" : `Separate ${this.#picked.length} songs`);
    write(find("#tray-cost"), this.#cost(seconds));
  }

  #cost(seconds) {
    if (this.#picked.some((one) => one.seconds === undefined)) return "Reading the length …";
    const unknown = this.#picked.length - seconds.length;
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
  });
  audio.src = url;
  return length.finally(() => {
    audio.removeAttribute("src");
    URL.revokeObjectURL(url);
  });
}
