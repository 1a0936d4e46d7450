/** Mixes by one button: lanes that are muted or soloed, the volumes as they are. Pure, but for the buttons. */

import { find, show } from "../common/dom.js";
import { SILENT_DB } from "./levels.js";

const of = (...stems) => (name) => stems.some((stem) => name === stem || name.startsWith(`${stem}.`));

/** name ▸ the lanes that it mutes */
const PRESETS = {
  Karaoke: of("vocals"),
  "A cappella": (name) => !of("vocals")(name),
  Drumless: of("drums"),
  "Bass practice": of("bass"),
};

/** @typedef {{name: string, level: import("./levels.js").Level}} Lane */

/** The presets that leave something to hear and something out. @param {Lane[]} lanes @returns {string[]} */
export function presetsFor(lanes) {
  const isUseful = (mutes) => lanes.some(({ name }) => mutes(name)) && !lanes.every(({ name }) => mutes(name));
  return Object.entries(PRESETS).filter(([, mutes]) => isUseful(mutes)).map(([preset]) => preset);
}

/** @param {string} preset @param {Lane[]} lanes @returns {boolean} whether the lanes that it mutes are muted, and all others are heard */
export function isSet(preset, lanes) {
  const isAsSet = (mutes, { muted, soloed, db }) => muted === mutes && !soloed && (mutes || db > SILENT_DB);
  return lanes.every(({ name, level }) => isAsSet(PRESETS[preset](name), level));
}

/** @param {import("./mixer.js").Mixer} mixer @param {string | null} preset null: all lanes are on */
export function set(mixer, preset) {
  for (const { name } of mixer.stems) mixer.setLevel(name, { muted: Boolean(preset && PRESETS[preset](name)), soloed: false });
}

/** The buttons of a song. @param {() => import("./mixer.js").Mixer} mixer @param {(preset: string | null) => void} chosen */
export function showButtons(mixer, chosen) {
  const box = find("#presets");
  const buttons = presetsFor(mixer().stems).map((preset) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet preset", textContent: preset });
    button.addEventListener("click", () => chosen(button.getAttribute("aria-pressed") === "true" ? null : preset));
    return button;
  });
  box.replaceChildren(...buttons);
  show(box, buttons.length > 0);
}

/** None is set while the original plays. @param {import("./mixer.js").Mixer} mixer */
export function refresh({ stems, side }) {
  for (const button of find("#presets").children) button.setAttribute("aria-pressed", String(side === "stems" && isSet(button.textContent, stems)));
}
