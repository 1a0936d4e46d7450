/** A client of the MSaaS API for browsers and Node. The answers' types are in schema.d.ts, made of the OpenAPI document. */

import { readEvents } from "./events.ts";
import type { components } from "./schema.d.ts";

export type Job = components["schemas"]["Job"];
export type Accepted = components["schemas"]["Accepted"];
export type Offer = components["schemas"]["Offer"];
export type Links = components["schemas"]["Links"];
export type Problem = components["schemas"]["Problem"];

/** Options of a request, by the names of the API; `undefined` leaves one to the service. */
export interface Options {
  model?: string;
  stems?: readonly string[];
  two_stems?: string;
  refine?: Readonly<Record<string, string>>;
  quality?: "fast" | "balanced" | "best";
  format?: "mp3" | "flac" | "wav" | "m4a" | "opus" | "stems.m4a";
  bitrate?: number;
  bit_depth?: "16" | "24" | "32f";
  sample_rate?: "source" | 44100 | 48000;
  mono?: boolean;
  start?: number;
  end?: number;
  overlap?: number;
  shifts?: number;
  callback?: { url: string; data?: unknown };
}

/** How a stem is heard in a mix; `-inf` is silence. */
export type Level = components["schemas"]["Level"];

/** A mix by the names of the API; stems without a level are heard as they are. */
export type Mix = components["schemas"]["MixRequest"];

/** `key`: an API key. `fetch`: used instead of the global one. `retries`: of a call that the service could not take now. */
export interface Settings {
  url: string;
  key?: string;
  fetch?: typeof fetch;
  retries?: number;
}

/** The service's refusal. `code` is one of the API's, or `unreachable`; `status` is 0 without an answer. */
export class MSaaSError extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, detail: string, status: number) {
    super(detail);
    this.name = "MSaaSError";
    this.code = code;
    this.status = status;
  }
}

