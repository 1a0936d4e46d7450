/** Deletes a song after confirmation: its stems on the server, or only its entry in this browser. */

import { cancelJob, getJob, removeStems } from "../service/api.js";
import { find, write } from "../common/dom.js";
import { tell, warn } from "../common/toasts.js";
import { forget, restore, sentAs } from "./history.js";
import { dropOriginal } from "./originals.js";
import { keepMix } from "../player/mixes.js";
import { hasEnded } from "../service/watch.js";
import { plainly } from "../common/words.js";

/**
 * Asks for confirmation, then deletes the song.
 * @param {string} songhash @param {string} name @param {any} job null: unknown
 * @param {() => void} changed called when its entry was removed, or put back
 */
export async function askDelete(songhash, name, job, changed) {
  const dialog = find("#confirm");
  write(find("#confirm-text"), `“${name}”: deleting removes its stems from the server, for everybody. Removing takes it off this browser's list.`);
  dialog.returnValue = "keep";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue === "forget") return takeOff(songhash, name, changed);
  if (dialog.returnValue === "delete") await remove(songhash, name, job, changed);
}

/** Takes a song off the list. @param {() => void} changed called then, and when it is put back */
function takeOff(songhash, name, changed) {
  const entry = sentAs(songhash);
  forget(songhash);
  changed();
  tell(`${name} was taken off the list`, {
    action: entry && {
      label: "Undo",
      run: () => {
        restore([entry]);
        changed();
      },
    },
    closed: () => drop(songhash),
  });
}

/** What this browser keeps of a song beside its entry. */
function drop(songhash) {
  keepMix(songhash, "");
  return dropOriginal(songhash);
}

async function remove(songhash, name, job, changed) {
  try {
    await deleteEverywhere(job ?? (await getJob(songhash)));
  } catch (error) {
    if (error.status !== 404) return failed(error, songhash, name, job, changed);
  }
  forget(songhash);
  await drop(songhash);
  tell(`${name} was deleted`);
  changed();
}

function failed(error, ...what) {
  const [, name] = what;
  warn(`${name} was not deleted. ${plainly(error)}`, { action: { label: "Retry", run: () => remove(...what) } });
}

function deleteEverywhere(job) {
  return hasEnded(job) ? removeStems(job) : cancelJob(job.songhash);
}
