/** Registers the service worker that keeps the page's own files. Without it the page works, but needs the network to start. */

const WORKER = "/service-worker.js";

export function keepShell() {
  if (!navigator.serviceWorker) return; // not served over https, and not on this machine
  addEventListener("load", () => navigator.serviceWorker.register(address()).catch(() => {}));
}

/** Where the browser enforces the page's policy of trusted types, a script's address is made by this one policy. */
function address() {
  const make = { createScriptURL: (url) => (url === WORKER ? url : "") };
  return window.trustedTypes?.createPolicy("msaas-shell", make).createScriptURL(WORKER) ?? WORKER;
}
