"""The API, called as a patient client does; through a port-forward that is started again whenever it ends."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.tools.drill.cluster import kubectl_command
from deploy.tools.drill.records import DrillError, Plan

RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Service:
    """The API, as one row calls it."""

    url: str
    key: str
    calls: Counter[str]
    deadline: float

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """The answer, after as many tries as it takes. Raises DrillError for a 4xx, and at the deadline."""
        while True:
            answer = self.ask_once(path, body)
            if answer is not None:
                return answer
            if time.monotonic() > self.deadline:
                raise DrillError(f"{path} got no answer within the limit")
            time.sleep(RETRY_SECONDS)

    def ask_once(self, path: str, body: bytes | None = None) -> bytes | None:
        """The answer, or None where the call was refused for now or not answered. Raises DrillError for a 4xx."""
        headers = {"Content-Type": "audio/wav"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)  # noqa: S310 (http or https: see direct)
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                found: bytes = answer.read()
        except urllib.error.HTTPError as error:
            reason = reason_of(error)
            if error.code < 500 and error.code != 429:
                raise DrillError(f"{path} got {error.code} {reason}") from error
            self.calls[f"refused: {error.code} {reason}"] += 1
            return None
        except (OSError, http.client.HTTPException):
            self.calls["no answer"] += 1
            return None
        self.calls["answered"] += 1
        return found


def reason_of(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["code"])
    except (OSError, ValueError, LookupError, TypeError):
        return "without a reason"


@contextmanager
def direct(url: str) -> Iterator[str]:
    if not url.startswith(("http://", "https://")):
        raise DrillError(f"{url} is not an http address")
    yield url.rstrip("/")


@contextmanager
def forwarded(plan: Plan) -> Iterator[str]:
    """An address of the API on this machine; the port-forward is started again whenever it ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    over, running = threading.Event(), []
    command = kubectl_command(plan, "port-forward", "service/rest-server", f"{port}:5000")

    def keep() -> None:
        while not over.is_set():
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            running[:] = [child]
            child.wait()
            over.wait(RETRY_SECONDS)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        over.set()
        for child in running:
            child.terminate()
        thread.join()
