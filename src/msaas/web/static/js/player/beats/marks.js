/** Bars and beats on the ruler, and as lines behind the lanes' waveforms. */

import { find, show, vary } from "../../common/dom.js";
import { BEATS_A_BAR } from "./grid.js";

const APART_PIXELS = 44; // between two numbers
const LINE_PIXELS = 9; // between two lines

/** @param {import("./grid.js").Grid | null} grid @param {import("../timeline/view.js").View} view @param {HTMLElement} ruler as wide as the lanes */
export function showBeats(grid, view, ruler) {
  const row = find(".bars", ruler);
  const lanes = find("#lanes");
  const isKnown = grid !== null && view.length > 0;
  show(row, isKnown);
  lanes.classList.toggle("with-beats", isKnown);
  if (!isKnown) return row.replaceChildren();
  const pixels = (grid.step / view.span) * ruler.clientWidth; // of a beat
  row.replaceChildren(...named(grid, view, pixels).map((beat) => mark(beat, view)));
  drawLines(grid, view, pixels, lanes, ruler.clientWidth);
}

/** The beats that get a number: all, first beats, or those of every second, fourth … bar. */
function named(grid, view, pixels) {
  if (pixels >= APART_PIXELS) return grid.between(view.start, view.end);
  const bars = 2 ** Math.max(0, Math.ceil(Math.log2(APART_PIXELS / (pixels * BEATS_A_BAR))));
  return grid.between(view.start, view.end).filter(({ bar, beat }) => beat === 1 && (bar - 1) % bars === 0);
}

function mark({ seconds, bar, beat }, view) {
  const element = document.createElement("span");
  element.textContent = beat === 1 ? String(bar) : `${bar}.${beat}`;
  element.classList.toggle("one", beat === 1);
  vary(element, "at", view.fraction(seconds));
  return element;
}

/** Repeating backgrounds: the width of a beat and of a bar, from a first beat at or before the view. */
function drawLines(grid, view, pixels, lanes, width) {
  const [first] = grid.between(view.start - BEATS_A_BAR * grid.step, view.end).filter(({ beat }) => beat === 1);
  const left = first ? ((first.seconds - view.start) / view.span) * width : 0;
  const bar = pixels * BEATS_A_BAR;
  lanes.style.setProperty("--beat", `${pixels >= LINE_PIXELS ? pixels : bar}px`);
  lanes.style.setProperty("--bar", `${bar}px`);
  lanes.style.setProperty("--one", `${left}px`);
  lanes.classList.toggle("dense-beats", bar < LINE_PIXELS);
}
