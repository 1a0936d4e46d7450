/** Reads a stream of server-sent events, as the HTML Standard defines it. */

export interface ServerEvent {
  name: string;
  data: string;
  id: string;
}

export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true }).replaceAll("\r\n", "\n");
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {}); // the connection may be broken
  }
}

/** Null for a comment, which keeps the connection alive. */
function parse(block: string): ServerEvent | null {
  const event = { name: "message", data: "", id: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (field === "event") event.name = value ?? "";
    else if (field === "data") data.push(value ?? "");
    else if (field === "id") event.id = value ?? "";
  }
  return data.length ? { ...event, data: data.join("\n") } : null;
}
