/** The page's entry point: selects the view by URL, and connects what is picked, sent and shown. */

import * as arrangement from "./common/arrangement.js";
import { find, show } from "./common/dom.js";
import { keepShell } from "./common/shell.js";
import * as theme from "./common/theme.js";
import { clearErrors, tell, warn } from "./common/toasts.js";
import { mayHelpToRetry, plural, summary, titleOf } from "./common/words.js";
import { Home } from "./home/home.js";
import { Options } from "./home/options.js";
import { Sender } from "./home/sender.js";
import { Tray } from "./home/tray.js";
import * as keys from "./player/keys.js";
import { Player } from "./player/player.js";
import { isShared, useShare } from "./service/access.js";
import { getModels, getShared } from "./service/api.js";
import * as keydialog from "./service/keydialog.js";
import * as tickets from "./service/tickets.js";
import { remember } from "./song/history.js";
import { keepOriginal } from "./song/originals.js";
import { Progress } from "./song/progress.js";
import { Song } from "./song/song.js";

const SHARE = /^#\/share\/(share_[0-9a-f]{16}_[\w-]{43})$/;
const JOB = /^#\/job\/([0-9a-f-]{36})(?:\?(.+))?$/i;

const options = new Options(find("#options"));
const tray = new Tray(options, (files) => send(files.map((file) => ({ file, fields: options.fields() }))));
const home = new Home((files) => gather(files), () => sender.stop());
const player = new Player((back) => song.loadOriginal(back));
const song = new Song({ progress: new Progress(), player, expected: (job) => options.expected(job), changed: () => home.list(), resend });
const sender = new Sender({
  begun: (item, number, total) => item !== watched && home.showSending(titleOf(item.file.name), number, total),
  progressed: (item, fraction) => (item === watched ? song.uploaded(fraction) : home.showSent(fraction)),
  arrived,
  refused,
  finished,
});
/** The song whose upload is shown in its own view. @type {import("./home/sender.js").Item | null} */
let watched = null;

/** For tests, which import this module as the page does. */
export { player };

theme.listen();
arrangement.listen();
keepShell();
keys.listen(player);
keydialog.listen(() => {
  route();
  offer();
});
tickets.listen();
addEventListener("hashchange", () => route());
addEventListener("beforeunload", (event) => sender.busy && event.preventDefault());
document.addEventListener("click", (event) => {
  const same = event.target.closest?.("a[href='#/']") && location.hash === "#/"; // no hashchange then
  if (same) openHome();
});
route();
offer();

// --- views

function route() {
  const token = SHARE.exec(location.hash)?.[1] ?? "";
  setShare(token);
  if (token) return openShared();
  const [, songhash, mix] = JOB.exec(location.hash) ?? [];
  if (!songhash) return openHome();
  const isOwn = history.state?.isOwn; // shown there to be copied
  if (isOwn) history.replaceState(null, "", `#/job/${songhash}`);
  openSong(songhash.toLowerCase(), mix && !isOwn ? { mix, id: mix } : null);
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
  leaveUpload();
  song.close();
  view("home");
  home.enter();
}

/** @param {string} songhash @param {import("./song/linkmix.js").Link | null} [link] an address that has a mix */
function openSong(songhash, link) {
  leaveUpload();
  home.leave();
  view("song");
  song.open(songhash, link);
}

/** @param {string} token of a link; empty: none is open */
function setShare(token) {
  const left = isShared() && !token;
  useShare(token);
  document.body.classList.toggle("shared", token !== "");
  if (left) offer();
}

function openShared() {
  leaveUpload();
  home.leave();
  view("song");
  song.openShared(getShared());
}

/** An upload goes on, in the home view. */
function leaveUpload() {
  if (watched) home.showSending(titleOf(watched.file.name), 1, 1);
  watched = null;
}

async function offer() {
  if (isShared()) return;
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
  if (JOB.test(location.hash) || isShared()) history.pushState(null, "", "#/");
  setShare("");
  openHome();
  tray.add(files);
  offer();
}

/** Opens the view of a single song; several are listed. @param {import("./home/sender.js").Item[]} items */
function send(items) {
  clearErrors();
  if (items.length === 1 && !sender.busy) watchUpload(items[0]);
  else openHome();
  sender.add(items);
  if (document.activeElement === document.body) find("#main").focus(); // the pressed button is hidden
}

/** @param {{file: File, fields?: Record<string, string>}} song without fields: the current options */
function resend({ file, fields }) {
  send([{ file, fields: fields ?? options.fields() }]);
}

function watchUpload(item) {
  song.close();
  home.leave();
  view("song");
  song.uploading(titleOf(item.file.name), () => sender.stop());
  watched = item;
}

function arrived(item, { songhash, state, name }) {
  remember({ songhash, name: name?.replaceAll("_", " ") ?? titleOf(item.file.name), savedAs: name, at: Date.now(), state, fields: item.fields });
  keepOriginal(songhash, item.file);
  if (item === watched) {
    watched = null;
    history.pushState(null, "", `#/job/${songhash}`);
    openSong(songhash);
  } else if (!find("#home").hidden) home.enter();
}

function refused(item) {
  if (item !== watched) return;
  watched = null;
  openHome();
}

/** What was not sent goes back to the tray; one message says what became of all. */
function finished({ sent, refused, stopped }) {
  home.hideSending();
  tray.takeBack([...refused.map(({ item, problem }) => ({ file: item.file, problem })), ...stopped.map(({ file }) => ({ file, problem: null }))]);
  const named = refused.map(({ item, problem }) => ({ name: titleOf(item.file.name), problem }));
  const retry = { label: "Retry", run: () => tray.start() };
  if (refused.length) warn(summary(sent, named, stopped.length), { action: refused.some(({ problem }) => mayHelpToRetry(problem)) ? retry : null });
  else if (stopped.length) tell(summary(sent, [], stopped.length), { action: retry });
  else if (sent > 1) tell(`${plural(sent, "song")} sent`);
}
