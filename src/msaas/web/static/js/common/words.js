/** Texts for numbers, states and errors. Pure. */

const STAGES = {
  fetching: "Fetching the song",
  decoding: "Listening to the song",
  separating: "Separating",
  encoding: "Writing the stems",
  storing: "Storing the stems",
};

/** code ▸ text; other codes show the server's detail */
const PLAIN = {
  not_audio: "This file has no readable audio. Try an MP3, WAV, FLAC or M4A.",
  bad_audio: "The audio in this file is damaged.",
  audio_too_long: "This song is too long for this service.",
  decoded_too_large: "This song is too long for this service.",
  upload_too_large: "This file is too large for this service.",
  empty_file: "This file is empty.",
  upload_cut_short: "The upload was interrupted. Please send the song again.",
  queue_unavailable: "The service is not ready at the moment. Please try again shortly.",
  storage_unavailable: "The service is not ready at the moment. Please try again shortly.",
  storage_refused: "The service could not store the song for a long time. Send it again later.",
  object_damaged: "The stored copy of this song is damaged. Please send it again.",
  storage_full: "The service has no room left for another song.",
  scratch_full: "The service has no room left for another song at the moment.",
  busy: "The service is busy. Please try again in a moment.",
  fetch_refused: "The service may not fetch songs from this address.",
  fetch_failed: "The song could not be fetched from its address.",
  key_missing: "This service requires a key. Its operator can give you one.",
  key_unknown: "This service does not know that key.",
  scope_missing: "Your key does not allow this.",
  rate_limited: "Too many requests. Please try again in a minute.",
  too_many_songs: "You have too many songs waiting. Send this one when some are done.",
  too_many_uploads: "Too many of your uploads are unfinished. Try again later.",
  too_many_callbacks: "Too many of your callbacks are undelivered.",
  audio_quota_exceeded: "Your audio quota for 24 hours is used up.",
  queue_full: "Too many songs are waiting. Please try again later.",
  job_unknown: "This song is not known here. It may have been removed.",
  object_missing: "This song is no longer stored. Please send it again.",
  model_unavailable: "The model could not be loaded.",
  device_unavailable: "The service cannot use the device it was set up for.",
  out_of_memory: "The service ran out of memory on this song.",
  separation_failed: "The separation failed.",
  worker_child_died: "The separation crashed several times, possibly for lack of memory.",
  worker_lost: "The separation was interrupted several times, possibly for lack of memory.",
  record_broken: "The record of this song was damaged. Send the song again.",
  too_many_attempts: "The separation failed several times.",
  cancelled: "The separation was stopped.",
  unreachable: "The service cannot be reached. Check your network connection.",
  internal_error: "Something went wrong on the server.",
};

/** @param {{code?: string, detail?: string}} problem @returns {string} one or two sentences */
export function plainly({ code = "", detail = "" }) {
  if (PLAIN[code]) return PLAIN[code];
  return detail ? detail[0].toUpperCase() + detail.slice(1) + (/[.!?]$/.test(detail) ? "" : ".") : "Something went wrong.";
}

/** codes of refusals that the same file meets each time */
const HOPELESS = new Set(["not_audio", "bad_audio", "empty_file", "upload_too_large", "audio_too_long", "decoded_too_large"]);

/** Whether the same file may be accepted when it is sent again. @param {{code?: string} | null} problem */
export function mayHelpToRetry(problem) {
  return !HOPELESS.has(problem?.code);
}

const MOST_NAMES = 3;

/** One text for what became of several songs: `1 sent, 2 refused: This file is empty (a, b).`
 *  @param {number} sent @param {{name: string, problem: any}[]} refused @param {number} stopped */
export function summary(sent, refused, stopped) {
  if (refused.length === 1 && !sent && !stopped) return `${refused[0].name}: ${plainly(refused[0].problem)}`;
  const counts = [sent && `${sent} sent`, refused.length && `${refused.length} refused`, stopped && `${stopped} not sent`];
  const reasons = Map.groupBy(refused, ({ problem }) => plainly(problem));
  const texts = [...reasons].map(([reason, those]) => `${reason.replace(/\.$/, "")} (${listed(those.map(({ name }) => name))}).`);
  return `${counts.filter(Boolean).join(", ")}${texts.length ? ": " : "."}${texts.join(" ")}`;
}

