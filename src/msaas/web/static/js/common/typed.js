/** A field for a typed value: taken with Enter or when the field is left, given up with Escape. */

/** @param {HTMLInputElement} field @param {(text: string) => void} take */
export function listenTyped(field, take) {
  const shown = () => field.dataset.shown;
  field.addEventListener("focus", () => field.select());
  field.addEventListener("change", () => {
    const text = field.value;
    field.value = shown();
    take(text);
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
