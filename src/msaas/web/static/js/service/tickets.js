/** Downloads by the browser itself, which cannot send a key: with a key, each click requests a signed link first. */

import { key } from "./access.js";
import { getLinks } from "./api.js";
import { warn } from "../common/toasts.js";
import { plainly } from "../common/words.js";

const SONGHASH = /^\/apiv1\/(?:track|jobs)\/([0-9a-f-]{36})/i;

export function listen() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[download]");
    const songhash = link && link.origin === location.origin && SONGHASH.exec(link.pathname)?.[1];
    if (!songhash || !key()) return;
    event.preventDefault();
    download(songhash, { pathname: link.pathname, search: link.search });
  });
}

/** Downloads a file of a song. @param {string} path its address in the API, maybe with a name */
export function saveLink(path) {
  const { pathname, search } = new URL(path, location.href);
  const songhash = SONGHASH.exec(pathname)?.[1];
  if (songhash && key()) return download(songhash, { pathname, search });
  click(path);
}

async function download(songhash, link) {
  try {
    await open(songhash, link);
  } catch (error) {
    warn(`The download failed. ${plainly(error)}`, { action: { label: "Retry", run: () => download(songhash, link) } });
  }
}

async function open(songhash, { pathname, search }) {
  const { stems, stems_zip } = await getLinks(songhash, search);
  click([...Object.values(stems), stems_zip].find((one) => one.split("?")[0] === pathname) ?? pathname);
}

function click(href) {
  const link = document.createElement("a");
  link.href = href;
  link.download = "";
  link.click();
}
