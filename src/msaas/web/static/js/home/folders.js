/** The files of a drop or of a chosen folder. Of folders the songs are taken, in the order of their names. */

const MOST = 500; // files of one drop
const SONG = /\.(mp3|m4a|m4b|mp4|aac|flac|wav|wave|aiff?|aifc|ogg|oga|opus|webm|wma|wv|ape|alac|caf|mka|mkv|mov|3gp|amr|ac3|au|mpc|tta|dsf)$/i;
const HIDDEN = /(^|\/)\./;

/** @typedef {{path: string, file: File}} Found
 *  @typedef {{files: File[], left: string[]}} Taken `left`: names of files that were left out */

/**
 * @param {DataTransfer} transfer of a drop; read before this function first waits, since browsers empty it then
 * @returns {Promise<Taken>}
 */
export async function dropped(transfer) {
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
  const files = entries.filter((entry) => entry instanceof File);
  /** @type {Found[]} */ const found = [];
  for (const entry of entries) {
    if (entry.isFile) files.push(await fileOf(entry));
    if (entry.isDirectory) await walk(entry, found);
  }
  return taken(files.filter(Boolean), found);
}

/** @param {Iterable<File>} files of an input that takes folders @returns {Taken} */
export function chosen(files) {
  return taken([], [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
}

/** Files that were dropped themselves are taken whatever they are. @param {File[]} files @param {Found[]} found in folders */
function taken(files, found) {
  const visible = found.filter(({ path }) => !HIDDEN.test(path)).sort((a, b) => a.path.localeCompare(b.path, undefined, { numeric: true }));
  const all = [...files, ...visible.filter(isSong).map(({ file }) => file)];
  const left = [...visible.filter((one) => !isSong(one)).map(({ path }) => nameOf(path)), ...all.slice(MOST).map(({ name }) => name)];
  return { files: all.slice(0, MOST), left };
}

const isSong = ({ path, file }) => Boolean(file) && (/^(audio|video)\//.test(file.type) || SONG.test(path));
const nameOf = (path) => path.slice(path.lastIndexOf("/") + 1);

/** @param {FileSystemDirectoryEntry} folder @param {Found[]} found gets one entry for each file below it */
async function walk(folder, found) {
  const reader = folder.createReader();
  for (let entries; (entries = await batchOf(reader)).length; ) {
    for (const entry of entries) {
      if (entry.isDirectory) await walk(entry, found);
      else found.push({ path: entry.fullPath, file: await fileOf(entry) });
    }
  }
}

/** A reader gives about a hundred entries at a time, and none at the end. */
function batchOf(reader) {
  return new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
}

/** @returns {Promise<File | null>} null: it cannot be read */
function fileOf(entry) {
  return new Promise((resolve) => entry.file(resolve, () => resolve(null)));
}
