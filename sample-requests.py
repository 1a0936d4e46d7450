#!/usr/bin/env python3
"""Makes the main calls of the MSaaS API, in the usual order. Needs only requests and tqdm.

    python3 sample-requests.py [song] [-o folder]

The API's address is MSAAS_URL, by default http://localhost:5000; MSAAS_API_KEY is sent if it is set.
Stems are written to the folder (default: sample-stems/).
"""

import argparse
import base64
import json
import os
import re
import sys
import time
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

HERE = Path(__file__).resolve().parent
TIMEOUT_SECONDS = (5, 60)  # to connect; between two bytes of an answer
PAUSES_SECONDS = (0.2, 0.5, 1, 2, 4, 5, 5, 5, 5, 5)
LONGEST_WAIT_SECONDS = 120
TRIES_WITHOUT_SERVICE = 4  # before its first answer; later it may be restarting
LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


NO_SERVICE = """no service answers at {url}: {reason}
start one with `make serve` or `msaas up`; --url or MSAAS_URL names another one"""


class GaveUp(Exception):
    """A call failed; the text has the reason."""


class Api:
    """The calls, each repeated if its connection breaks, as `kubectl port-forward` connections do.

    Repeating is harmless, even for POST: the songhash is computed from the song's bytes and the options, so the same
    song is the same job.
    """

    def __init__(self, url, key=""):
        if not url.startswith(("http://", "https://")):
            raise GaveUp(f"{url} is not an http or https URL; try http://{url}")
        self.url = url.rstrip("/").removesuffix("/apiv1")
        self.key = key
        self.answered = False

    def _show_key(self, request):
        """In a header, never in the URL: URLs are logged."""
        if self.key:
            request.headers["Authorization"] = f"Bearer {self.key}"
        return request

    def call(self, method, path, **options):
        for tries, pause in enumerate((*PAUSES_SECONDS, None), start=1):
            try:
                answer = requests.request(
                    method, self.url + path, timeout=TIMEOUT_SECONDS, auth=self._show_key, **options
                )
            except LOST as error:
                reason = no_connection(error)
                if reason and not self.answered and tries >= TRIES_WITHOUT_SERVICE:
                    raise GaveUp(NO_SERVICE.format(url=self.url, reason=reason)) from error
                if pause is None:
                    raise GaveUp(f"{self.url} does not answer: {error}") from error
                show_line(f"   ({f'no service: {reason}' if reason else 'connection lost'}, retrying in {pause} s)")
                time.sleep(pause)
                continue
            self.answered = True
            wait = int(answer.headers.get("Retry-After", 5))
            # 503: busy, or Redis or S3 is unavailable. 429: too many calls in a minute, or a quota is used up
            if answer.status_code not in (429, 503) or wait > LONGEST_WAIT_SECONDS or pause is None:
                return answer
            answer.close()
            time.sleep(wait)
        raise AssertionError("not reached")

    def ask(self, method, path, **options):
        """The answer's JSON. Errors are problem details (RFC 9457): `detail` for people, `code` for programs."""
        answer = self.call(method, path, **options)
        try:
            body = answer.json()
            if answer.ok:
                return body
            raise GaveUp(f"{method} {path}: {answer.status_code} {body['code']}: {body['detail']}")
        except (ValueError, KeyError, TypeError):
            raise GaveUp(f"{self.url} answers {answer.status_code}, but is not MSaaS") from None


