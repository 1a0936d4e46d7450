/** Server-sent events by fetch, since EventSource cannot send a key. The caller reopens streams. */

import { ask, piecesOf } from "./api.js";

/**
 * @param {string} path @param {AbortSignal} signal
 * @returns {AsyncGenerator<{type: string, data: string}>} until the server or the network ends it; throws a Problem
 */
export async function* eventsOf(path, signal) {
  const answer = await ask(path, { signal, headers: { Accept: "text/event-stream" } });
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of piecesOf(answer.body)) {
    text += decoder.decode(piece, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event.data) yield event;
    }
  }
}

/** @param {string} block lines of `name: value`; a comment begins with a colon */
function parsed(block) {
  const event = { type: "message", data: "" };
  for (const line of block.split("\n")) {
    const [name, value] = line.split(/: ?(.*)/s);
    if (name === "event") event.type = value;
    if (name === "data") event.data += (event.data && "\n") + value;
  }
  return event;
}
