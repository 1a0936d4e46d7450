/** Deletes songs after confirmation: their stems on the server, or only their entries in this browser. */

import { openDialog } from "../common/dialogs.js";
import { find, write } from "../common/dom.js";
import { tell, warn } from "../common/toasts.js";
import { plainly, plural } from "../common/words.js";
import { dropMixes } from "../player/mixes.js";
import { cancelJob, getJob, removeStems } from "../service/api.js";
import { hasEnded } from "../service/watch.js";
import { forget, restore, sentAs, unhide } from "./history.js";
import { dropOriginal } from "./originals.js";

/** @typedef {{songhash: string, name: string, job?: any}} Song `job`: if it is known */

/**
 * Asks for confirmation, then deletes the songs.
 * @param {Song[]} songs @param {() => void} changed called when entries were removed, or put back
 */
export async function askDelete(songs, changed) {
  const [its, it] = songs.length === 1 ? ["its", "it"] : ["their", "them"];
  const dialog = find("#confirm");
  write(find("#confirm-title"), songs.length === 1 ? "Delete this song?" : `Delete ${plural(songs.length, "song")}?`);
  write(find("#confirm-text"), `${called(songs)}: deleting removes ${its} stems from the server, for everybody. Removing takes ${it} off this browser's list; the service keeps ${it}.`);
  write(find("[value=delete]", dialog), `Delete ${its} stems`);
  write(find("[value=forget]", dialog), `Only remove ${it} here`);
  write(find("[value=keep]", dialog), `Keep ${it}`);
  dialog.returnValue = "keep";
  openDialog(dialog);
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue === "forget") return takeOff(songs, changed);
  if (dialog.returnValue === "delete") await remove(songs, changed);
}

/** Takes songs off the list. @param {Song[]} songs @param {() => void} changed */
function takeOff(songs, changed) {
  const entries = songs.map(({ songhash }) => sentAs(songhash)).filter(Boolean);
  for (const { songhash } of songs) forget(songhash);
  changed();
  const undo = () => {
    restore(entries);
    unhide(songs.map(({ songhash }) => songhash));
    changed();
  };
  const closed = () => songs.forEach(({ songhash }) => drop(songhash));
  tell(`${called(songs)} ${songs.length === 1 ? "was" : "were"} taken off the list`, { action: { label: "Undo", run: undo }, closed });
}

/** @param {Song[]} songs @param {() => void} changed */
async function remove(songs, changed) {
  const kept = [];
  let problem = null;
  for (const song of songs) {
    const refusal = await deleteOne(song);
    problem ??= refusal;
    if (refusal) kept.push(song);
  }
  if (kept.length < songs.length) changed();
  const gone = songs.filter((song) => !kept.includes(song));
  if (gone.length) tell(`${called(gone)} ${gone.length === 1 ? "was" : "were"} deleted`);
  if (!problem) return;
  const text = `${called(kept)} ${kept.length === 1 ? "was" : "were"} not deleted. ${plainly(problem)}`;
  warn(text, { action: { label: "Retry", run: () => remove(kept, changed) } });
}

/** @param {Song} song @returns {Promise<any>} the problem, or null */
async function deleteOne({ songhash, job }) {
  try {
    await deleteEverywhere(job ?? (await getJob(songhash)));
  } catch (error) {
    if (error.status !== 404) return error;
  }
  forget(songhash);
  await drop(songhash);
  return null;
}

function deleteEverywhere(job) {
  return hasEnded(job) ? removeStems(job) : cancelJob(job.songhash);
}

/** What this browser keeps of a song beside its entry. */
function drop(songhash) {
  dropMixes(songhash);
  return dropOriginal(songhash);
}

/** @param {Song[]} songs */
function called(songs) {
  return songs.length === 1 ? `“${songs[0].name}”` : plural(songs.length, "song");
}
