/** Sends a song as a form, a large one in parts. XMLHttpRequest, because fetch reports no upload progress. */

import { authorization } from "./access.js";
import { checkKey, Problem, refusal } from "./api.js";
import { uploadInParts } from "./resumable.js";

const LARGE_BYTES = 20_000_000;

/**
 * @param {File} file
 * @param {Record<string, string>} options form fields beside the file
 * @param {{onProgress: (fraction: number) => void, signal: AbortSignal}} how
 * @returns {Promise<{songhash: string, state: string, name: string | null}>} rejects with a Problem, or an AbortError
 */
export async function upload(file, options, { onProgress, signal }) {
  // A service that refuses a body without reading all of it resets the connection: the browser may then see no answer.
  await checkKey();
  signal.throwIfAborted(); // cancelled meanwhile: there will be no event
  if (file.size > LARGE_BYTES) return uploadInParts(file, options, { onProgress, signal });
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/apiv1/separate");
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => settle(request, resolve, reject);
    request.onerror = () => reject(new Problem({ code: "unreachable" }));
    request.onabort = () => reject(new DOMException("the upload was cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form(file, options));
  });
}

function settle(request, resolve, reject) {
  if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText));
  else reject(refusal(request.status, request.responseText));
}

function form(file, options) {
  const data = new FormData();
  // Options come first, so that the server can reject one without reading the song.
  for (const [name, value] of Object.entries(options)) data.append(name, value);
  data.append("file", file, file.name);
  return data;
}
