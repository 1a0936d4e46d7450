/** Keeps the screen on while a song is uploaded or separated; the browser ends that when the page is hidden. */

let wanted = false;
let lock = null;

document.addEventListener("visibilitychange", () => take());

/** @param {boolean} on */
export function keepAwake(on) {
  if (wanted === on) return;
  wanted = on;
  if (on) take();
  else drop();
}

async function take() {
  if (!wanted || lock || document.hidden) return;
  try {
    const taken = await navigator.wakeLock?.request("screen");
    if (!taken) return;
    lock = taken;
    taken.addEventListener("release", () => lock === taken && (lock = null));
    if (!wanted) drop();
  } catch {
    // refused: the battery is low, or the page is not served over https
  }
}

function drop() {
  lock?.release();
  lock = null;
}
