import assert from "node:assert/strict";
import { test } from "node:test";

import { readEvents } from "../src/events.ts";

async function eventsOf(pieces: string[]): Promise<string[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
      controller.close();
    },
  });
  const found: string[] = [];
  for await (const event of readEvents(body)) found.push(`${event.name} ${event.id} ${event.data}`);
  return found;
}

test("events are read wherever the stream is cut", async () => {
  const text = "retry: 2000\n\n: alive\n\nevent: job\nid: a-1\ndata: {\"ö\":\ndata: 1}\n\nevent: gone\ndata: {}\n\n";
  const expected = ['job a-1 {"ö":\n1}', "gone  {}"];
  assert.deepEqual(await eventsOf([text]), expected);
  assert.deepEqual(await eventsOf([...text]), expected);
});

test("an event that is not complete is left out", async () => {
  assert.deepEqual(await eventsOf(["event: job\ndata: 1\n"]), []);
});
