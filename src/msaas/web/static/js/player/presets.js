/** Mixes by one button: lanes that are muted or soloed, the volumes as they are. Pure, but for the buttons. */

import { find, show } from "../common/dom.js";

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

/** @param {string} preset @param {Lane[]} lanes @returns {boolean} whether the lanes are as it sets them */
export function isSet(preset, lanes) {
  return lanes.every(({ name, level }) => level.muted === PRESETS[preset](name) && !level.soloed);
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
    button.addEventListener("click", () => chosen(isSet(preset, mixer().stems) ? null : preset));
    return button;
  });
  box.replaceChildren(...buttons);
  show(box, buttons.length > 0);
}

/** @param {Lane[]} lanes */
export function refresh(lanes) {
  for (const button of find("#presets").children) button.setAttribute("aria-pressed", String(isSet(button.textContent, lanes)));
}
