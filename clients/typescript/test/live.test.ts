/** Against a service: MSAAS_URL is its address, SONG a file. Skipped without them. */

import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { test } from "node:test";

import { Client, MSaaSError } from "../src/client.ts";

const { MSAAS_URL: url, SONG: song } = process.env;

test("a song comes out as its stems", { skip: !url || !song }, async () => {
  const client = new Client({ url: url ?? "" });
  const offer = await client.models();
  const file = await openAsBlob(song ?? "");
  const accepted = await client.separate(file, { stems: ["vocals", "bass"], format: "flac" }, "Our Song.wav");
  assert.equal(accepted.name, "Our Song");

  const states = new Set<string>();
  const job = await client.wait(accepted.songhash, (one) => states.add(one.state));
  assert.equal(job.model, offer.default);
  assert.ok(states.has("done"));
  assert.deepEqual(Object.keys(job.stems).sort(), ["bass", "vocals"]);
  assert.equal((await client.separate(file, { stems: ["vocals", "bass"], format: "flac" })).known, true);

  const magic = await client.stem(job, "bass", { Range: "bytes=0-3" });
  assert.equal(magic.status, 206);
  assert.equal(await magic.text(), "fLaC");
  const mix = await client.wait((await client.mix(job.songhash, { format: "flac", levels: { bass: { pan: -1 } } })).songhash);
  assert.equal(await (await client.stem(mix, "mix", { Range: "bytes=0-3" })).text(), "fLaC");
  const links = await client.links(job.songhash);
  assert.ok(links.stems["vocals"]?.includes("/apiv1/track/"));
  await assert.rejects(client.cancel(job.songhash), (error: MSaaSError) => error.status === 409);
  await assert.rejects(client.separate(new Blob(["no song"])), (error: MSaaSError) => error.code === "not_audio");
  await assert.rejects(client.job("00000000-0000-5000-8000-000000000000"), { code: "job_unknown", status: 404 });
});
