/** The dialog that asks for the service's key. Opens by itself once, and then where somebody presses for it. */

import { forgetKey, isRemembered, keepKey, key, onKeyWanted } from "./access.js";
import { find, say, show, write } from "./dom.js";
import { plainly } from "./words.js";

let asked = false;

/** @param {() => void} changed another key is shown from now on */
export function listen(changed) {
  const [button, dialog, form] = [find("#open-key"), find("#key"), find("#key-form")];
  show(button, key() !== "");
  onKeyWanted((problem) => {
    show(button, true);
    write(find("#key-text"), plainly(problem));
    if (!asked) open(dialog, form);
    asked = true;
  });
  button.addEventListener("click", () => open(dialog, form));
  form.addEventListener("submit", () => use(form, changed));
  find("#key-forget").addEventListener("click", () => {
    forgetKey();
    dialog.close();
    say("The key is forgotten");
    changed();
  });
  find("#key-close").addEventListener("click", () => dialog.close());
}

function open(dialog, form) {
  form.elements.remember.checked = isRemembered();
  show(find("#key-forget"), key() !== "");
  if (!dialog.open) dialog.showModal();
}

function use(form, changed) {
  keepKey(form.elements.key.value.trim(), form.elements.remember.checked);
  form.reset();
  asked = false; // a wrong one is told at once
  changed();
}