def no_connection(error):
    """Why there is nothing at the address; empty for a connection that broke."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if not isinstance(cause, ConnectTimeoutError | NewConnectionError):
        return ""
    return str(cause).rpartition(": ")[2]


def show_line(text):
    tqdm.write(text)


def name_of(song):
    """File names may be invalid UTF-8; what is sent and printed must be valid."""
    return os.fsencode(song.name).decode("utf-8", "replace")


def step(text):
    show_line(f"\n── {text}")


# --- the calls, in order


def run(api, song, folder, keep, empty_buckets):
    step("GET /healthz, /readyz: does the service respond?")
    show_line(f"   {api.ask('GET', '/healthz')}  {api.ask('GET', '/readyz')}")

    songhash = post_as_json(api, song)
    post_again(api, song, songhash)
    list_all(api)
    job = follow(api, songhash)
    if job["state"] != "done":
        raise GaveUp(f"the job ended as {job['state']}: {job['error']}")

    step(f"GET /apiv1/jobs/{songhash}: the result")
    job = api.ask("GET", f"/apiv1/jobs/{songhash}")
    show_line(f"   {result_of(job)}")
    for warning in job.get("warnings", []):
        show_line(f"   {warning['detail']}")

    fetch_stems(api, job, folder)
    show_an_error(api)
    cancel_one(api, song)
    clean_up(api, job, keep, empty_buckets)


def post_as_json(api, song):
    step(f"POST /apiv1/separate: {name_of(song)} in base64, as JSON")
    body = {
        "mp3": base64.b64encode(song.read_bytes()).decode(),
        "callback": {"url": "http://localhost:5000", "data": {"mp3": name_of(song), "data": "to be returned"}},
    }
    answer = api.ask("POST", "/apiv1/separate", json=body)
    show_line(f"   {answer['message']}")
    show_line(f"   songhash {answer['songhash']}, {answer['state']}")
    if answer["state"] == "done":  # the message is the same
        show_line("   the stems are there already: nothing was queued")
    return answer["songhash"]


def post_again(api, song, songhash):
    step("POST /apiv1/separate: the same song as a form, then as raw bytes: the same job")
    with song.open("rb") as file:
        form = api.ask("POST", "/apiv1/separate", files={"file": (name_of(song), file.read())})
    raw = api.ask("POST", "/apiv1/separate", data=song.read_bytes(), headers={"Content-Type": "audio/mpeg"})
    show_line(f"   {form['songhash']}\n   {raw['songhash']}")
    if {form["songhash"], raw["songhash"]} != {songhash}:
        raise GaveUp("the same song got another songhash")


def list_all(api):
    step("GET /apiv1/queue: waiting and running songs")
    answer = api.call("GET", "/apiv1/queue")
    if answer.status_code == 403:  # these two show everybody's songs
        show_line(f"   {answer.json()['detail']}")
        return
    queue = answer.json()
    show_line(f"   waiting {queue['queue'][:5]}, running {queue['in_work'][:5]}")

    step("GET /apiv1/bucket: stored objects")
    for bucket, names in api.ask("GET", "/apiv1/bucket").items():
        show_line(f"   {bucket}: {len(names)} objects, such as {names[:2]}")


def follow(api, songhash):
    """A broken event stream is opened again: its first event has the current state."""
    step(f"GET /apiv1/jobs/{songhash}/events: progress, as server-sent events")
    with tqdm(total=100, unit="%", bar_format="   {l_bar}{bar}| {elapsed} {desc}") as bar:
        while True:
            for job in events(api, songhash):
                show(bar, job)
                if job["state"] in ("done", "failed", "cancelled"):
                    return job
            time.sleep(1)


def events(api, songhash):
    answer = api.call("GET", f"/apiv1/jobs/{songhash}/events", stream=True)
    if not answer.ok:
        raise GaveUp(f"no events: {answer.text}")
    try:
        for line in answer.iter_lines():
            if line.startswith(b"data: "):
                job = json.loads(line.removeprefix(b"data: "))
                if "state" in job:
                    yield job
    except LOST:
        show_line("   (connection lost, opening the stream again)")
    finally:
        answer.close()


def show(bar, job):
    bar.n = round(100 * job["progress"])
    bar.set_description_str(progress_of(job))


def progress_of(job):
    ahead = job["queue_position"]
    place = "" if ahead is None else f", {ahead} song{'' if ahead == 1 else 's'} ahead"
    place += f", {job['waiting_for']['detail']}" if job.get("waiting_for") else ""
    left = "" if job["eta_seconds"] is None else f", about {job['eta_seconds']:.0f} s left"
    return f"{job['state']} {job['stage'] or ''}".strip() + place + left


def result_of(job):
    music = "" if job["duration_seconds"] is None else f", {job['duration_seconds']:.1f} s of music"
    steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in (job["timings"] or {}).items())
    return f"model {job['model']}{music}" + (f", timings: {steps}" if steps else "")


def fetch_stems(api, job, folder):
    extension = (job["options"] or {}).get("format", "mp3")
    for part in (extension, *job["stems"]):
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", part):  # it becomes part of a path
            raise GaveUp(f"the service returned an invalid name of a stem or format: {part!r}")
    for stem, link in job["stems"].items():
        step(f"GET {link}")
        size = download(api, link, folder / f"{stem}.{extension}")
        show_line(f"   {folder / f'{stem}.{extension}'}: {size} bytes")

    step(f"GET /apiv1/jobs/{job['songhash']}/stems.zip: all of them at once")
    size = download(api, f"/apiv1/jobs/{job['songhash']}/stems.zip", folder / "stems.zip")
    show_line(f"   {folder / 'stems.zip'}: {size} bytes")


def download(api, path, target):
    """Resumes a broken download with Range; If-Range restarts if the file has changed meanwhile."""
    part, etag = target.with_name(target.name + ".part"), None
    part.unlink(missing_ok=True)
    for pause in (*PAUSES_SECONDS, None):
        have = part.stat().st_size if part.exists() and etag else 0
        headers = {"Range": f"bytes={have}-", "If-Range": etag} if have else {}
        answer = api.call("GET", path, stream=True, headers=headers)
        if not answer.ok:
            raise GaveUp(f"GET {path}: {answer.status_code} {answer.text}")
        etag = answer.headers.get("ETag")
        if save(answer, part, append=answer.status_code == 206):
            return part.replace(target).stat().st_size
        if pause is not None:
            show_line("   (connection lost, resuming)")
            time.sleep(pause)
    raise GaveUp(f"GET {path} failed each time")


def save(answer, part, *, append):
    """Returns False if the connection broke before the end."""
    try:
        with part.open("ab" if append else "wb") as file:
            for chunk in answer.iter_content(256 * 1024):
                file.write(chunk)
    except LOST:
        return False
    finally:
        answer.close()
    return True


def show_an_error(api):
    step("POST /apiv1/separate: a file that is not a song is refused, with a reason")
    problem = api.call("POST", "/apiv1/separate", data=b"la la la", headers={"Content-Type": "audio/mpeg"}).json()
    show_line(f"   {problem['status']} {problem['code']}: {problem['detail']}")


def cancel_one(api, song):
    step("POST /apiv1/separate?two_stems=vocals&format=wav: other options, another job; then DELETE cancels it")
    options = {"two_stems": "vocals", "format": "wav"}
    headers = {"Content-Type": "audio/mpeg"}
    other = api.ask("POST", "/apiv1/separate", params=options, data=song.read_bytes(), headers=headers)
    answer = api.call("DELETE", f"/apiv1/jobs/{other['songhash']}")  # 409 if it is done already
    show_line(f"   {answer.json().get('state') or answer.json()['detail']}")


def clean_up(api, job, keep, empty_buckets):
    if not keep:
        stem = list(job["stems"])[-1]
        step(
            f"DELETE /apiv1/remove/{job['songhash']}-{stem}: removes one stem; posting the song again would restore it"
        )
        answer = api.call("DELETE", f"/apiv1/remove/{job['songhash']}-{stem}").json()
        show_line(f"   {answer.get('message') or answer['detail']}")
    if empty_buckets:
        step("DELETE /apiv1/contents: empties both buckets (a debug call, off in production)")
        answer = api.call("DELETE", "/apiv1/contents").json()
        show_line(f"   {answer.get('message') or answer['detail']}")


# --- the command


def arguments():
    parser = argparse.ArgumentParser(description="Makes the main calls of the MSaaS API.")
    parser.add_argument("song", nargs="?", type=Path, help="default: the first MP3 in data/")
    parser.add_argument("-o", "--out", type=Path, default=Path("sample-stems"), help="folder for the stems")
    parser.add_argument("--url", default=os.environ.get("MSAAS_URL") or "http://localhost:5000")
    parser.add_argument("--keep", action="store_true", help="remove no stem at the end")
    parser.add_argument("--empty-buckets", action="store_true", help="at the end, delete everything that is stored")
    return parser.parse_args()


def main():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # the terminal's encoding may lack a character
    chosen = arguments()
    song = chosen.song or next(iter(sorted((HERE / "data").glob("*.mp3"))), None)
    if song is None or not song.is_file():
        sys.stderr.write(f"no song: {song or 'data/ has no MP3'}\n")
        return 2
    try:
        chosen.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.stderr.write(f"no folder for the stems: {chosen.out}: {error.strerror}\n")
        return 2
    try:
        run(
            Api(chosen.url, os.environ.get("MSAAS_API_KEY", "").strip()),
            song,
            chosen.out,
            chosen.keep,
            chosen.empty_buckets,
        )
    except (GaveUp, OSError, requests.RequestException) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    show_line(f"\nDone: listen to {chosen.out}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
