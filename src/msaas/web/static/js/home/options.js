/** The options of an upload: filled from the server's models, remembered, converted to form fields. */

import { copyOf, find, show } from "../common/dom.js";
import { keep, load } from "../common/store.js";
import { clock, licenceName, secondsOf, stemName, waitName } from "../common/words.js";

const TYPICAL_SONG_SECONDS = 240;
const SHORTEST_SECONDS = 8; // a shorter song takes as long: msaas.queue.pace
const FALLBACK = { default: "", models: [], formats: ["mp3", "flac", "wav"] };
const USUAL_STEMS = ["drums", "bass", "other", "vocals"];
const FORMATS = [
  ["mp3 320", "MP3, 320 kb/s"],
  ["mp3 192", "MP3, 192 kb/s"],
  ["mp3 128", "MP3, 128 kb/s"],
  ["flac", "FLAC, 24 bit"],
  ["flac 16", "FLAC, 16 bit"],
  ["wav", "WAV, 32-bit float"],
  ["wav 24", "WAV, 24 bit"],
  ["wav 16", "WAV, 16 bit"],
  ["m4a 256", "M4A (AAC), 256 kb/s"],
  ["opus 192", "Opus, 192 kb/s"],
  ["stems.m4a 256", "One file for DJs (.stem.m4a), 256 kb/s"],
];
const RATES = [
  ["", "The model's"],
  ["source", "The song's own"],
  ["44100", "44.1 kHz"],
  ["48000", "48 kHz"],
];
const ONLY_RATES = { opus: [["", "48 kHz"]], "stems.m4a": [["", "44.1 kHz"]] };
const ONE_FILE = "stems.m4a"; // with the mix and all stems

export class Options {
  #form; #offer = FALLBACK; #songs = []; #chosen = null;

  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.#form = form;
    form.addEventListener("change", () => this.#changed());
    form.addEventListener("submit", (event) => event.preventDefault());
    this.offer(FALLBACK);
  }

  /** @param {any} offer the answer of GET /apiv1/models */
  offer(offer) {
    this.#offer = offer;
    const kept = this.#kept();
    const { model, format, quality, mono } = this.#form.elements;
    fill(model, offer.models.map((one) => [one.name, withWait(one.name, one)]), kept.model ?? offer.default);
    show(find("#model-field"), offer.models.length > 1);
    fill(format, FORMATS.filter(([value]) => offer.formats.includes(value.split(" ")[0])), kept.format ?? "mp3 320");
    this.#fillRates(kept.rate);
    mono.checked = kept.mono ?? false;
    this.#fillStems(kept);
    this.#fillRefine(kept);
    this.#fillQualities(kept.quality ?? "balanced");
    show(find("#quality-field"), quality.options.length > 1);
    this.#showFacts();
  }

