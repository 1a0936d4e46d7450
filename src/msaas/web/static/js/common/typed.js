/** A field for a typed value: taken with Enter or when the field is left, given up with Escape. */

import { tell } from "./toasts.js";

/** The last remark, which the next value replaces. @type {any} */
let last = null;

/** @param {HTMLInputElement} field
 *  @param {(text: string) => string | void} take returns what is to be said: the range, if the text is not taken as it is */
export function listenTyped(field, take) {
  const shown = () => field.dataset.shown;
  field.addEventListener("focus", () => field.select());
  field.addEventListener("change", () => {
    const text = field.value;
    field.value = shown();
    last?.close();
    const remark = take(text);
    last = remark ? tell(remark) : null;
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") field.value = shown();
    if (event.key === "Escape" || event.key === "Enter") field.blur();
  });
}

/** @param {HTMLInputElement} field @param {string} text */
export function showTyped(field, text) {
  if (field.dataset.shown !== text) field.value = text; // else it may be edited now
  field.dataset.shown = text;
}
