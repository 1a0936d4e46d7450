/** Ranges of bytes of a stem on the service, or of a file that this browser has. */

import { ask } from "../../service/api.js";

/** `head`: the first bytes
 *  @typedef {{size: number, head: Uint8Array, read: (from: number, to: number, signal?: AbortSignal) => Promise<Uint8Array>}} Bytes */

const HEAD_BYTES = 12; // that tell the format

/** @param {string} path @param {AbortSignal} signal @returns {Promise<Bytes>} */
export async function bytesOf(path, signal) {
  const ranged = (from, to, signal) => ask(path, { headers: { Range: `bytes=${from}-${to - 1}` }, signal });
  const bytes = async (answer) => new Uint8Array(await answer.arrayBuffer());
  const first = await ranged(0, HEAD_BYTES, signal);
  const size = Number(/\/(\d+)$/.exec(first.headers.get("Content-Range") ?? "")?.[1] ?? 0);
  const read = async (from, to, signal) => bytes(await ranged(from, Math.min(to, size), signal));
  return { size, head: await bytes(first), read };
}

/** @param {Blob} file @returns {Promise<Bytes>} */
export async function bytesOfFile(file) {
  const read = async (from, to) => new Uint8Array(await file.slice(from, to).arrayBuffer());
  return { size: file.size, head: await read(0, HEAD_BYTES), read };
}
