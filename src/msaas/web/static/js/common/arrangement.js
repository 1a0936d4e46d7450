/** On phones the lanes of a song that plays come first, and the transport last. The parts lie in the document in the order in
 *  which they are seen: the keyboard and screen readers go through it. */

import { find } from "./dom.js";

const ON_PHONES = ["heavy", "lanes", "notice", "link-mix", "beats", "bend", "presets", "downloads", "transport"];

export function listen() {
  const phone = matchMedia("(max-width: 720px)");
  const [song, transport] = [find("#song"), find("#transport")];
  const [buttons, axis] = transport.children;
  const elsewhere = [...song.children];
  let isForPhones = false;
  const arrange = () => {
    if (isForPhones === (phone.matches && !transport.hidden)) return;
    isForPhones = !isForPhones;
    const focused = document.activeElement;
    song.append(...(isForPhones ? ON_PHONES.map((id) => find(`#${id}`)) : elsewhere));
    transport.append(...(isForPhones ? [axis, buttons] : [buttons, axis]));
    if (focused !== document.activeElement) focused.focus({ preventScroll: true }); // what is moved loses it
  };
  phone.addEventListener("change", arrange);
  new MutationObserver(arrange).observe(transport, { attributeFilter: ["hidden"] });
}
