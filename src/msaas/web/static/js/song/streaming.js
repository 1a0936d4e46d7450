/** Plays a long song piece by piece, where its format can be cut. */

import { openStems } from "../player/stream/open.js";
import { Stream } from "../player/stream/stream.js";

/**
 * @param {import("../player/mixer.js").Mixer} mixer @param {Record<string, string>} paths by stem
 * @param {{signal: AbortSignal, failed: (error: Error) => void}} how
 * @returns {Promise<boolean>} false: the stems have to be decoded as a whole
 */
export async function streamStems(mixer, paths, { signal, failed }) {
  const opened = await openStems(paths, signal);
  if (!opened || opened.rate !== mixer.rate) return false;
  for (const [name, cutter] of opened.cutters) mixer.setStream(name, new Stream(cutter, { frames: mixer.frames, signal, failed }));
  return true;
}
