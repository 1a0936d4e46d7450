/** The uploaded files, kept for comparison: the last few, in IndexedDB if available. */

const MAX_FILES = 5;
const MAX_BYTES = 120e6;

const session = new Map();

/** @param {string} songhash @param {File} file */
export async function keepOriginal(songhash, file) {
  session.set(songhash, file);
  if (file.size > MAX_BYTES) return;
  await inStore("readwrite", (files) => files.put({ songhash, file, at: Date.now() }));
  await prune();
}

/** @returns {Promise<Blob | null>} null if it is not stored */
export async function original(songhash) {
  if (session.has(songhash)) return session.get(songhash);
  const found = await inStore("readonly", (files) => files.get(songhash));
  return found?.file ?? null;
}

export async function dropOriginal(songhash) {
  session.delete(songhash);
  await inStore("readwrite", (files) => files.delete(songhash));
}

async function prune() {
  const all = (await inStore("readonly", (files) => files.getAll())) ?? [];
  for (const { songhash } of all.sort((a, b) => b.at - a.at).slice(MAX_FILES)) {
    await inStore("readwrite", (files) => files.delete(songhash));
  }
}

/** Runs one request; null without a database (private windows, full disks). */
async function inStore(mode, ask) {
  try {
    const database = await opened();
    return await promised(ask(database.transaction("files", mode).objectStore("files")));
  } catch {
    return null;
  }
}

let database = null;

function opened() {
  if (database) return database;
  const request = indexedDB.open("msaas", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("files", { keyPath: "songhash" });
  database = promised(request);
  return database;
}

function promised(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
