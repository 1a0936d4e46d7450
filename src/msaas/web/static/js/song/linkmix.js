/**
 * The mix that a song opens with: one's own, or that of the link by which it was opened. Each is kept by itself: a link's mix is
 * as the link says when it is first opened, then as it was left, and takes no part of one's own.
 */

import { find, say, show, write } from "../common/dom.js";
import { tell, warn } from "../common/toasts.js";
import * as mixes from "../player/mixes.js";

/** The note about a link's mix, and its button. */
const NOTE = "#link-mix";
const INVALID = "The mix in this address is not valid. Your own mix is open.";
const IN_PART = "Part of the mix in this address is not valid, and was left out or limited.";

/** @typedef {{mix: string, id: string}} Link `mix`: its mix as text, maybe not valid; `id` distinguishes it from other links */

/** Sets the mixer, and keeps what is changed from then on.
 *  @param {import("../player/mixer.js").Mixer} mixer @param {string} songhash @param {Link | null} link null: none
 *  @returns {boolean} false: the link's mix is not valid, and one's own is open */
export function openMix(mixer, songhash, link) {
  show(find(NOTE), false);
  const fit = link ? mixes.fit(mixer, link.mix) : "none";
  if (fit !== "none") openLinks(mixer, songhash, link, fit);
  else openOwn(mixer, songhash);
  if (link && fit === "none") warn(INVALID);
  return !link || fit !== "none";
}

function openOwn(mixer, songhash) {
  mixes.apply(mixer, mixes.kept(songhash) ?? "");
  mixer.addEventListener("change", () => mixes.keepMix(songhash, mixes.textOf(mixer) || null));
}

/** @param {Link} link @param {"all" | "some"} fit */
function openLinks(mixer, songhash, link, fit) {
  const changed = mixes.kept(songhash, link.id);
  mixes.apply(mixer, link.mix);
  const asShared = mixes.textOf(mixer);
  if (changed !== null) mixes.apply(mixer, changed);
  else if (fit === "some") tell(IN_PART);
  const keep = () => {
    const text = mixes.textOf(mixer);
    mixes.keepMix(songhash, text === asShared ? null : text, link.id);
    write(find(`${NOTE} p`), text === asShared ? "You hear the mix of a link." : "You hear the mix of a link, with your changes.");
  };
  mixer.addEventListener("change", keep);
  keep();
  find(`${NOTE} button`).onclick = () => {
    mixes.apply(mixer, link.mix);
    say("The mix is as the link says");
  };
  find(`${NOTE} a`).href = `#/job/${songhash}`;
  show(find(NOTE), true);
}
