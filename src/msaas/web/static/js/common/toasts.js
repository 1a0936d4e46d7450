/** Messages that everybody sees, at the top of the page, which makes room for those that stay. They never take the focus;
 *  errors stay until they are closed. */

import { copyOf, find, measure } from "./dom.js";

const READ_MS = 8000;
const MOST = 4;

/** @typedef {{label: string, run: () => void}} Action
 *  @typedef {{action?: Action | null, closed?: () => void}} More `closed`: called once, however the toast goes, but not
 *  if its action is taken */

/** Good news; goes by itself, unless it has an action. @param {string} text @param {More} [more] @returns {any} the toast */
export function tell(text, more = {}) {
  const toast = add("status", text, more);
  if (!more.action) {
    toast.classList.add("brief");
    goLater(toast);
  }
  return toast;
}

/** An error. @param {string} text @param {More} [more] */
export function warn(text, more = {}) {
  add("alert", text, more);
}

/** Closes the errors: what they report is being tried again. */
export function clearErrors() {
  for (const toast of [...find("#toasts").children]) if (toast.role === "alert") toast.close();
}

/** @param {"status" | "alert"} role */
function add(role, text, { action, closed }) {
  const list = find("#toasts");
  for (const other of [...list.children]) if (find(".toast-text", other).textContent === text) other.close();
  while (list.children.length >= MOST) list.firstElementChild.close();
  const toast = copyOf("toast-template");
  toast.setAttribute("role", role);
  toast.close = () => {
    take(toast);
    closed?.();
  };
  find(".toast-close", toast).addEventListener("click", () => toast.close());
  toast.addEventListener("keydown", (event) => event.key === "Escape" && toast.close());
  toast.addEventListener("focusin", (event) => (toast.from ??= event.relatedTarget));
  addAction(toast, action);
  list.append(toast); // before its text: a change of a live region is announced
  find(".toast-text", toast).textContent = text;
  return toast;
}

function addAction(toast, action) {
  const button = find(".toast-act", toast);
  button.hidden = !action;
  if (!action) return;
  button.textContent = action.label;
  button.addEventListener("click", () => {
    take(toast);
    action.run();
  });
}

measure("toasts");

/** Removes a toast; the focus returns to where it came from. */
function take(toast) {
  const had = toast.contains(document.activeElement);
  toast.remove();
  if (!had) return;
  if (toast.from?.isConnected && toast.from.getClientRects().length) toast.from.focus();
  else find("#main").focus({ preventScroll: true });
}

/** Not while it is pointed at or has the focus. */
function goLater(toast) {
  setTimeout(() => {
    if (!toast.isConnected) return;
    if (toast.matches(":hover, :focus-within")) goLater(toast);
    else toast.close();
  }, READ_MS);
}
