/** The dialog for the service's key. Opens automatically once, then on request. */

import { forgetKey, isRemembered, keepKey, key, onKeyWanted } from "./access.js";
import { openDialog } from "../common/dialogs.js";
import { find, show, write } from "../common/dom.js";
import { tell } from "../common/toasts.js";
import { plainly } from "../common/words.js";

let asked = false;

/** @param {() => void} changed called when the key changes */
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
    tell("The key was removed");
    changed();
  });
  find("#key-close").addEventListener("click", () => dialog.close());
}

function open(dialog, form) {
  form.elements.remember.checked = isRemembered();
  show(find("#key-forget"), key() !== "");
  openDialog(dialog);
}

function use(form, changed) {
  keepKey(form.elements.key.value.trim(), form.elements.remember.checked);
  form.reset();
  asked = false; // a wrong key opens the dialog again
  changed();
}
