/**
 * Saves the mix: as WAV of 32-bit floats by this browser, once it has the whole stems; in other formats, and of songs that
 * are too long for the browser, by the service.
 */

import { find } from "../common/dom.js";
import { SILENT_DB } from "../player/levels.js";
import { mixdown, save } from "../player/mixdown.js";
import { isShared } from "../service/access.js";
import { Problem, mixStems, named } from "../service/api.js";
import { saveLink } from "../service/tickets.js";
import { Watch } from "../service/watch.js";

export const BROWSER_FORMAT = "wav";

/** The format to save in: for the holder of a link the browser's own, otherwise the chosen one. @returns {string} */
export const formatOfMix = () => (isShared() ? BROWSER_FORMAT : find("#mix-format").value);

/** What an option's value stands for: a format and maybe a bit depth. @param {string} choice `flac`, `wav 24` */
function outputOf(choice) {
  const [format, bit_depth] = choice.split(" ");
  return bit_depth ? { format, bit_depth } : { format };
}

/** The mixer's levels as the API takes them. @param {import("../player/mixer.js").Mixer} mixer */
export function levelsOf({ stems }) {
  const level = ({ db, pan, muted, soloed }) => ({ gain_db: db <= SILENT_DB ? "-inf" : db, pan, mute: muted, solo: soloed });
  return Object.fromEntries(stems.map((lane) => [lane.name, level(lane.level)]));
}

/** Whether this browser renders the mix itself. */
export const inBrowser = (choice, mixer) => choice === BROWSER_FORMAT && mixer.whole;

/** Whether a mix can be saved now: by the service at once, but not for the holder of a link; by the browser when it has the
 *  stems.
 * @param {boolean} heavy the stems are not loaded, because the song is long */
export const canSave = (choice, mixer, heavy) => inBrowser(choice, mixer) || (!isShared() && (choice !== BROWSER_FORMAT || heavy));

/**
 * @param {{songhash: string, name: string, savedAs?: string | null, mixer: import("../player/mixer.js").Mixer}} song
 * @param {string} choice the format @param {{tell: (text: string) => void, signal: AbortSignal}} how
 * @returns {Promise<string | void>} what the service says of the mix, such as that it was turned down; rejects with a Problem, an AbortError, or what the browser's rendering throws
 */
export async function saveMix(song, choice, { tell, signal }) {
  tell("Rendering your mix …");
  if (inBrowser(choice, song.mixer)) return save(await mixdown(song.mixer), `${song.name} (Mix).wav`);
  const job = await mixStems(song.songhash, { levels: levelsOf(song.mixer), ...outputOf(choice) });
  const done = await rendered(job, { tell, signal });
  saveLink(named(done.stems.mix, song.savedAs));
  return done.warnings.map(({ detail }) => detail).join("; ");
}

/** Follows a mix to its end. */
function rendered(job, { tell, signal }) {
  if (job.state === "done") return Promise.resolve(job);
  return new Promise((resolve, reject) => {
    const watch = new Watch(job.songhash, {
      job: (now) => {
        if (now.state === "done") resolve(now);
        else if (now.state === "failed") reject(new Problem({ ...now.error, status: 422 }));
        else if (now.state === "cancelled") reject(new Problem({ code: "job_cancelled" }));
        else if (now.state === "running") tell(`Rendering your mix … ${Math.floor(now.progress * 100)} %`);
        else tell("Your mix waits for a worker …");
      },
      gone: () => reject(new Problem({ code: "job_unknown", status: 404 })),
      refused: () => reject(new Problem({ code: "key_missing", status: 401 })),
      link: () => {},
    });
    signal.addEventListener("abort", () => {
      watch.stop();
      reject(new DOMException("the song was left", "AbortError"));
    });
  });
}
