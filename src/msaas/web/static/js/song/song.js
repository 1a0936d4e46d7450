/** The view of one song, from upload to mix: follows the job, fills the lanes, opens the player. */

import { isShared, key, shareId } from "../service/access.js";
import { Problem, cancelJob, getWaveforms, named, zipPath } from "../service/api.js";
import { hideSides, loadOriginal, offerOriginal } from "./comparing.js";
import { askDelete } from "./deleting.js";
import { find, say, show, write } from "../common/dom.js";
import { keep, load } from "../common/store.js";
import { tell, warn } from "../common/toasts.js";
import { note, sentAs } from "./history.js";
import { openMix } from "./linkmix.js";
import { Mixer } from "../player/mixer.js";
import * as mixes from "../player/mixes.js";
import { canSave, formatOfMix, inBrowser, saveMix } from "./saving.js";
import { showLinks } from "./links.js";
import { share } from "./sharing.js";
import { measuredOf } from "./measured.js";
import { soundOf, streamStems } from "./streaming.js";
import { inOrder } from "../home/options.js";
import { original } from "./originals.js";
import { Meter, loadStem } from "../player/stems.js";
import { Watch, hasEnded, isRemoved } from "../service/watch.js";
import { commonScale, levelsOf, measureLevels } from "../player/timeline/levels.js";
import { bytes, dayOf, factsOf, plainly } from "../common/words.js";

const DRAW_EVERY_MS = 1500;
const FIRST_DRAW_MS = 2500; // workers write the first waveform some two seconds after the first segment
const SMALL_MODEL = /^(msaas|scnet|htdemucs)_mini$/; // those that come with the source
const SMALL = "This is a small demonstration model. Its quality is far below that of htdemucs.";
/** Phones close pages that use much memory. */
const SCALE = matchMedia("(pointer: coarse)").matches ? 0.5 : 1;
/** Decoded sound of more than this is played piece by piece. */
const WHOLE_BYTES = 800e6 * SCALE;
/** Where that is not possible, more than this needs a confirmation. */
const LIGHT_BYTES = 1.6e9 * SCALE;

export class Song {
  #progress; #lanes; #player; #expected; #changed; #resend; #visit = null;