  /** The choices of this tab; another one may have kept others since. */
  #kept() {
    return this.#chosen ?? load("options", {});
  }

  /** @returns {Record<string, string>} form fields; defaults are left out, so that the server's apply */
  fields() {
    const { model, which, format, quality, rate, mono } = this.#form.elements;
    const [kind, detail] = format.value.split(" ");
    const fields = { format: kind };
    if (detail) fields[["flac", "wav"].includes(kind) ? "bit_depth" : "bitrate"] = detail;
    if (rate.value) fields.sample_rate = rate.value;
    if (mono.checked && kind !== ONE_FILE) fields.mono = "true";
    for (const side of ["start", "end"]) {
      const text = this.#form.elements[side].value.trim();
      if (text) fields[side] = String(secondsOf(text) ?? text); // the server says what is wrong with it
    }
    if (model.value && model.value !== this.#offer.default) fields.model = model.value;
    if (quality.value && quality.value !== "balanced") fields.quality = quality.value;
    if (kind === ONE_FILE) return fields;
    if (which.value.startsWith("two ")) fields.two_stems = which.value.slice(4);
    const some = this.#chosenStems();
    if (which.value === "some" && some.length && some.length < this.#stems().length) fields.stems = some.join(",");
    const refine = Object.entries(this.#refine()).map(([stem, name]) => `${stem}=${name}`);
    if (refine.length) fields.refine = refine.join(",");
    return fields;
  }

  /** Seconds that songs of these lengths take here with the chosen options; null before any was separated.
   *  @param {number[]} lengths in seconds @returns {number | null} */
  secondsFor(lengths) {
    return this.#secondsFor(lengths, this.#form.elements.quality.value);
  }

  /** Why no worker runs these songs with the chosen options now; empty if one does. */
  get reasonToWait() {
    return this.#reasonToWait(this.#form.elements.quality.value);
  }

  /** Seconds until a worker is free for another song. */
  get secondsUntilFree() {
    return this.#offer.seconds_until_free ?? 0;
  }

  /** Names each quality's time for songs of these lengths. @param {number[]} lengths in seconds */
  showCosts(lengths) {
    this.#songs = lengths;
    this.#fillQualities(this.#form.elements.quality.value);
  }

  /** The stems that a job is expected to have. @param {any} job @returns {string[]} */
  expected({ model, options }) {
    if (options?.format === ONE_FILE) return ["mix"];
    const two = options?.two_stems;
    const stems = two ? [two, `no_${two}`] : (options?.stems ?? this.#sources(model));
    const parts = Object.entries(options?.refine ?? {}).flatMap(([stem, refiner]) => this.#partsOf(stem, refiner));
    return inOrder([...stems, ...parts]);
  }

  /** Some formats have one rate only; the file for DJs has all stems. */
  #fillRates(chosen) {
    const { rate, format, which, mono } = this.#form.elements;
    const [kind] = format.value.split(" ");
    fill(rate, ONLY_RATES[kind] ?? RATES, chosen ?? "");
    which.disabled = mono.disabled = kind === ONE_FILE;
  }

  #changed() {
    const { model, which, format, quality, rate, mono } = this.#form.elements;
    const kept = {
      model: model.value,
      which: which.value,
      format: format.value,
      quality: quality.value,
      rate: rate.value,
      mono: mono.checked,
      left: this.#leftStems(),
      refine: this.#refine(),
    };
    this.#chosen = kept;
    keep("options", kept);
    this.#fillRates(kept.rate);
    this.#fillStems(kept);
    this.#fillRefine(kept);
    this.#showFacts();
  }

  /** Below the choice of models: for whom the model is, its stems, and its licence. */
  #showFacts() {
    const name = this.#form.elements.model.value;
    const model = this.#model(name);
    const line = find("#model-facts");
    show(line, this.#offer.models.length > 1 && Boolean(model?.summary));
    if (!model?.summary) return;
    const stems = inOrder(model.sources).map(stemName).join(", ");
    line.textContent = `${model.summary} Stems: ${stems}. Licence of its weights: ${licenceName(model.licence)}.`;
  }

  #secondsFor(lengths, quality) {
    if (this.#reasonToWait(quality)) return null;
    const { work } = this.#qualityOf(quality);
    const paces = this.#running(quality).map((model) => model?.seconds_per_audio_second ?? 0);
    if (!paces.every((pace) => pace > 0)) return null;
    const seconds = lengths.reduce((sum, length) => sum + Math.max(length, SHORTEST_SECONDS), 0);
    return seconds * work * paces.reduce((sum, pace) => sum + pace, 0);
  }

  #qualityOf(quality) {
    return this.#offer.qualities?.[quality] ?? { work: 1 };
  }

  /** The models of a run, one a pass: that of the song, and for each refined stem its own. */
  #running(quality) {
    const picked = this.#form.elements.model.value;
    const name = picked && picked !== this.#offer.default ? picked : (this.#qualityOf(quality).model ?? this.#offer.default);
    return [name, ...Object.values(this.#refine())].map((one) => this.#model(one));
  }

  #reasonToWait(quality) {
    return waitName(this.#running(quality).find((model) => model?.waiting_for)?.waiting_for);
  }

  #model(name) {
    return this.#offer.models.find((model) => model.name === name);
  }

  /** The choices of quality: each with its time for the picked songs, or in times of the usual one. */
  #fillQualities(chosen) {
    const lengths = this.#songs.length ? this.#songs : [TYPICAL_SONG_SECONDS];
    const what = { 0: "a 4-minute song", 1: "this song" }[this.#songs.length] ?? "these songs";
    const choices = Object.entries(this.#offer.qualities ?? {}).map(([name, { work }]) => {
      const seconds = this.#secondsFor(lengths, name);
      const otherwise = uncapital(this.#reasonToWait(name)) || `${work.toPrecision(2)} × the time`;
      return [name, `${capital(name)} (${seconds === null ? otherwise : `${clock(seconds)} for ${what}`})`];
    });
    fill(this.#form.elements.quality, choices, chosen);
  }

  #stems() {
    return this.#sources(this.#form.elements.model.value || this.#offer.default);
  }

  #sources(name) {
    return this.#model(name)?.sources ?? USUAL_STEMS;
  }

  #fillStems(kept) {
    const stems = inOrder(this.#stems());
    const choices = [
      ["all", `All ${stems.length} stems`],
      ...stems.map((stem) => [`two ${stem}`, `${capital(stemName(stem))} and ${stemName(`no_${stem}`).toLowerCase()}`]),
      ["some", "Selected stems …"],
    ];
    fill(this.#form.elements.which, choices, kept.which ?? "all");
    const boxes = find("#some-stems");
    show(boxes, this.#form.elements.which.value === "some");
    find(".checks", boxes).replaceChildren(...stems.map((stem) => box(stem, !kept.left?.includes(stem))));
  }

  /** The stems to make by the choices so far. */
  #made() {
    const { which } = this.#form.elements;
    if (which.value.startsWith("two ")) return [which.value.slice(4)];
    return which.value === "some" ? this.#chosenStems() : this.#stems();
  }

  /** A choice of models for each stem to make that a model on offer separates further. */
  #fillRefine(kept) {
    const refiners = (stem) => this.#offer.models.filter((model) => model.refines?.includes(stem));
    const fields = inOrder(this.#made())
      .filter((stem) => refiners(stem).length)
      .map((stem) => refineField(stem, refiners(stem), kept.refine?.[stem]));
    const box = find("#refine");
    box.replaceChildren(find("legend", box), ...fields);
    show(box, fields.length > 0);
  }

  /** @returns {Record<string, string>} stem ▸ model that separates it further */
  #refine() {
    const chosen = [...this.#form.querySelectorAll("#refine select")].filter((select) => select.value);
    return Object.fromEntries(chosen.map((select) => [select.dataset.stem, select.value]));
  }

  /** The parts that are expected; whether there is a residual only the worker knows. */
  #partsOf(stem, refiner) {
    return (this.#model(refiner)?.sources ?? []).map((part) => `${stem}.${part}`);
  }

  /** Stems that the user does not want, those of other models included. A new model's own stems are wanted. */
  #leftStems() {
    const boxes = [...this.#form.querySelectorAll(".checks input")];
    const elsewhere = (this.#kept().left ?? []).filter((stem) => !boxes.some(({ value }) => value === stem));
    return [...elsewhere, ...boxes.filter(({ checked }) => !checked).map(({ value }) => value)];
  }

  #chosenStems() {
    return [...this.#form.querySelectorAll(".checks input:checked")].map((input) => input.value);
  }
}

const ORDER = ["vocals", "drums", "bass", "guitar", "piano", "other"];

/** Stems in the usual order; unknown ones after them, no_… stems last, and a stem's parts behind it.
 *  @param {string[]} stems */
export function inOrder(stems) {
  const rank = (stem) => (stem.startsWith("no_") ? 99 : (ORDER.indexOf(stem.split(".")[0]) + 1 || 50));
  const isPart = (stem) => Number(stem.includes("."));
  return [...stems].sort((a, b) => rank(a) - rank(b) || isPart(a) - isPart(b));
}

function fill(select, choices, wanted) {
  select.replaceChildren(...choices.map(([value, label]) => new Option(label, value)));
  if (choices.some(([value]) => value === wanted)) select.value = wanted;
}

function refineField(stem, models, chosen) {
  const label = copyOf("refine-template");
  const select = find("select", label);
  find("span", label).textContent = capital(stemName(stem));
  select.dataset.stem = stem;
  fill(select, [["", "As it is"], ...models.map((model) => [model.name, withWait((model.sources ?? [model.name]).map(stemName).join(", "), model)])], chosen ?? "");
  return label;
}

/** @param {string} label @param {any} model of the offer */
function withWait(label, { waiting_for }) {
  const reason = uncapital(waitName(waiting_for));
  return reason ? `${label} (${reason})` : label;
}

function box(stem, checked) {
  const label = copyOf("check-template");
  find("input", label).value = stem;
  find("input", label).checked = checked;
  find("span", label).textContent = capital(stemName(stem));
  return label;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function uncapital(text) {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
