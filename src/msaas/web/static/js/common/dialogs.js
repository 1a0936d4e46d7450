/** Opens dialogs. When one is closed, the focus returns to where it was; if that was nowhere, or is gone, to the page's main part. */

import { find } from "./dom.js";

/** @param {HTMLDialogElement} dialog */
export function openDialog(dialog) {
  if (dialog.open) return;
  dialog.showModal();
  dialog.addEventListener("close", () => {
    const { activeElement } = document;
    const isLost = activeElement === document.body || dialog.contains(activeElement); // otherwise the browser has returned it
    if (isLost) find("#main").focus({ preventScroll: true });
  }, { once: true });
}