  /** `expected` predicts a job's stems, to show their lanes from the start; `changed`: the list of songs is another one;
   *  `resend` sends a song again, with its fields or the current options. */
  constructor({ progress, player, expected, changed, resend }) {
    this.#progress = progress;
    this.#lanes = player.lanes;
    this.#player = player;
    this.#expected = expected;
    this.#changed = changed;
    this.#resend = resend;
    find("#cancel").addEventListener("click", () => this.#visit?.cancel?.());
    player.beats.addEventListener("change", () => this.#visit?.mixer && this.#showFacts(this.#visit));
    find("#delete").addEventListener("click", () => this.#askDelete());
    find("#save-mix").addEventListener("click", () => this.#saveMix());
    find("#mix-format").value = load("mixFormat", find("#mix-format").value);
    find("#mix-format").addEventListener("change", (event) => {
      keep("mixFormat", event.target.value);
      this.#allowSaving();
    });
    find("#share-mix").addEventListener("click", () => share(this.#visit.songhash, this.#visit.name, mixes.textOf(this.#visit.mixer)));
    find("#open-links").addEventListener("click", () => showLinks(this.#visit.songhash));
    find("#load-anyway").addEventListener("click", () => this.#load(this.#visit));
  }

  // --- opening and closing

  /** Shows an upload, which has no songhash yet. @param {string} name @param {() => void} cancel */
  uploading(name, cancel) {
    this.#enter({ name, cancel });
    this.#progress.uploading(0);
  }

  /** @param {number} fraction */
  uploaded(fraction) {
    this.#progress.uploading(fraction);
  }

  /** @param {string} songhash @param {import("./linkmix.js").Link | null} [link] by which it is opened, if that has a mix */
  open(songhash, link = null) {
    const known = sentAs(songhash);
    const visit = this.#enter({ songhash, known, link, name: known?.name ?? `Song ${songhash.slice(0, 8)}` });
    visit.cancel = () => this.#cancel(visit);
    visit.watch = new Watch(songhash, {
      job: (job) => this.#heard(visit, job),
      gone: () => this.#gone(visit),
      refused: () => this.#refused(visit),
      link: (problem) => this.#isHere(visit) && this.#showLink(problem),
    });
  }

  /** Shows the song of a link, or why it opens none. @param {Promise<any>} shared what the link shares */
  async openShared(shared) {
    const visit = this.#enter({ name: "Shared song" });
    try {
      const { songhash, mix, expires_at } = await shared;
      if (!this.#isHere(visit)) return;
      this.open(songhash, mix ? { mix, id: shareId() } : null);
      write(find("#shared-note"), `Shared with you until ${dayOf(expires_at)}.`);
      show(find("#shared-note"), true);
    } catch (problem) {
      if (this.#isHere(visit)) this.#progress.notShared(problem);
    }
  }

  close() {
    this.#visit?.watch?.stop();
    this.#visit?.loading?.abort();
    this.#visit?.saving?.abort();
    this.#visit = null;
    this.#progress.hide();
    this.#player.close();
  }

  #enter(visit) {
    this.close();
    this.#visit = visit;
    const parts = ["notice", "link", "transport", "beats", "bend", "downloads", "loading", "heavy", "delete", "send-again", "shared-note", "link-mix"];
    for (const id of parts) show(find(`#${id}`), false);
    hideSides();
    this.#progress.hide();
    this.#lanes.clear();
    this.#lanes.enable(false);
    this.#call(visit, visit.name);
    write(find("#song-facts"), "");
    return visit;
  }

  #call(visit, name) {
    visit.name = name;
    write(find("#song-title"), name);
    find("#song-title").title = name;
    document.title = `${name} · MSaaS`;
  }

  /** What the song is; tempo and key as they are heard. */
  #showFacts({ job, mixer }) {
    const heard = mixer && { speed: mixer.speed, semitones: mixer.semitones, bpm: this.#player.beats.bpm };
    write(find("#song-facts"), [factsOf(job), measuredOf(job.analysis, heard)].filter(Boolean).join(" · "));
  }

  /** @param {any} problem null: the service answers */
  #showLink(problem) {
    write(find("#link"), problem ? `${plainly(problem)} This page tries again by itself.` : "");
    show(find("#link"), problem !== null);
  }

  #isHere(visit) {
    return this.#visit === visit;
  }

  // --- following the job

  #heard(visit, job) {
    if (!this.#isHere(visit)) return;
    visit.job = job;
    if (!visit.known && job.name) this.#call(visit, job.name);
    note(visit.songhash, job.state, factsOf(job));
    this.#showFacts(visit);
    if (!isRemoved(job)) this.#notice(job);
    document.title = `${job.state === "running" ? `${Math.floor(job.progress * 100)} % · ` : ""}${visit.name} · MSaaS`;
    if (isRemoved(job)) this.#removed(visit);
    else if (job.state === "done") this.#mix(visit, job);
    else if (hasEnded(job)) this.#over(visit, job);
    else this.#wait(visit, job);
  }

  #wait(visit, job) {
    this.#progress.job(job);
    this.#lanes.build(this.#expected(job));
    this.#lanes.enable(false);
    if (job.state === "running") this.#preview(visit, job.progress);
  }

  #over(visit, job) {
    this.#lanes.clear();
    this.#progress.over(job);
    this.#offerAgain(visit);
  }

  /** A song that this browser still has can be sent again with the same options. */
  async #offerAgain(visit) {
    const file = await original(visit.songhash);
    if (!file || !this.#isHere(visit)) return;
    const button = find("#send-again");
    button.onclick = () => this.#resend({ file, fields: visit.known?.fields });
    show(button, true);
  }

  #gone(visit) {
    if (!this.#isHere(visit)) return;
    note(visit.songhash, "gone");
    this.#lanes.clear();
    this.#progress.gone();
    this.#offerAgain(visit);
  }

  #removed(visit) {
    note(visit.songhash, "removed");
    this.#lanes.clear();
    this.#progress.removed();
    this.#offerAgain(visit);
  }

  #refused(visit) {
    if (!this.#isHere(visit)) return;
    write(find("#notice"), plainly({ code: "key_missing" }));
    show(find("#notice"), true);
  }

  #notice(job) {
    const small = SMALL_MODEL.test(job.model) ? SMALL : "";
    const warnings = (job.warnings ?? []).map(({ detail }) => detail);
    const text = [small, job.message ?? "", ...warnings].filter(Boolean).join(" ");
    write(find("#notice"), text);
    show(find("#notice"), text !== "");
  }

  /** Draws lanes as segments finish. */
  async #preview(visit, progress) {
    visit.begins ||= progress === 0; // seen from the start
    if (progress === 0) return;
    visit.previewed ??= visit.begins ? Date.now() + FIRST_DRAW_MS - DRAW_EVERY_MS : 0;
    if (visit.previewed > Date.now() - DRAW_EVERY_MS) return;
    visit.previewed = Date.now();
    const found = await getWaveforms(visit.songhash).catch(() => null);
    if (!found || !this.#isHere(visit) || visit.mixer) return;
    const levels = levelsOf(found);
    this.#lanes.draw(levels, commonScale(Object.values(levels)));
  }

  async #cancel(visit) {
    try {
      this.#heard(visit, await cancelJob(visit.songhash));
      visit.watch.stop();
    } catch (error) {
      const action = { label: "Retry", run: () => this.#cancel(visit) };
      if (this.#isHere(visit)) warn(`${visit.name} was not cancelled. ${plainly(error)}`, { action });
    }
  }

  // --- mixing

  async #mix(visit, job) {
    const names = inOrder(Object.keys(job.stems));
    const drawn = await getWaveforms(visit.songhash).catch(() => null);
    if (!this.#isHere(visit)) return;
    const { rate, frames } = soundOf(job, drawn);
    visit.mixer = new Mixer({ names, rate, frames });
    const whole = drawn && drawn.done_samples === drawn.total_samples; // the last waveform may be missing
    visit.levels = whole ? levelsOf(drawn) : {};
    this.#progress.hide();
    this.#lanes.build(names);
    for (const name of names) this.#lanes.setDownload(name, named(job.stems[name], visit.known?.savedAs));
    this.#player.open(visit.mixer, frames / rate, { songhash: visit.songhash, name: visit.name, tempo: job.analysis?.tempo });
    this.#setMix(visit);
    visit.mixer.addEventListener("change", () => this.#showFacts(visit));
    this.#showFacts(visit);
    this.#lanes.enable(true);
    this.#draw(visit);
    find("#save-all").href = named(zipPath(visit.songhash), visit.known?.savedAs);
    for (const id of ["transport", "beats", "bend", "downloads", "delete"]) show(find(`#${id}`), true);
    show(find("#open-links"), key() !== ""); // without keys, a song's address is its link
    say("The stems are ready");
    this.#allowSaving();
    this.#begin(visit);
  }

  async #begin(visit) {
    const { stems, frames } = visit.mixer;
    const needed = stems.length * frames * 8;
    visit.loading = new AbortController();
    const isStreamed = needed > WHOLE_BYTES && (await this.#stream(visit));
    if (!this.#isHere(visit)) return;
    offerOriginal(visit, () => this.#isHere(visit));
    if (isStreamed) return;
    if (needed > LIGHT_BYTES) this.#askFirst(needed);
    else this.#load(visit);
  }

  /** @returns {Promise<boolean>} false: this song has to be decoded as a whole */
  async #stream(visit) {
    const how = { signal: visit.loading.signal, failed: (error) => this.#isHere(visit) && this.#failedToLoad(visit, error) };
    try {
      if (!(await streamStems(visit.mixer, visit.job.stems, how))) return false;
    } catch (error) {
      how.failed(error);
    }
    if (!this.#isHere(visit)) return true;
    visit.streamed = visit.heavy = true; // the service renders its mix
    this.#allowSaving();
    return true;
  }

  #setMix({ songhash, mixer, link }) {
    if (!openMix(mixer, songhash, link) && !isShared()) history.replaceState(null, "", `#/job/${songhash}`);
  }

  #draw(visit) {
    this.#lanes.draw(visit.levels, commonScale(Object.values(visit.levels)));
  }

  #askFirst(needed) {
    write(find("#heavy span"), `This is a long song: mixing it here takes about ${bytes(needed)} of memory. Downloads work in any case.`);
    show(find("#heavy"), true);
    find("#play").disabled = true;
    this.#visit.heavy = true;
    this.#allowSaving();
  }

  async #load(visit) {
    show(find("#heavy"), false);
    find("#play").disabled = false;
    visit.loading = new AbortController();
    const meter = new Meter((text) => this.#isHere(visit) && this.#showLoading(text));
    try {
      await Promise.all(visit.mixer.stems.map(({ name }) => this.#loadOne(visit, name, meter)));
    } catch (error) {
      return this.#isHere(visit) && this.#failedToLoad(visit, error);
    }
    if (!this.#isHere(visit)) return;
    this.#showLoading("");
    this.#allowSaving();
  }

  async #loadOne(visit, name, meter) {
    const { mixer, job, loading } = visit;
    const give = (buffer, whole) => this.#isHere(visit) && !mixer.lane(name).whole && mixer.setBuffer(name, buffer, whole);
    const buffer = await loadStem(job.stems[name], {
      rate: mixer.rate,
      signal: loading.signal,
      onBytes: (got, all) => meter.add(name, got, all),
      onBeginning: (beginning) => give(beginning, false),
    });
    give(buffer, true);
    if (visit.levels[name] || !this.#isHere(visit)) return;
    visit.levels[name] = measureLevels(buffer);
    this.#draw(visit);
  }

  #failedToLoad(visit, error) {
    if (error.name === "AbortError") return;
    visit.loading.abort();
    this.#showLoading("");
    if (error instanceof Problem && error.status === 404) {
      for (const id of ["transport", "beats", "bend", "downloads", "delete"]) show(find(`#${id}`), false);
      return this.#removed(visit);
    }
    const reason = error instanceof Problem || error instanceof TypeError ? plainly({ code: "unreachable" }) : "This browser cannot decode the stems.";
    warn(`The stems were not loaded. ${reason} Downloads still work.`, { action: { label: "Retry", run: () => this.#isHere(visit) && this.#begin(visit) } });
  }

  #showLoading(text) {
    write(find("#loading"), text);
    show(find("#loading"), text !== "");
  }

  /** For the player: whether the original is loaded or can be. @param {() => void} back has the stems play */
  async loadOriginal(back) {
    const visit = this.#visit;
    if (!visit?.mixer) return false;
    return loadOriginal(visit, { isHere: () => this.#isHere(visit), tell: (text) => this.#showLoading(text), back });
  }

  #allowSaving() {
    const visit = this.#visit;
    find("#save-mix").disabled = !visit?.mixer || Boolean(visit.saving) || !canSave(formatOfMix(), visit.mixer, visit.heavy);
  }

  async #saveMix() {
    const visit = this.#visit;
    const choice = formatOfMix();
    const here = inBrowser(choice, visit.mixer);
    visit.saving = new AbortController();
    this.#allowSaving();
    try {
      const song = { songhash: visit.songhash, name: visit.name, savedAs: visit.known?.savedAs, mixer: visit.mixer };
      const remark = await saveMix(song, choice, { tell: (text) => this.#isHere(visit) && this.#showLoading(text), signal: visit.saving.signal });
      tell(remark ? `Your mix was downloaded: ${remark}.` : "Your mix was downloaded.");
    } catch (error) {
      if (error.name !== "AbortError") this.#failedToSave(visit, error, here);
    } finally {
      visit.saving = null;
      if (this.#isHere(visit)) this.#showLoading("");
      this.#allowSaving();
    }
  }

  #failedToSave(visit, error, here) {
    const reason = here ? "this browser has too little memory for it." : plainly(error);
    warn(`The mix was not rendered: ${reason}`, { action: { label: "Retry", run: () => this.#isHere(visit) && this.#saveMix() } });
  }

  // --- deleting

  #askDelete() {
    const visit = this.#visit;
    const { songhash, name, job } = visit;
    askDelete([{ songhash, name, job }], () => (this.#isHere(visit) ? (location.hash = "#/") : this.#changed()));
  }
}
