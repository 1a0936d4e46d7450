/** Deletes a song after confirmation: its stems on the server, or only its entry in this browser. */

import { cancelJob, getJob, removeStems } from "../service/api.js";
import { find, say, write } from "../common/dom.js";
import { forget } from "./history.js";
import { dropOriginal } from "./originals.js";
import { hasEnded } from "../service/watch.js";
import { plainly } from "../common/words.js";

/**
 * Asks for confirmation, then deletes the song.
 * @param {string} songhash @param {string} name @param {any} [job] @returns {Promise<boolean>} whether its entry was removed
 */
export async function askDelete(songhash, name, job) {
  const dialog = find("#confirm");
  write(find("#confirm-text"), `“${name}”: deleting removes its stems from the server, for everybody. Removing takes it off this browser's list.`);
  dialog.returnValue = "keep";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (!["delete", "forget"].includes(dialog.returnValue)) return false;
  try {
    if (dialog.returnValue === "delete") await deleteEverywhere(job ?? (await getJob(songhash)));
  } catch (error) {
    if (error.status !== 404) {
      say(plainly(error));
      return false;
    }
  }
  forget(songhash);
  await dropOriginal(songhash);
  say(`${name} was deleted`);
  return true;
}

function deleteEverywhere(job) {
  return hasEnded(job) ? removeStems(job) : cancelJob(job.songhash);
}
