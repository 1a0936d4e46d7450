/** Keyboard shortcuts of the player. They can be switched off (WCAG 2.1.4), and are inactive in form fields. */

import { openDialog } from "../common/dialogs.js";
import { find } from "../common/dom.js";
import { keep, load } from "../common/store.js";

const STEP_SECONDS = 5;
const FINE_SECONDS = 1;
const STEP_DB = 1;
const STEP_PAN = 10;
const STEP_TEMPO = 5;

/** key ▸ action; the second argument: whether Shift is pressed */
const ACTIONS = {
  " ": (player) => player.toggle(),
  k: (player) => player.toggle(),
  ArrowLeft: (player, fine) => player.nudge(fine ? -FINE_SECONDS : -STEP_SECONDS),
  ArrowRight: (player, fine) => player.nudge(fine ? FINE_SECONDS : STEP_SECONDS),
  ArrowUp: (player, shift) => (shift ? player.move(-1) : player.choose(-1)),
  ArrowDown: (player, shift) => (shift ? player.move(1) : player.choose(1)),
  Home: (player) => player.toStart(),
  0: (player) => player.allOn(),
  m: (player) => player.flip("muted"),
  s: (player) => player.flip("soloed"),
  "+": (player) => player.turn(STEP_DB),
  "=": (player) => player.turn(STEP_DB),
  "-": (player) => player.turn(-STEP_DB),
  ",": (player) => player.shift(-STEP_PAN),
  ".": (player) => player.shift(STEP_PAN),
  "[": (player) => player.markLoop("start", false),
  "]": (player) => player.markLoop("end", false),
  "{": (player) => player.markLoop("start", true),
  "}": (player) => player.markLoop("end", true),
  "<": (player) => player.tempo.faster(-STEP_TEMPO),
  ">": (player) => player.tempo.faster(STEP_TEMPO),
  o: (player) => player.tempo.higher(-1),
  p: (player) => player.tempo.higher(1),
  r: (player) => player.tempo.reset(),
  l: (player) => player.toggleLoop(),
  a: (player) => player.toggleSide(),
  b: (player, shift) => (shift ? player.beats.oneHere() : player.beats.toggleSnap()),
  t: (player, shift) => (shift ? player.clicks.toggleCountIn() : player.clicks.toggle()),
  z: (player, shift) => (shift ? player.zoomToLoop() : player.zoom.closer()),
  x: (player) => player.zoom.wider(),
  c: (player) => player.zoom.scroll(-1),
  v: (player) => player.zoom.scroll(1),
  f: (player, shift) => (shift ? player.zoom.toggleFollow() : player.zoom.all()),
};

/** @param {import("./player.js").Player} player */
export function listen(player) {
  const switch_ = find("#keys-on");
  switch_.checked = load("keys", true);
  switch_.addEventListener("change", () => keep("keys", switch_.checked));
  find("#open-help").addEventListener("click", () => openDialog(find("#help")));
  document.addEventListener("focusin", (event) => {
    const lane = player.mixer && player.lanes.laneOf(event.target);
    if (lane) player.chooseNamed(lane);
  });
  document.addEventListener("keydown", (event) => switch_.checked && press(event, player));
  find("#song").addEventListener("click", letGo);
}

function press(event, player) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "?") return openDialog(find("#help"));
  const act = player.mixer && actionOf(event);
  if (!act || belongsToControl(event)) return;
  event.preventDefault();
  act(player);
}

/** @param {KeyboardEvent} event */
function actionOf(event) {
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
  if (digit) return (player) => player.flip(event.shiftKey ? "muted" : "soloed", Number(digit) - 1);
  const action = ACTIONS[event.key] ?? ACTIONS[event.key.toLowerCase()];
  return action && ((player) => action(player, event.shiftKey));
}

/** Space presses a focused button, arrows move a focused slider; the seek slider moves like the shortcuts. */
function belongsToControl({ key, target }) {
  if (target.id === "seek") return false;
  if (target.matches("select, textarea, input:not([type=range])")) return true;
  if (target.matches("button, a")) return key === " " || key === "Enter";
  return target.matches("input[type=range]") && (key.startsWith("Arrow") || key === "Home");
}

/** A button clicked with the mouse drops the focus, so that Space plays instead of pressing it again. */
function letGo(event) {
  if (event.pointerType === "mouse") event.target.closest("button")?.blur();
}
