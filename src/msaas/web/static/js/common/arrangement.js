/** On phones the lanes come first. CSS shows them so; this puts the document into the same order, in which the keyboard and
 *  screen readers go through it. */

import { find } from "./dom.js";

const WIDE = ["transport", "heavy", "beats", "bend", "lanes", "presets", "downloads"];
const PHONE = ["heavy", "lanes", "beats", "bend", "presets", "downloads", "transport"];

export function listen() {
  const phone = matchMedia("(max-width: 720px)");
  const arrange = () => find("#song").append(...(phone.matches ? PHONE : WIDE).map((id) => find(`#${id}`)));
  phone.addEventListener("change", arrange);
  arrange();
}
