/** Against answers of a stand-in. live.test.ts is against the service. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, MSaaSError } from "../src/client.ts";

const DONE = { songhash: "h", state: "done", stems: { vocals: "/apiv1/track/h-vocals" } };

/** A client of a service that gives these answers, and the requests that it got. */
function clientOf(...answers: (Response | Error)[]): [Client, Request[]] {
  const requests: Request[] = [];
  const answering: typeof fetch = async (input, init) => {
    requests.push(new Request(input as string, init));
    const answer = answers.shift() ?? new Error("no answer left");
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return [new Client({ url: "http://msaas/", key: "secret", fetch: answering, retries: 1 }), requests];
}

function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers });
}

function events(...jobs: unknown[]): Response {
  return new Response(jobs.map((job, id) => `event: job\nid: ${id}\ndata: ${JSON.stringify(job)}\n\n`).join(""));
}

test("a song is sent as a form, with its options and the key", async () => {
  const [client, requests] = clientOf(json({ songhash: "h" }, 202));
  const options = { stems: ["drums", "bass"], refine: { drums: "drumsep" }, mono: true } as const;
  await client.separate(new Blob(["x"]), options, "a song.mp3");
  const [request] = requests;
  assert.ok(request);
  assert.equal(request.url, "http://msaas/apiv1/separate");
  assert.equal(request.headers.get("Authorization"), "Bearer secret");
  const form = await request.formData();
  assert.deepEqual(
    ["stems", "refine", "mono"].map((name) => form.get(name)),
    ["drums,bass", "drums=drumsep", "true"],
  );
  assert.equal((form.get("file") as File).name, "a song.mp3");
});

test("a refusal has its code", async () => {
  const [client] = clientOf(json({ code: "not_audio", detail: "nothing decodes" }, 422));
  await assert.rejects(client.separate(new Blob(["x"])), (error: MSaaSError) => {
    assert.deepEqual([error.code, error.message, error.status], ["not_audio", "nothing decodes", 422]);
    return true;
  });
});

test("a busy service is asked again, and one that is not there is named", async () => {
  const [client, requests] = clientOf(json({ code: "busy", detail: "" }, 503, { "Retry-After": "0.01" }), json(DONE));
  assert.equal((await client.job("h")).state, "done");
  assert.equal(requests.length, 2);
  const [alone] = clientOf(new TypeError("refused"), new TypeError("refused"));
  await assert.rejects(alone.job("h"), { code: "unreachable", status: 0 });
});

test("a broken stream of events goes on where it ended", async () => {
  const [client, requests] = clientOf(events({ state: "running" }), events({ state: "running" }, DONE));
  const states: string[] = [];
  const job = await client.wait("h", (one) => states.push(one.state));
  assert.equal(job.songhash, "h");
  assert.deepEqual(states, ["running", "running", "done"]);
  assert.equal(requests[1]?.headers.get("Last-Event-ID"), "0");
});

test("a job that failed is an error with its reason", async () => {
  const failed = { ...DONE, state: "failed", error: { code: "audio_too_long", detail: "five hours" } };
  const [client] = clientOf(events(failed));
  await assert.rejects(client.wait("h"), { code: "audio_too_long", message: "five hours" });
});

test("a mix is asked for as JSON", async () => {
  const [client, requests] = clientOf(json({ songhash: "m", state: "queued", stems: {} }, 202));
  const job = await client.mix("h", { levels: { vocals: { gain_db: -6, pan: 0.3 }, drums: { gain_db: "-inf" } } });
  assert.equal(job.songhash, "m");
  assert.equal(requests[0]?.url, "http://msaas/apiv1/jobs/h/mix");
  assert.deepEqual(await requests[0]?.json(), {
    levels: { vocals: { gain_db: -6, pan: 0.3 }, drums: { gain_db: "-inf" } },
  });
});

test("a wait can be ended", async () => {
  const [client] = clientOf(json({ code: "busy", detail: "" }, 503, { "Retry-After": "100" }));
  const ending = new AbortController();
  const waiting = client.job("h", ending.signal);
  setTimeout(() => ending.abort(new Error("enough")), 10);
  await assert.rejects(waiting, { message: "enough" });
});
