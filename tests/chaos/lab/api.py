"""A client of the API process under test: posts songs, retries as clients should, keeps count of what it was told."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from typing import Any

import requests

from msaas.jobs import songhash
from msaas.local.processes.child import wait_until
from msaas.local.servers import free_port
from msaas.options import Options
from tests.chaos.lab.lab import MODEL, UP_SECONDS, Failed, Lab, Process


class Api:
    """The process and its address. `statuses` counts every answer; 0 is a connection that broke."""

    def __init__(self, lab: Lab, **environ: str) -> None:
        self.lab, self._port = lab, free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.statuses: Counter[int] = Counter()
        self.stopped = threading.Event()
        self._sessions = threading.local()
        self.process: Process = self._start(environ)

    def start_again(self) -> None:
        """What a supervisor does once the process is dead; nothing is done to it this time."""
        if not wait_until(lambda: not self.process.alive, UP_SECONDS):
            raise Failed("the API is alive still")
        self.process = self._start({})

    def _start(self, environ: dict[str, str]) -> Process:
        environ = {"MSAAS_PORT": str(self._port), "MSAAS_THREADS": "16"} | environ
        self.process = self.lab.start("web_main", **environ)
        if not wait_until(lambda: self.call("GET", "/healthz")[0] == 200, UP_SECONDS):
            raise Failed("the API did not come up: " + " | ".join(self.process.child.tail))
        self.statuses.clear()
        return self.process

    def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON body; (0, None) where the connection broke."""
        session = self._sessions.__dict__.setdefault("session", requests.Session())
        try:
            answer = session.request(method, self.url + path, timeout=20, **more)
            found = (
                answer.status_code,
                answer.json() if "json" in answer.headers.get("Content-Type", "") else answer.content,
            )
        except (requests.RequestException, ValueError):
            found = 0, None
        self.statuses[found[0]] += 1
        if found[0] >= 500 and found[0] != 503:
            self.lab.history.note("bad status", method=method, path=path, status=found[0], body=repr(found[1])[:300])
        return found

    def song(self, **wish: Any) -> bytes:
        """A new song's bytes; the account expects what becomes of it."""
        wish = {"do": "separate", "name": f"{self.lab.random.getrandbits(64):x}", **wish}
        body = json.dumps(wish).encode()
        self.lab.wishes[name_of(body)] = wish
        return body

    def post_once(self, body: bytes) -> tuple[int, Any]:
        self.lab.history.note("submit", songhash=name_of(body))
        status, answer = self.call("POST", "/apiv1/separate", data=body, headers={"Content-Type": "audio/mpeg"})
        if status in (200, 202):
            self.lab.accepted.add(answer["songhash"])
            self.lab.history.note("accepted", songhash=answer["songhash"], status=status)
        return status, answer

    def post(self, body: bytes) -> str:
        """Again and again until the song is accepted, or the client is stopped."""
        while not self.stopped.is_set():
            status, answer = self.post_once(body)
            if status in (200, 202):
                return str(answer["songhash"])
            if status not in (0, 503):
                raise Failed(f"a good song got {status}: {answer}")
            self.stopped.wait(0.2)
        return ""


def name_of(body: bytes) -> str:
    """The songhash a song has with the default options."""
    return songhash(hashlib.sha256(body).hexdigest(), Options.parse({}, default_model=MODEL, allowed=(MODEL,)))
