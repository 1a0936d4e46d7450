/**
 * The address of a song with its mix: shared by the system on phones, else copied. With a key it is a link that opens this
 * song without one, for some days.
 */

import { tell, warn } from "../common/toasts.js";
import { dayOf, plainly } from "../common/words.js";
import { key } from "../service/access.js";
import { revokeShare, shareSong } from "../service/api.js";

/** @param {string} songhash @param {string} title @param {string} mix as text; may be empty */
export async function share(songhash, title, mix) {
  if (!key()) return pass(title, `#/job/${songhash}${mix && `?${mix}`}`, "The link to this mix was copied.");
  try {
    const link = await shareSong(songhash, mix);
    const action = { label: "Revoke", run: () => revoke(link) };
    await pass(title, link.url.replace(/^\//, ""), `A link that opens this song without a key until ${dayOf(link.expires_at)} was copied.`, action);
  } catch (problem) {
    warn(`The song was not shared. ${plainly(problem)}`, { action: { label: "Retry", run: () => share(songhash, title, mix) } });
  }
}

async function pass(title, hash, text, action = null) {
  const url = new URL(hash, location.href).href;
  if (matchMedia("(pointer: coarse)").matches && navigator.share) {
    return navigator.share({ title, url }).catch(() => {}); // rejected if the user closes the dialog
  }
  try {
    await navigator.clipboard.writeText(url);
    tell(text, { action });
  } catch {
    // allowed over https and on this machine only
    if (action) return tell(url, { action });
    history.replaceState({ isOwn: true }, "", hash); // after a reload it is not somebody's link
    tell("The address of this page contains the mix now. Copy it from there.");
  }
}

async function revoke({ songhash, id }) {
  try {
    await revokeShare(songhash, id);
    tell("The link was revoked");
  } catch (problem) {
    warn(`The link was not revoked. ${plainly(problem)}`, { action: { label: "Retry", run: () => revoke({ songhash, id }) } });
  }
}
