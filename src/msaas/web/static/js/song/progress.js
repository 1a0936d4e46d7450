/** The progress card of a song: uploading, waiting, separating, and the reason of a failure. */

import { find, say, show, vary, write } from "../common/dom.js";
import { keepAwake } from "./wakelock.js";
import { plainly, stageOf, timeLeft } from "../common/words.js";

export class Progress {
  #card = find("#status"); #bar = find("#bar"); #ended = find("#ended"); #said = "";

  hide() {
    show(this.#card, false);
    show(this.#ended, false);
    keepAwake(false);
  }

  /** @param {number} fraction uploaded part of the file */
  uploading(fraction) {
    const all = fraction >= 1;
    this.#show(all ? "Checking the song" : "Uploading", all ? null : fraction, "");
  }

  /** @param {any} job a job's view */
  job(job) {
    const running = job.state === "running";
    this.#show(stageOf(job), running ? job.progress : null, timeLeft(job.eta_seconds));
  }

  /** @param {any} job failed or cancelled */
  over(job) {
    const cancelled = job.state === "cancelled";
    const text = cancelled ? "Nothing was kept. Send the song again to start over." : plainly(job.error ?? {});
    this.#close(stageOf(job), text);
  }

  gone() {
    this.#close("No longer available", plainly({ code: "job_unknown" }));
  }

  /** @param {any} problem of a link that shares a song */
  notShared(problem) {
    const over = problem.status === 401 || problem.status === 404;
    this.#close("This link opens no song", over ? "It has expired or was revoked." : plainly(problem));
  }

  removed() {
    this.#close("Its stems were deleted", "Send the song again to restore them.");
  }

  #close(title, text) {
    keepAwake(false);
    show(this.#card, false);
    show(this.#ended, true);
    write(find("#ended-title"), title);
    write(find("#ended-text"), text);
    say(`${title}. ${text}`);
  }

  /** @param {number | null} fraction null: unknown */
  #show(stage, fraction, left) {
    keepAwake(true);
    show(this.#card, true);
    show(this.#ended, false);
    const percent = fraction === null ? null : Math.floor(fraction * 100);
    write(find("#stage"), stage);
    write(find("#percent"), percent === null ? "" : `${percent} %`);
    write(find("#eta"), left);
    this.#bar.classList.toggle("unsure", percent === null);
    vary(this.#bar, "done", fraction ?? 0);
    if (percent === null) this.#bar.removeAttribute("aria-valuenow");
    else this.#bar.setAttribute("aria-valuenow", String(percent));
    this.#speak(stage, percent);
  }

  /** Announces each stage and each quarter, not each percent. */
  #speak(stage, percent) {
    const quarter = percent === null ? "" : Math.floor(percent / 25) * 25;
    const text = quarter ? `${stage}, ${quarter} percent` : stage;
    if (text === this.#said) return;
    this.#said = text;
    say(text);
  }
}
