/** Opens all stems of a long song for playing piece by piece. */

import { bytesOf } from "./bytes.js";
import { openFlac } from "./flac.js";
import { openM4a } from "./m4a.js";
import { openMp3 } from "./mp3.js";
import { openOpus } from "./opus.js";
import { Unfit } from "./unfit.js";
import { openWav } from "./wav.js";

/** How a format begins; an MP3 with a tag, or with its first frame. */
const OPENERS = [
  [/^fLaC/, openFlac],
  [/^(RIFF|RF64)/, openWav],
  [/^....ftyp/s, openM4a],
  [/^OggS/, openOpus],
  [/^(ID3|\xff[\xe0-\xff])/, openMp3],
];

/**
 * @param {Record<string, string>} paths by stem @param {AbortSignal} signal
 * @returns {Promise<{rate: number, cutters: Map<string, import("./stream.js").Cutter>} | null>} null: they have to be
 *   decoded as a whole
 */
export async function openStems(paths, signal) {
  try {
    const opened = await Promise.all(Object.entries(paths).map(async ([name, path]) => [name, await open(path, signal)]));
    const cutters = new Map(opened);
    const [rate, ...others] = new Set([...cutters.values()].map((cutter) => cutter.rate));
    return others.length ? null : { rate, cutters };
  } catch (error) {
    if (error instanceof Unfit) return null;
    throw error;
  }
}

const open = async (path, signal) => openSound(await bytesOf(path, signal), signal);

/** @param {import("./bytes.js").Bytes} bytes @param {AbortSignal} signal @returns {Promise<import("./stream.js").Cutter>} rejects with Unfit */
export async function openSound(bytes, signal) {
  const beginning = String.fromCharCode(...bytes.head);
  const opener = OPENERS.find(([mark]) => mark.test(beginning))?.[1];
  if (!opener) throw new Unfit("no format that can be cut");
  return opener(bytes, signal);
}