const BUSY = new Set([429, 502, 503, 504]);
const ENDED = new Set<string>(["done", "failed", "cancelled"]);
const RETRIES = 5;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export class Client {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;
  readonly #retries: number;

  constructor(settings: Settings) {
    this.#url = settings.url.replace(/\/+$/, "");
    this.#headers = settings.key ? { Authorization: `Bearer ${settings.key}` } : {};
    this.#fetch = settings.fetch ?? ((input, init) => fetch(input, init));
    this.#retries = settings.retries ?? RETRIES;
  }

  /** Sends a song. The same bytes with the same options are the same job, so a repeated call is harmless. */
  async separate(song: Blob, options: Options = {}, filename?: string): Promise<Accepted> {
    const form = new FormData();
    form.set("file", song, filename ?? (song instanceof File ? song.name : "song"));
    for (const [name, value] of Object.entries(options)) {
      if (value !== undefined) form.set(name, asText(name, value));
    }
    return this.#json("/apiv1/separate", { method: "POST", body: form });
  }

  /** Has the service fetch a song. Its `songhash` is provisional: `wait` and `follow` lead to the song's job. */
  async separateUrl(url: string, options: Options = {}): Promise<Accepted> {
    const headers = { "Content-Type": "application/json", "Idempotency-Key": `"${crypto.randomUUID()}"` };
    return this.#json("/apiv1/separate", { method: "POST", headers, body: JSON.stringify({ ...options, url }) });
  }

  async job(songhash: string, signal?: AbortSignal): Promise<Job> {
    return this.#json(jobPath(songhash), { signal: signal ?? null });
  }

  /** The job's state now, then each change, until it has ended. Goes on after a broken connection. */
  async *follow(songhash: string, signal?: AbortSignal): AsyncGenerator<Job> {
    let last = "";
    for (let broken = 0; ; broken++) {
      const headers: Record<string, string> = last ? { "Last-Event-ID": last } : {};
      const answer = await this.#call(`${jobPath(songhash)}/events`, { headers, signal: signal ?? null });
      if (answer.status === 204 || !answer.body) return;
      try {
        for await (const event of readEvents(answer.body)) {
          broken = 0;
          last = event.id || last;
          if (event.name === "gone") throw new MSaaSError("job_unknown", "the job was deleted", 404);
          if (event.name !== "job") continue;
          const job = JSON.parse(event.data) as Job;
          yield job;
          if (ENDED.has(job.state)) return;
        }
      } catch (error) {
        if (error instanceof MSaaSError || signal?.aborted || broken >= this.#retries) throw error;
      }
      await pause(FIRST_PAUSE_MS * 2 ** Math.min(broken, 5), signal);
    }
  }

  /** The job once it has ended. Throws MSaaSError with the job's error if it was not done. */
  async wait(songhash: string, onChange: (job: Job) => void = () => {}, signal?: AbortSignal): Promise<Job> {
    let job: Job | undefined;
    for await (job of this.follow(songhash, signal)) onChange(job);
    job ??= await this.job(songhash, signal);
    if (job.state === "done") return job;
    throw new MSaaSError(job.error?.code ?? job.state, job.error?.detail ?? `the job is ${job.state}`, 0);
  }

  /** One stem as it streams. `headers` may have a Range. */
  async stem(job: Job, name: string, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
    const path = job.stems[name];
    if (!path) throw new MSaaSError("track_unknown", `the job has no stem ${name}`, 0);
    return this.#call(path, { headers, signal: signal ?? null });
  }

  /** Has the service mix a song's stems. The answer is the mix's job: `wait` for it, then `stem(job, "mix")`. */
  async mix(songhash: string, mix: Mix): Promise<Job> {
    const headers = { "Content-Type": "application/json" };
    return this.#json(`${jobPath(songhash)}/mix`, { method: "POST", headers, body: JSON.stringify(mix) });
  }

  /** A new link by which anybody reads the song without a key; `url` is relative to the service. */
  async share(songhash: string, share: components["schemas"]["ShareRequest"] = {}): Promise<components["schemas"]["NewShare"]> {
    const headers = { "Content-Type": "application/json" };
    return this.#json(`${jobPath(songhash)}/shares`, { method: "POST", headers, body: JSON.stringify(share) });
  }

  /** Links for a browser's own downloads; with keys they are signed, and end after some minutes. */
  async links(songhash: string): Promise<Links> {
    return this.#json(`${jobPath(songhash)}/links`);
  }

  async cancel(songhash: string): Promise<Job> {
    return this.#json(jobPath(songhash), { method: "DELETE" });
  }

  async models(): Promise<Offer> {
    return this.#json("/apiv1/models");
  }

  async #json<Answer>(path: string, init: RequestInit = {}): Promise<Answer> {
    return (await (await this.#call(path, init)).json()) as Answer;
  }

  /** The answer with a status below 400; throws MSaaSError for another, after retries if the service is busy. */
  async #call(path: string, init: RequestInit): Promise<Response> {
    const headers = { ...this.#headers, ...(init.headers as Record<string, string> | undefined) };
    const signal = init.signal ?? undefined;
    for (let attempt = 0; ; attempt++) {
      let refusal: MSaaSError;
      let delay = FIRST_PAUSE_MS * 2 ** attempt;
      try {
        const answer = await this.#fetch(this.#url + path, { ...init, headers });
        if (answer.status < 400) return answer;
        refusal = await problemOf(answer);
        if (!BUSY.has(answer.status)) throw refusal;
        delay = 1000 * Number(answer.headers.get("Retry-After")) || delay;
      } catch (error) {
        if (error instanceof MSaaSError || signal?.aborted) throw error;
        refusal = new MSaaSError("unreachable", `${this.#url} did not answer: ${String(error)}`, 0);
      }
      if (attempt >= this.#retries) throw refusal;
      await pause(Math.min(delay, LONGEST_PAUSE_MS), signal);
    }
  }
}

function jobPath(songhash: string): string {
  return `/apiv1/jobs/${encodeURIComponent(songhash)}`;
}

/** As a form's field. */
function asText(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.join(",");
  if (name === "refine") return Object.entries(value as object).map((pair) => pair.join("=")).join(",");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

async function problemOf(answer: Response): Promise<MSaaSError> {
  const text = await answer.text();
  try {
    const problem = JSON.parse(text) as Problem;
    return new MSaaSError(problem.code, problem.detail, answer.status);
  } catch {
    return new MSaaSError("not_the_service", `status ${answer.status}, and not as this API answers`, answer.status);
  }
}

async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
