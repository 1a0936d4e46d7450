/** On phones the lanes come first. CSS shows them so; this puts the document into the same order, in which the keyboard and
 *  screen readers go through it. */

import { find } from "./dom.js";

const ON_PHONES = ["heavy", "lanes", "link-mix", "beats", "bend", "presets", "downloads", "transport"];

export function listen() {
  const phone = matchMedia("(max-width: 720px)");
  const elsewhere = [...find("#song").children];
  const arrange = () => {
    const focused = document.activeElement;
    find("#song").append(...(phone.matches ? ON_PHONES.map((id) => find(`#${id}`)) : elsewhere));
    if (focused !== document.activeElement) focused.focus({ preventScroll: true }); // what is moved loses it
  };
  phone.addEventListener("change", arrange);
  if (phone.matches) arrange();
}
