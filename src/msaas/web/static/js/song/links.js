/** The links by which a song is shared, in a dialog, each with a button that revokes it. */

import { openDialog } from "../common/dialogs.js";
import { copyOf, find, show, write } from "../common/dom.js";
import { momentOf, plainly, plural } from "../common/words.js";
import { getShares, revokeShare } from "../service/api.js";

/** @param {string} songhash */
export async function showLinks(songhash) {
  const dialog = find("#links");
  dialog.dataset.songhash = songhash; // an answer for another song is not shown
  list(songhash, []);
  write(find("#links-note"), "Looking for links …");
  openDialog(dialog);
  await change(songhash, () => getShares(songhash));
}

/** @param {string} songhash @param {() => Promise<{shares: any[]}>} call that answers with the links that are left */
async function change(songhash, call) {
  try {
    const { shares } = await call();
    if (find("#links").dataset.songhash === songhash) list(songhash, shares);
  } catch (problem) {
    write(find("#links-note"), plainly(problem));
  }
}

function list(songhash, shares) {
  find("#links ul").replaceChildren(...shares.map((share) => row(songhash, share)));
  show(find("#links ul"), shares.length > 0);
  write(find("#links-note"), shares.length ? `${plural(shares.length, "link")} opened without a key, by whoever has it.` : "No link opens this song.");
}

function row(songhash, { id, created_at, expires_at, mix }) {
  const element = copyOf("link-template");
  const made = momentOf(created_at);
  find(".link-made", element).textContent = `Made ${made}${mix ? ", with a mix" : ""}`;
  find(".link-end", element).textContent = `until ${momentOf(expires_at)}`;
  const button = find("button", element);
  button.setAttribute("aria-label", `Revoke the link made ${made}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    await change(songhash, () => revokeShare(songhash, id));
    button.disabled = false;
    if (!button.isConnected) (find("#links").querySelector("li button") ?? find("#links-close")).focus();
  });
  return element;
}
