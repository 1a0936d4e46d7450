/** The address of a song with its mix: shared by the system on phones, else copied. */

import { tell } from "../common/toasts.js";

/** @param {string} songhash @param {string} title @param {string} mix as text; may be empty */
export async function share(songhash, title, mix) {
  const hash = `#/job/${songhash}${mix && `?${mix}`}`;
  const url = new URL(hash, location.href).href;
  if (matchMedia("(pointer: coarse)").matches && navigator.share) {
    return navigator.share({ title, url }).catch(() => {}); // rejected if the user closes the dialog
  }
  try {
    await navigator.clipboard.writeText(url);
    tell("The link to this mix was copied.");
  } catch {
    // allowed over https and on this machine only
    history.replaceState(null, "", hash);
    tell("The address of this page contains the mix now. Copy it from there.");
  }
}
