/** The card that says how far a song is: uploading, waiting, separating; and how it ended where it ended badly. */

import { find, say, show, vary, write } from "./dom.js";
import { plainly, stageOf, timeLeft } from "./words.js";

export class Progress {
  #card = find("#status"); #bar = find("#bar"); #ended = find("#ended"); #said = "";

  hide() {
    show(this.#card, false);
    show(this.#ended, false);
  }

  /** @param {number} fraction of the file that is sent */
  uploading(fraction) {
    const all = fraction >= 1;
    this.#show(all ? "Looking at the song" : "Uploading", all ? null : fraction, "");
  }

  /** @param {any} job as the API shows it */
  job(job) {
    const running = job.state === "running";
    this.#show(stageOf(job), running ? job.progress : null, timeLeft(job.eta_seconds));
  }

  /** @param {any} job failed or cancelled */
  over(job) {
    const cancelled = job.state === "cancelled";
    const text = cancelled ? "Nothing of it was kept. Send the song again to start over." : plainly(job.error ?? {});
    this.#close(stageOf(job), text, "Send a song");
  }

  gone() {
    this.#close("Not here any more", plainly({ code: "job_unknown" }), "Send a song");
  }

  removed() {
    this.#close("Its stems were deleted", "Send the song again to have them back.", "Send a song");
  }

  #close(title, text, button) {
    show(this.#card, false);
    show(this.#ended, true);
    write(find("#ended-title"), title);
    write(find("#ended-text"), text);
    write(find("#ended-again"), button);
    say(`${title}. ${text}`);
  }

  /** @param {number | null} fraction null: nobody knows */
  #show(stage, fraction, left) {
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

  /** Each stage and each quarter, not each percent. */
  #speak(stage, percent) {
    const quarter = percent === null ? "" : Math.floor(percent / 25) * 25;
    const text = quarter ? `${stage}, ${quarter} percent` : stage;
    if (text === this.#said) return;
    this.#said = text;
    say(text);
  }
}