/** Some names of many. @param {string[]} names */
export function listed(names) {
  const rest = names.length - MOST_NAMES;
  return names.slice(0, MOST_NAMES).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** code of a queued song's `waiting_for` ▸ text */
const WAITS = {
  no_worker: "Waiting for a worker to start",
  model_not_offered: "Waiting for a worker that has this model",
  storage_refused: "Waiting: the storage accepts no uploads at the moment",
  scratch_full: "Waiting: the service's disk is full",
  out_of_memory: "Waiting: the service has too little memory for this model",
};

const DAY = /** @type {const} */ ({ day: "numeric", month: "short", year: "numeric" });

/** `75.2` ▸ `1:15` */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** `75.25, 2` ▸ `1:15.25` @param {number} digits after the point, 0 … 6 */
export function fineClock(seconds, digits) {
  const unit = 10 ** digits;
  const units = Math.max(0, Math.round(seconds * unit));
  const whole = clock(Math.floor(units / unit));
  return digits ? `${whole}.${String(units % unit).padStart(digits, "0")}` : whole;
}

/** `1:15.5` or `75.5` ▸ 75.5; null for an empty or invalid text. @param {string} text */
export function secondsOf(text) {
  const parts = text.trim().replace(",", ".").split(":");
  if (!parts.every((part) => /^\d+(\.\d+)?$/.test(part)) || parts.length > 3) return null;
  return parts.reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** A day in the browser's locale, its month as a word. @param {string | number} at ISO 8601, or milliseconds since 1970 */
export function dayOf(at) {
  return new Intl.DateTimeFormat(undefined, DAY).format(new Date(at));
}

/** The same with the time. @param {string | number} at */
export function momentOf(at) {
  return new Intl.DateTimeFormat(undefined, { ...DAY, hour: "2-digit", minute: "2-digit" }).format(new Date(at));
}

/** Remaining time, rounded to its accuracy. @param {number | null} seconds */
export function timeLeft(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 4) return "a moment left";
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} seconds left`;
  if (seconds < 5400) return `about ${plural(Math.round(seconds / 60), "minute")} left`;
  return `about ${plural(Math.round(seconds / 3600), "hour")} left`;
}

/** A duration as it is estimated. @param {number} seconds */
export function roughly(seconds) {
  if (seconds < 5) return "a few seconds";
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} seconds`;
  if (seconds < 5400) return `about ${plural(Math.max(1, Math.round(seconds / 60)), "minute")}`;
  return `about ${plural(Math.round(seconds / 360) / 10, "hour")}`;
}

export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export function bytes(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  return count >= 1e6 ? `${Math.round(count / 1e6)} MB` : `${Math.ceil(count / 1e3)} kB`;
}

/** Why no worker runs a model or a song, in words; empty if one does. @param {{code: string, detail: string} | null} [waiting] */
export function waitName(waiting) {
  return waiting ? (WAITS[waiting.code] ?? `Waiting: ${waiting.detail}`) : "";
}

/** A job's state as text. @param {any} job a job's view */
export function stageOf(job) {
  if (job.state === "queued") return waitName(job.waiting_for) || waitingWords(job.queue_position);
  if (job.state === "running") return STAGES[job.stage] ?? "Getting ready";
  return { done: "Done", failed: "Failed", cancelled: "Cancelled" }[job.state] ?? job.state;
}

function waitingWords(position) {
  if (position === null || position === undefined) return "Waiting for its turn";
  return position > 0 ? `Waiting: ${plural(position, "song")} before this one` : "Next in line";
}

/** A job's length, model, stems and format, as far as they are known. */
export function factsOf({ duration_seconds, model, options }) {
  const { format, bitrate, bit_depth, two_stems, stems } = options ?? {};
  const kind = format && [format.toUpperCase(), bitrate ?? bit_depth].filter(Boolean).join(" ");
  const which = two_stems ? `${two_stems} and ${stemName(`no_${two_stems}`).toLowerCase()}` : (stems ?? []).join(", ");
  return [duration_seconds ? clock(duration_seconds) : "", model, which, kind].filter(Boolean).join(" · ");
}

/** For searching: without case and accents. @param {string} text */
export function folded(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** The licence of a model's weights in words. @param {{id: string, commercial: boolean | null}} licence */
export function licenceName({ id, commercial }) {
  if (commercial === null) return "not stated by its author";
  const name = id === "LicenseRef-research-only" ? "for research only" : id;
  return commercial ? name : `${name}, no commercial use`;
}

/** A stem's display name. @param {string} stem */
export function stemName(stem) {
  const [whole, part] = stem.split(".");
  if (part) return `${stemName(whole)}: ${part === "residual" ? "the rest" : stemName(part)}`;
  if (stem === "no_vocals") return "Instrumental";
  return stem.startsWith("no_") ? `All but ${stem.slice(3)}` : stem.replaceAll("_", " ");
}

/** A fader's decibel value as text; the lowest is silence. */
export function decibels(db, lowest) {
  if (db <= lowest) return "−∞";
  return `${db > 0 ? "+" : db < 0 ? "−" : ""}${Math.abs(db)} dB`;
}

/** `-6`, `−6,5 dB`, `+3` ▸ decibels, to a tenth; `-inf`, `−∞` ▸ the lowest; null for anything else */
export function decibelsOf(text, lowest) {
  const plain = text.trim().toLowerCase().replace(/[−–]/g, "-").replace(",", ".").replace(/\s*db$/, "");
  if (/^-(inf|∞)$/.test(plain)) return lowest;
  return /^[+-]?\d+(\.\d+)?$/.test(plain) ? Math.round(Number(plain) * 10) / 10 : null;
}

/** −100 … 100 ▸ `L40`, `C`, `R100` */
export function place(percent) {
  return percent === 0 ? "C" : `${percent < 0 ? "L" : "R"}${Math.abs(percent)}`;
}

/** @param {string} name of a file */
export function titleOf(name) {
  return name.replace(/\.[A-Za-z0-9]{2,5}$/, "").replaceAll("_", " ").trim() || name;
}
