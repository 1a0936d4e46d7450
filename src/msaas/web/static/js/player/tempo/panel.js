/** The controls of tempo and pitch: a slider and a typed value of each, and a button for both. */

import { find, say, vary, write } from "../../common/dom.js";
import { warn } from "../../common/toasts.js";
import { listenTyped, showTyped } from "../../common/typed.js";
import { PITCH, TEMPO, bounded, pitchText, remarkOn, tempoText, typedIn } from "./ranges.js";

const UNABLE = "This browser cannot change tempo and pitch.";

export class Tempo {
  #mixer = null; #beats; #wanted = null;

  /** @param {import("../beats/panel.js").Beats} beats */
  constructor(beats) {
    this.#beats = beats;
    this.#listen("tempo", TEMPO, tempoText, (percent) => this.#set({ speed: percent / 100 }));
    this.#listen("pitch", PITCH, pitchText, (semitones) => this.#set({ semitones }));
    find("#tempo-reset").addEventListener("click", () => this.reset());
    beats.addEventListener("change", () => this.#showNote());
  }

  #listen(id, range, written, set) {
    const slider = find(`#${id}`);
    slider.addEventListener("input", () => set(Number(slider.value)));
    slider.addEventListener("dblclick", () => set(range.neutral));
    listenTyped(find(`#${id}-typed`), (text) => {
      const value = typedIn(text);
      if (value !== null) set(bounded(value, range));
      const remark = remarkOn(value, range, written);
      return remark && `${slider.ariaLabel}: ${remark}`;
    });
  }

  /** @param {import("../mixer.js").Mixer | null} mixer null: none is open */
  open(mixer) {
    this.#mixer = mixer;
    mixer?.addEventListener("unstretched", () => warn(UNABLE));
  }

  /** @param {number} step percent */
  faster(step) {
    const percent = bounded(100 * this.#mixer.speed + step, TEMPO);
    this.#mixer.stretch({ speed: percent / 100 });
    say(`Tempo ${tempoText(percent)}`);
  }

  /** @param {number} step semitones */
  higher(step) {
    const semitones = bounded(this.#mixer.semitones + step, PITCH);
    this.#mixer.stretch({ semitones });
    say(`Pitch ${spoken(semitones)}`);
  }

  reset() {
    this.#mixer.stretch({ speed: 1, semitones: 0 });
    say("Tempo and pitch as recorded");
  }

  /** At most once a frame, however fast a slider moves. */
  #set(change) {
    const isDue = this.#wanted === null;
    this.#wanted = { ...this.#wanted, ...change };
    if (isDue) requestAnimationFrame(() => this.#apply());
  }

  #apply() {
    this.#mixer?.stretch(this.#wanted);
    this.#wanted = null;
    this.show();
  }

  /** Sets the controls to what the mixer has. */
  show() {
    if (!this.#mixer) return;
    const percent = bounded(100 * this.#mixer.speed, TEMPO);
    const { semitones, isStretched } = this.#mixer;
    this.#showOne("tempo", TEMPO, percent, tempoText(percent), `${percent} percent`);
    this.#showOne("pitch", PITCH, semitones, pitchText(semitones), spoken(semitones));
    find("#tempo-reset").disabled = !isStretched;
    this.#showNote();
  }

  #showOne(id, { least, most }, value, text, words) {
    const slider = find(`#${id}`);
    slider.value = String(value);
    slider.setAttribute("aria-valuetext", words);
    vary(slider, "fill", (value - least) / (most - least));
    showTyped(find(`#${id}-typed`), text);
  }

  #showNote() {
    if (!this.#mixer) return;
    const { speed, isStretched } = this.#mixer;
    const { bpm: recorded } = this.#beats;
    const bpm = speed !== 1 && recorded ? `${Math.round(recorded * speed * 10) / 10} BPM. ` : "";
    write(find("#tempo-note"), isStretched ? `${bpm}Downloads stay as recorded.` : "");
  }
}

const spoken = (semitones) => `${pitchText(semitones).replace(" st", "").replace("−", "minus ")} semitones`;
