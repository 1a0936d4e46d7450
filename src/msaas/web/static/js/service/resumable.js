/** Sends a large song in parts (tus 1.0). After a broken connection, or when the same file is chosen again later, it goes on
 *  where the service says. */

import { load, keep } from "../common/store.js";
import { authorization } from "./access.js";
import { ask, Problem, refusal } from "./api.js";

const PATH = "/apiv1/uploads";
const TUS = { "Tus-Resumable": "1.0.0" };
const PART_BYTES = 8 * 1024 * 1024;
const PAUSES_MS = [0, 1000, 2000, 5000, 10000, 20000, 30000]; // after failures in a row
const PASSING = [0, 409, 423, 429, 502, 503, 504];
const REMEMBERED = 20;

/** As `upload`, which decides what is large. */
export async function uploadInParts(file, options, { onProgress, signal }) {
  const path = (await rememberedPath(file)) ?? (await begin(file, signal));
  await appendAll(path, file, { onProgress, signal });
  const body = JSON.stringify({ ...options, upload: path.split("/").pop(), filename: file.name });
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await ask("/apiv1/separate", { method: "POST", headers, body, signal });
    forget(file);
    return answer.json();
  } catch (problem) {
    if (problem.status === 404) forget(file); // the service has lost bytes: the next attempt begins anew
    throw problem;
  }
}

async function begin(file, signal) {
  const headers = { ...TUS, "Upload-Length": String(file.size) };
  const answer = await ask(PATH, { method: "POST", headers, signal });
  const path = new URL(answer.headers.get("Location"), location.href).pathname;
  const others = Object.entries(load("uploads", {})).slice(1 - REMEMBERED);
  keep("uploads", { ...Object.fromEntries(others), [fingerprint(file)]: path });
  return path;
}

async function appendAll(path, file, { onProgress, signal }) {
  let failures = 0;
  for (let offset = null; offset !== file.size; ) {
    try {
      offset ??= await offsetOf(path);
      if (offset < file.size) offset = await append(path, file, offset, { onProgress, signal });
      failures = 0;
    } catch (error) {
      if (error.name === "AbortError" || !PASSING.includes(error.status) || failures >= PAUSES_MS.length) throw error;
      await pause(PAUSES_MS[failures++], signal);
      offset = null;
    }
  }
}

function append(path, file, offset, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch reports no upload progress
    const aborted = () => reject(new DOMException("the upload was cancelled", "AbortError"));
    if (signal.aborted) return aborted();
    request.open("PATCH", path);
    const own = { ...TUS, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
    for (const [name, value] of Object.entries({ ...own, ...authorization() })) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress((offset + event.loaded) / file.size);
    request.onload = () => {
      if (request.status === 204) resolve(Number(request.getResponseHeader("Upload-Offset")));
      else reject(refusal(request.status, request.responseText));
    };
    request.onerror = () => reject(new Problem({ code: "unreachable" }));
    request.onabort = aborted;
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file.slice(offset, offset + PART_BYTES));
  });
}

async function offsetOf(path) {
  const answer = await ask(path, { method: "HEAD", headers: TUS });
  return Number(answer.headers.get("Upload-Offset"));
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("the upload was cancelled", "AbortError"));
    }, { once: true });
  });
}

// --- uploads that were begun earlier, by file

const fingerprint = (file) => `${file.name} ${file.size} ${file.lastModified}`;

/** The path of an upload that was begun for this file, if the service still knows it. */
async function rememberedPath(file) {
  const path = load("uploads", {})[fingerprint(file)];
  if (!path) return null;
  try {
    await offsetOf(path);
    return path;
  } catch {
    forget(file);
    return null;
  }
}

function forget(file) {
  const { [fingerprint(file)]: _, ...others } = load("uploads", {});
  keep("uploads", others);
}
