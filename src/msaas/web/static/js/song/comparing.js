/** The control that compares the stems with the original, if this browser has it. */

import { find, show, write } from "../common/dom.js";
import { warn } from "../common/toasts.js";
import { ORIGINAL } from "../player/mixer.js";
import { decode, part } from "../player/stems.js";
import { original } from "./originals.js";
import { openOriginal, streamOriginal } from "./streaming.js";

const IN_PIECES = "No comparison with the original: a song of this length is played in pieces, which the format of its file does not allow.";

/** @typedef {{songhash: string, job: any, mixer: import("../player/mixer.js").Mixer, streamed?: boolean, loading: AbortController, original?: any}} Visit */

export function hideSides() {
  for (const id of ["sides", "sides-note"]) show(find(`#${id}`), false);
}

/** Shows the control, or why there is none. @param {Visit} visit @param {() => boolean} isHere whether its song is shown */
export async function offerOriginal(visit, isHere) {
  const file = await original(visit.songhash);
  if (!file || !isHere()) return;
  const { rate } = visit.mixer;
  if (visit.streamed) visit.original = await openOriginal(file, startOf(visit), rate, visit.loading.signal).catch(() => null);
  if (!isHere()) return;
  const can = !visit.streamed || visit.original !== null;
  show(find("#sides"), can);
  write(find("#sides-note"), can ? "" : IN_PIECES);
  show(find("#sides-note"), !can);
}

/** @param {Visit} visit @param {{isHere: () => boolean, tell: (text: string) => void, back: () => void}} how `back`: has the
 *  stems play @returns {Promise<boolean>} whether the original is there */
export async function loadOriginal(visit, { isHere, tell, back }) {
  const lane = visit.mixer.lane(ORIGINAL);
  if (lane.buffer || lane.stream) return true;
  tell("Loading the original …");
  try {
    return await (visit.streamed ? inPieces(visit, { isHere, back }) : whole(visit, isHere));
  } catch (error) {
    if (error.name !== "AbortError") refuse();
    return false;
  } finally {
    if (isHere()) tell("");
  }
}

async function inPieces(visit, { isHere, back }) {
  const failed = () => {
    if (!isHere()) return;
    visit.mixer.setStream(ORIGINAL, null);
    back();
    refuse();
  };
  await streamOriginal(visit.mixer, visit.original, { signal: visit.loading.signal, failed });
  return isHere();
}

async function whole(visit, isHere) {
  const file = await original(visit.songhash);
  if (!file) return false;
  const buffer = await decode(await file.arrayBuffer(), visit.mixer.rate);
  if (isHere()) visit.mixer.setBuffer(ORIGINAL, part(buffer, startOf(visit), visit.mixer.frames), true);
  return isHere();
}

const startOf = ({ job }) => job.options?.start ?? 0;

function refuse() {
  warn("This browser cannot play the original");
  hideSides();
}
