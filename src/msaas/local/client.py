"""The API as a script sees it: post a song, follow its job, fetch its stems. Survives a connection that drops."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from msaas.errors import MSaaSError
from msaas.local.processes import Interrupted

Job = Mapping[str, Any]

ATTEMPTS = 8
LONGEST_PAUSE_SECONDS = 5.0
TIMEOUT_SECONDS = (5, 120)  # to connect; between two bytes of the answer
POLL_SECONDS = 0.5
CHUNK_BYTES = 256 * 1024


class ApiError(MSaaSError):
    """What the API said, in one line: title, detail and code of its problem document."""

    code = "api_error"


class Client:
    """Posting again, asking again and fetching again are all harmless, so every call is tried again."""

    def __init__(self, url: str, *, stopping: Callable[[], bool] = lambda: False) -> None:
        self.url, self._stopping = url.rstrip("/") + "/", stopping
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between us and this machine

    def separate(self, song: Path) -> Job:
        """Posts the song's bytes as they are. Raises ApiError where they are refused."""

        def post() -> requests.Response:
            with song.open("rb") as body:
                headers = {"Content-Type": _content_type(song)}
                return self._session.post(
                    self._at("apiv1/separate"), data=body, headers=headers, timeout=TIMEOUT_SECONDS
                )

        return self._json(self._persist(post))

    def job(self, songhash: str) -> Job:
        where = self._at(f"apiv1/jobs/{songhash}")
        return self._json(self._persist(lambda: self._session.get(where, timeout=TIMEOUT_SECONDS)))

    def follow(self, songhash: str, on_change: Callable[[Job], None]) -> Job:
        """Asks until the job has ended, and returns it as it ended."""
        while True:
            job = self.job(songhash)
            on_change(job)
            if job["state"] in ("done", "failed", "cancelled"):
                return job
            time.sleep(POLL_SECONDS)

    def download(self, link: str, target: Path) -> int:
        """Writes the stem and returns its bytes. The target is replaced once all of it is there."""
        part = target.with_name(f".{target.name}.part")

        def fetch() -> requests.Response:
            with self._session.get(self._at(link), stream=True, timeout=TIMEOUT_SECONDS) as response:
                if response.ok:
                    with part.open("wb") as file:
                        file.writelines(response.iter_content(CHUNK_BYTES))
                else:
                    _ = response.content  # the problem document, read before the connection goes
                return response

        try:
            _raise_for(self._persist(fetch))
            size = part.stat().st_size
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return size

    def _at(self, path: str) -> str:
        return urljoin(self.url, path)

    def _persist(self, call: Callable[[], requests.Response]) -> requests.Response:
        """The first answer that is not 503. Raises ApiError where none comes."""
        trouble = ""
        for attempt in range(ATTEMPTS):
            if self._stopping():
                raise Interrupted("stopped")
            try:
                response = call()
                if response.status_code != 503:
                    return response
                trouble = problem(response)
            except requests.RequestException as error:
                trouble = f"{self.url} does not answer: {error}"
            time.sleep(min(0.25 * 2**attempt, LONGEST_PAUSE_SECONDS))
        raise ApiError(f"{trouble} (tried {ATTEMPTS} times)")

    def _json(self, response: requests.Response) -> Job:
        _raise_for(response)
        try:
            found = response.json()
        except ValueError as error:
            raise ApiError(f"{response.url} answered {response.status_code} with something that is no JSON") from error
        return found if isinstance(found, dict) else {}


def _content_type(song: Path) -> str:
    """Any audio/* does: the decoder looks at the bytes, not at what they are called."""
    guessed, _ = mimetypes.guess_type(song.name)
    return guessed if guessed and guessed.startswith("audio/") else "audio/mpeg"


def _raise_for(response: requests.Response) -> None:
    if not response.ok:
        raise ApiError(problem(response))


def problem(response: requests.Response) -> str:
    """One line out of an RFC 9457 problem document, or out of whatever came instead."""
    try:
        found = response.json()
        title, detail, code = (str(found.get(key, "")) for key in ("title", "detail", "code"))
    except (ValueError, AttributeError):
        return f"the API answered {response.status_code} {response.reason}"
    told = ": ".join(filter(None, (title, detail))) or response.reason
    return f"{told} ({response.status_code}{', ' + code if code else ''})"
