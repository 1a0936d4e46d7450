/**
 * Keeps the page's own files for starting without a network. Served at /service-worker.js; the server writes the version and
 * the files of the page into the two constants.
 *
 * Only `/` and `/static/<version>/…` are answered from here. All other requests, the API's above all, go to the network as if
 * this worker did not exist: no answer and no audio is ever kept.
 */

const VERSION = "@VERSION@";
const FILES = "@FILES@".split(" ");

const CACHE = `msaas-shell-${VERSION}`;
const PREFIX = `/static/${VERSION}/`;

self.addEventListener("install", (event) => event.waitUntil(fill()));
self.addEventListener("activate", (event) => event.waitUntil(tidy()));
self.addEventListener("fetch", (event) => {
  const { pathname, origin, search } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== location.origin) return;
  if (event.request.mode === "navigate" && pathname === "/") event.respondWith(page(event.request));
  else if (pathname.startsWith(PREFIX) && !search) event.respondWith(file(event.request));
});

async function fill() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES.map((name) => PREFIX + name));
  const shell = await fetch("/", { headers: { Accept: "text/html" }, cache: "no-cache" });
  if (!shell.ok) throw new Error(`the page is not to be had: ${shell.status}`);
  await cache.put("/", shell);
  await self.skipWaiting();
}

/** Another version has other files. */
async function tidy() {
  const others = (await caches.keys()).filter((name) => name.startsWith("msaas-shell-") && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** The network's page, so that a new version is seen at once; the kept one without a network. */
async function page(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await (await caches.open(CACHE)).match("/");
    if (kept) return kept;
    throw error;
  }
}

async function file(request) {
  return (await (await caches.open(CACHE)).match(request)) ?? fetch(request);
}
