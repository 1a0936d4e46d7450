/** The colour switch. Follows the system until the user chooses; /static/first-paint.js applies the choice at once. */

import { find, say } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const systems = () => (dark.matches ? "dark" : "light");
const other = (theme) => (theme === "dark" ? "light" : "dark");

export function listen() {
  const button = find("#theme");
  const root = document.documentElement;
  const current = () => root.dataset.theme ?? systems();
  const label = () => {
    button.title = `Switch to ${other(current())} colours`;
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    const wanted = other(current());
    if (wanted === systems()) delete root.dataset.theme;
    else root.dataset.theme = wanted;
    remember(root.dataset.theme);
    label();
    say(`Switched to ${wanted} colours`);
    document.dispatchEvent(new Event("themechange"));
  });
  dark.addEventListener("change", label);
  label();
}

/** @param {string | undefined} theme undefined: the system's */
function remember(theme) {
  try {
    if (theme) localStorage.setItem("msaas.theme", theme);
    else localStorage.removeItem("msaas.theme");
  } catch {
    // no storage: applies to this visit only
  }
}
