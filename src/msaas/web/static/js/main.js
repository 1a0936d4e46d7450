/** The page's entry point: selects the view by URL and handles new files. */

import { getModels } from "./service/api.js";
import { find, say, show, vary, write } from "./common/dom.js";
import { remember } from "./song/history.js";
import { Home } from "./home/home.js";
import * as keydialog from "./service/keydialog.js";
import * as keys from "./player/keys.js";
import { Lanes } from "./player/lanes.js";
import { Options } from "./home/options.js";
import { keepOriginal } from "./song/originals.js";
import { Player } from "./player/player.js";
import { Progress } from "./song/progress.js";
import { Song } from "./song/song.js";
import * as theme from "./common/theme.js";
import * as tickets from "./service/tickets.js";
import { Tray } from "./home/tray.js";
import { upload } from "./service/upload.js";
import { titleOf } from "./common/words.js";

const JOB = /^#\/job\/([0-9a-f-]{36})$/i;

const options = new Options(find("#options"));
const tray = new Tray(options, (files) => start(files));
const home = new Home((files) => gather(files));
const lanes = new Lanes(find("#lanes"), {
  level: (name, change) => player.mixer?.setLevel(name, change),
  seek: (seconds) => player.seek(seconds),
  loop: (region) => player.setLoop(region),
});
const player = new Player(lanes, () => song.loadOriginal());
const song = new Song({ progress: new Progress(), lanes, player, expected: (job) => options.expected(job) });
/** The current upload. A single song's is cancelled when its view is left. @type {{stop: AbortController, alone: boolean} | null} */
let sending = null;

/** For tests, which import this module as the page does. */
export { player };

theme.listen();
keys.listen(player, (target) => lanes.laneOf(target));
keydialog.listen(() => {
  route();
  offer();
});
tickets.listen();
addEventListener("hashchange", () => route());
addEventListener("beforeunload", (event) => sending && event.preventDefault());
route();
offer();

// --- views

function route() {
  const songhash = JOB.exec(location.hash)?.[1];
  if (sending?.alone) sending.stop.abort();
  if (songhash) openSong(songhash.toLowerCase());
  else openHome();
}

function view(name) {
  const moved = find(`#${name}`).hidden && !(find("#home").hidden && find("#song").hidden);
  show(find("#home"), name === "home");
  show(find("#song"), name === "song");
  if (!moved) return;
  scrollTo(0, 0);
  find("#main").focus(); // the focused element is hidden
}

function openHome() {
  song.close();
  view("home");
  home.enter();
}

function openSong(songhash) {
  home.leave();
  home.clearAlert();
  view("song");
  song.open(songhash);
}

async function offer() {
  try {
    const found = await getModels();
    options.offer(found);
    home.showLimits(found.limits);
    tray.refresh();
  } catch {
    // keep the defaults; an upload will report the error
  }
}

// --- sending

/** Puts files into the tray, in the home view, and reads anew what they take here. @param {File[]} files */
function gather(files) {
  if (JOB.test(location.hash)) history.pushState(null, "", "#/"); // no hashchange, which would stop an upload begun since
  openHome();
  home.clearAlert();
  tray.add(files);
  offer();
}

/** @param {File[]} files @returns {boolean} false while others are being sent */
function start(files) {
  home.clearAlert();
  if (sending) {
    home.alert("Not yet", { detail: "other songs are being sent; send these when they have arrived" });
    return false;
  }
  send(files);
  return true;
}

/** Opens the view of a single song; several are uploaded one after the other and listed. @param {File[]} files */
async function send(files) {
  const chosen = options.fields();
  if (files.length === 1) return sendOne(files[0], chosen);
  location.hash = "#/";
  openHome();
  await sendAll(files, chosen);
}

async function sendOne(file, chosen) {
  home.leave();
  view("song");
  song.uploading(titleOf(file.name), () => sending?.stop.abort());
  const songhash = await attempt(file, chosen, true, (fraction) => song.uploaded(fraction));
  if (!songhash) {
    history.replaceState(null, "", "#/");
    return openHome();
  }
  history.pushState(null, "", `#/job/${songhash}`);
  openSong(songhash);
}

async function sendAll(files, chosen) {
  const card = find("#sending");
  show(card, true);
  for (const [index, file] of files.entries()) {
    write(find(".label", card), `Sending ${index + 1} of ${files.length}: ${titleOf(file.name)}`);
    await attempt(file, chosen, false, (fraction) => showSending(card, fraction));
    if (!find("#home").hidden) home.enter();
  }
  show(card, false);
  say(`${files.length} songs sent`);
}

function showSending(card, fraction) {
  const bar = find(".bar", card);
  vary(bar, "done", fraction);
  bar.setAttribute("aria-valuenow", String(Math.floor(fraction * 100)));
}

/** @returns {Promise<string | null>} the songhash; null if rejected (the error is shown) or cancelled */
async function attempt(file, chosen, alone, onProgress) {
  sending = { stop: new AbortController(), alone };
  try {
    const { songhash, state, name } = await upload(file, chosen, { onProgress, signal: sending.stop.signal });
    remember({ songhash, name: name?.replaceAll("_", " ") ?? titleOf(file.name), savedAs: name, at: Date.now(), state });
    keepOriginal(songhash, file);
    return songhash;
  } catch (error) {
    if (error.name !== "AbortError") home.alert(titleOf(file.name), error);
    return null;
  } finally {
    sending = null;
  }
}
