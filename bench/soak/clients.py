"""The clients of a soak: each song is sent in one way, followed in one way, and something is done with it."""

from __future__ import annotations

import base64
import http.client
import io
import json
import queue
import random
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from bench.soak.account import Account
from bench.soak.songs import Songs, Tune
from bench.soak.stack import TENANTS, Service
from msaas.local.servers import LOOPBACK

WAIT_LIMIT_SECONDS = 300.0  # a song that has not ended by then is lost
POLL_SECONDS = 0.4
IDLE_SECONDS = 2.0
CALLBACKS = 0.35  # of the songs
OPTIONS: tuple[dict[str, str], ...] = (
    {},
    {"format": "flac"},
    {"format": "wav"},
    {"two_stems": "vocals"},
    {"stems": "drums,vocals", "bitrate": "128"},
)
ENDED = ("done", "failed", "cancelled")
PAGES = ("/", "/apiv1", "/apiv1/docs", "/apiv1/openapi.json", "/apiv1/models", "/healthz", "/readyz", "/metrics")
LISTS = ("/apiv1/queue", "/apiv1/bucket", "/apiv1/bucket?bucket=output-tracks&limit=50")


class Caller:
    """One client's connection, opened anew where it broke off."""

    def __init__(self, port: int, key: str, account: Account) -> None:
        self._port, self._key, self._account = port, key, account
        self._connection, self._used_at = self._new(), time.monotonic()

    def _new(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(LOOPBACK, self._port, timeout=60)

    def ask(
        self, method: str, path: str, *expected: int, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The answer; one whose status is not among those expected is noted."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._renew()
        self._connection.request(method, path, body, {"Authorization": f"Bearer {self._key}"} | given)
        answer = self._connection.getresponse()
        data, self._used_at = answer.read(), time.monotonic()
        if answer.status not in (expected or (200,)):
            self._account.note_odd(f"{method} {path}: {answer.status} {data[:200]!r}")
        return answer.status, answer.headers, data

    def _renew(self) -> None:
        """The server may close a connection that has been idle for five seconds at the moment of the next request."""
        if time.monotonic() - self._used_at > IDLE_SECONDS:
            self._connection.close()
            self._connection = self._new()

    def events(self, path: str) -> Iterator[dict[str, Any]]:
        """The data of each event, until the stream ends."""
        connection = self._new()
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self._key}"})
            for line in connection.getresponse():
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
        finally:
            connection.close()

    def close(self) -> None:
        self._connection.close()


class Visit:
    """One song from its upload to what is done with its stems."""

    def __init__(self, service: Service, songs: Songs, account: Account, hook: str, chance: random.Random) -> None:
        self.songs, self.account, self.hook, self.chance = songs, account, hook, chance
        self.tenant = chance.choice(TENANTS)
        self.caller = Caller(service.settings.port, service.keys[self.tenant], account)
        self.admin = Caller(service.settings.port, service.keys["admin"], account)
        self.tune = chance.choice(songs.tunes)
        self.options = dict(chance.choices(OPTIONS, (5, 2, 2, 2, 2))[0])
        self.song = songs.upload(self.tune)
        self.songhash = ""

    def run(self) -> None:
        stories: dict[Callable[[], None], int] = {
            self._fetch: 6,
            self._zip: 3,
            self._ranges: 3,
            self._cancel: 3,
            self._remove: 3,
            self._post_again: 2,
            self._send_damaged: 1,
            self._send_silence_of_numbers: 1,
            self._look_around: 1,
        }
        story = self.chance.choices(list(stories), list(stories.values()))[0]
        self.account.call(story.__name__.strip("_").replace("_", " "))
        try:
            story()
        finally:
            self.caller.close()
            self.admin.close()

    # --- sending and following

    def post(self, song: bytes | None = None, *, new: bool = True) -> None:
        """In one of four ways. Where it is accepted as new, its end is owed."""
        given = self.options | self._callback()
        body, kind, query = _request(song or self.song, self.tune, given, self.chance)
        status, _, data = self.caller.ask(
            "POST", f"/apiv1/separate{query}", 202 if new else 200, body=body, Content_Type=kind
        )
        if status not in (200, 202):
            return
        self.songhash = json.loads(data)["songhash"]
        if status == 202:
            self.account.accept(self.songhash)
        if "callback" in given:
            self.account.due(json.loads(given["callback"])["data"])

    def _callback(self) -> dict[str, str]:
        if self.chance.random() > CALLBACKS:
            return {}
        return {"callback": json.dumps({"url": self.hook, "data": uuid.uuid4().hex})}

    def follow(self) -> dict[str, Any]:
        """The job as it ended; {} where it did not in time, which the account finds out."""
        looks = self._streamed if self.chance.random() < 0.4 else self._polled
        give_up_at = time.monotonic() + WAIT_LIMIT_SECONDS
        while self.songhash and time.monotonic() < give_up_at:
            for job in looks(give_up_at):
                if job.get("state") in ENDED:
                    self._enter(job)
                    return job
        return {}

    def _enter(self, job: Mapping[str, Any]) -> None:
        code = f" ({job['error']['code']})" if job["state"] == "failed" else ""
        self.account.end(self.songhash, f"{job['state']}{code}")

    def _polled(self, give_up_at: float) -> Iterator[dict[str, Any]]:
        while time.monotonic() < give_up_at:
            status, _, data = self.caller.ask("GET", f"/apiv1/jobs/{self.songhash}")
            if status == 200:
                yield json.loads(data)
            if self.chance.random() < 0.1:
                self.caller.ask("GET", f"/apiv1/jobs/{self.songhash}/waveforms", 200, 404)
            time.sleep(POLL_SECONDS)

    def _streamed(self, _give_up_at: float) -> Iterator[dict[str, Any]]:
        yield from self.caller.events(f"/apiv1/jobs/{self.songhash}/events")

    def _done(self) -> dict[str, str]:
        """Stem ▸ path of a song that was just sent, once it is done."""
        self.post()
        return self._stems_of(self.follow())

    def _stems_of(self, job: Mapping[str, Any]) -> dict[str, str]:
        if job and job["state"] != "done":
            self.account.note_odd(f"{self.songhash} ended as {job['state']}: {job['error']}")
        return dict(job["stems"]) if job.get("state") == "done" else {}

    def _compare(self, stem: str, data: bytes) -> None:
        self.account.compare(self.tune, json.dumps(self.options, sort_keys=True), stem, data)

    def _track(self, path: str) -> bytes:
        return self.caller.ask("GET", path)[2]

    # --- the stories

    def _fetch(self) -> None:
        for stem, path in self._done().items():
            self._compare(stem, self._track(path))
        if self.songhash:
            self.caller.ask("GET", f"/apiv1/jobs/{self.songhash}/waveforms")

    def _zip(self) -> None:
        """In two halves, as after a broken download."""
        if not self._done():
            return
        path = f"/apiv1/jobs/{self.songhash}/stems.zip"
        size = int(self.caller.ask("HEAD", path)[1]["Content-Length"])
        first = self.caller.ask("GET", path, 206, Range=f"bytes=0-{size // 2 - 1}")[2]
        rest = self.caller.ask("GET", path, 206, Range=f"bytes={size // 2}-")[2]
        with zipfile.ZipFile(io.BytesIO(first + rest)) as archive:
            for name in archive.namelist():
                self._compare(name.rpartition(".")[0], archive.read(name))

    def _ranges(self) -> None:
        for stem, path in self._done().items():
            whole = self._track(path)
            self._compare(stem, whole)
            start = self.chance.randrange(len(whole) - 1)
            stop = self.chance.randrange(start, len(whole))
            part = self.caller.ask("GET", path, 206, Range=f"bytes={start}-{stop}")[2]
            if part != whole[start : stop + 1]:
                self.account.note_odd(f"{path} bytes={start}-{stop}: other bytes")
            etag = self.caller.ask("HEAD", path)[1]["ETag"]
            self.caller.ask("GET", path, 304, If_None_Match=etag)
            self.caller.ask("GET", path, 416, Range=f"bytes={len(whole)}-")

    def _cancel(self) -> None:
        """Before, during or after its run; half of them are wanted after all."""
        self.post()
        time.sleep(self.chance.uniform(0, 2.5))
        self.caller.ask("DELETE", f"/apiv1/jobs/{self.songhash}", 200, 409)
        job = self.follow()
        if job.get("state") == "cancelled" and self.chance.random() < 0.5:
            self.post()
            job = self.follow()
            for stem, path in self._stems_of(job).items():
                self._compare(stem, self._track(path))

    def _remove(self) -> None:
        """A stem, which is made again when the song comes again."""
        stems = self._done()
        if not stems:
            return
        stem, path = self.chance.choice(sorted(stems.items()))
        self.caller.ask("DELETE", f"/apiv1/remove/{self.songhash}-{stem}")
        self.caller.ask("GET", path, 404)
        self.post()
        self.caller.ask("DELETE", f"/apiv1/remove/{self.songhash}-{stem}", 200, 404)  # in mid-run it may not be there
        for again, way in self._stems_of(self.follow()).items():
            status, _, data = self.caller.ask("GET", way, 200, *((404,) if again == stem else ()))
            if status == 200:
                self._compare(again, data)

    def _post_again(self) -> None:
        stems = self._done()
        if stems:
            self.post(new=False)
            for stem, path in stems.items():
                self._compare(stem, self._track(path))
            self._ask_as_another()

    def _ask_as_another(self) -> None:
        """A song of one tenant is unknown to another."""
        path = f"/apiv1/jobs/{self.songhash}"
        self.caller.ask("GET", path, 401, Authorization="Bearer msaas_wrong")
        self.admin.ask("GET", path)

    def _send_damaged(self) -> None:
        body, kind = self.songs.damaged(self.chance)
        status, headers, data = self.caller.ask("POST", "/apiv1/separate", 400, 415, 422, body=body, Content_Type=kind)
        if headers.get("Content-Type") != "application/problem+json":
            self.account.note_odd(f"{status} for a damaged upload is not a problem document: {data[:100]!r}")
        with suppress(ValueError):
            self.account.refuse(json.loads(data).get("code", ""))

    def _send_silence_of_numbers(self) -> None:
        """A song without a single number in it, which only decoding shows."""
        self.post(self.songs.without_numbers())
        job = self.follow()
        if job and (job.get("error") or {}).get("code") != "not_audio":
            self.account.note_odd(f"{self.songhash} holds no number and ended as {job['state']}: {job['error']}")

    def _look_around(self) -> None:
        for path in (*PAGES, *LISTS):
            self.admin.ask("GET", path)
        self.caller.ask("GET", "/apiv1/queue", 403)
        self.caller.ask("GET", f"/apiv1/jobs/{uuid.uuid4()}", 404)


def _request(song: bytes, tune: Tune, given: Mapping[str, str], chance: random.Random) -> tuple[bytes, str, str]:
    """Body, content type and query."""
    match chance.choice(("raw", "raw", "form", "json")):
        case "raw":
            return song, tune.content_type, f"?{urlencode(given)}" if given else ""
        case "form":
            return *_form(song, given), ""
        case _:
            members = dict(given) | {"mp3": base64.b64encode(song).decode()}
            if "callback" in given:
                members["callback"] = json.loads(given["callback"])
            return json.dumps(members).encode(), "application/json", ""


def _form(song: bytes, given: Mapping[str, str]) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    fields = "".join(f'{head}"{name}"\r\n\r\n{value}\r\n' for name, value in given.items())
    start = f'{fields}{head}"file"; filename="song"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = start.encode() + song + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


class Crowd:
    """Threads that make visits at a rate; each visit is counted out to whoever is free."""

    def __init__(self, visit: Callable[[random.Random], Visit], account: Account, *, size: int, seed: int) -> None:
        self._visit, self._account = visit, account
        self._turns: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, args=(seed,), daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def let_in(self, number: int) -> None:
        self._turns.put(number)

    @property
    def waiting(self) -> int:
        return self._turns.qsize()

    def _work(self, seed: int) -> None:
        while (number := self._turns.get()) is not None:
            chance = random.Random(f"{seed}-{number}")  # noqa: S311 - no secret
            try:
                self._visit(chance).run()
            except Exception as error:
                self._account.note_odd(f"visit {number}: {type(error).__name__}: {error}")

    def leave(self, seconds: float) -> bool:
        """Once all visits are over; False where some are not in time."""
        for _ in self._threads:
            self._turns.put(None)
        give_up_at = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(give_up_at - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)
