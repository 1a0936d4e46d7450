"""The client itself: one method a call, and `separate` for all of them. Asks again rather than give up.

It polls rather than listen to events: an event stream holds a thread of the server as long as it lasts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

from msaas.client.download import OnDownload, fetch, stem_path
from msaas.client.errors import JobFailed, NotTheService, WaitTimeout
from msaas.client.models import Job, Queue
from msaas.client.names import printable
from msaas.client.transport import Transport
from msaas.client.upload import OnUpload, Song, Source, opened
from msaas.formats import DEFAULT_FORMAT

DEFAULT_URL = "http://localhost:5000"
RETRIES = 8  # some 40 seconds, or as long as the API says: a restart of it is over by then
FIRST_POLL_SECONDS = 0.2  # short songs are done within a second or two
POLL_SECONDS = 1.0

OnJob = Callable[[Job], None]
View = TypeVar("View", Job, Queue)


class Client:
    """Calls are made again where the connection breaks or the API says it is busy: making one twice is harmless.

    url: where the API is; MSAAS_URL, else http://localhost:5000. key: shown with each call; MSAAS_API_KEY, else none.
    retries: tries after the first of each call. sleep: waits between tries and between questions; what it raises ends
    the call. One thread at a time. Raises BadAddress, BadKey.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        retries: int = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = Transport(
            url or os.environ.get("MSAAS_URL") or DEFAULT_URL,
            key=os.environ.get("MSAAS_API_KEY", "") if key is None else key,
            retries=retries,
            sleep=sleep,
        )
        self.url = self._transport.url

    # --- a song's way

    def submit(
        self,
        song: Source,
        *,
        model: str | None = None,
        stems: Iterable[str] | None = None,
        two_stems: str | None = None,
        format: str = DEFAULT_FORMAT,
        bitrate: int | None = None,
        callback: Mapping[str, Any] | None = None,
        on_upload: OnUpload | None = None,
    ) -> Job:
        """Sends a song: a path, its bytes, or a binary file (from where it stands). The same song is the same job.

        A pipe, also one that has a path, is read to its end first. on_upload(sent, size) in bytes; starts over where
        the connection broke. callback: {"url": …, "data": …}. Raises ServiceError where the song or an option is
        refused, OSError where the file cannot be read, SongTooLarge for a pipe with more than the service takes.
        """
        options = {
            "model": model,
            "stems": ",".join(stems) if stems else None,
            "two_stems": two_stems,
            "format": format,
            "bitrate": bitrate,
            "callback": json.dumps(callback) if callback else None,
        }
        with self.opened(song) as source:
            accepted = self._transport.ask(
                "POST",
                "/apiv1/separate",
                params={name: printable(str(value)) for name, value in options.items() if value is not None},
                headers={"Content-Type": source.content_type},
                body=lambda: source.body(on_upload),
            )
        return self.job(str(accepted.get("songhash")))

    def opened(self, song: Source, name: str = "") -> AbstractContextManager[Song]:
        """The song as `submit` sends it, for who wants to know its size or its hash before."""
        return opened(song, name, limit_bytes=self._upload_bytes)

    def _upload_bytes(self) -> int | None:
        limit = (self.models().get("limits") or {}).get("upload_bytes")
        return int(limit) if limit else None

    def wait(self, songhash: str | Job, *, on_progress: OnJob | None = None, timeout: float | None = None) -> Job:
        """The job once it has ended, however it ended. on_progress sees each answer, the last one too.

        timeout in seconds; WaitTimeout after it, and the job goes on.
        """
        name = _name(songhash)
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        while True:
            job = self.job(name)
            if on_progress:
                on_progress(job)
            if job.ended:
                return job
            if deadline is not None and time.monotonic() + pause > deadline:
                raise WaitTimeout(job, timeout or 0)
            self._transport.sleep(pause)
            pause = min(pause * 1.5, POLL_SECONDS)

    def download(
        self,
        job: Job,
        folder: str | PathLike[str],
        stems: Iterable[str] | None = None,
        *,
        on_progress: OnDownload | None = None,
    ) -> dict[str, Path]:
        """Writes `<folder>/<stem>.<format>` for each stem of a job that is done, or for those named.

        All are fetched before the first is put in its place, over an older file of that name.
        on_progress(have, total) in bytes, of one stem after the other; total is None where the API does not tell.
        Raises JobFailed where there is nothing to download, UnsafeName, OSError, and what `track` raises.
        """
        if not job.done:
            raise JobFailed(job)
        folder = Path(folder)
        paths = {stem: stem_path(folder, stem, job.format) for stem in (job.stems if stems is None else stems)}
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".part-", dir=folder) as part:
            fetched = {stem: Path(part) / path.name for stem, path in paths.items()}
            for stem, path in fetched.items():
                self.track(job.songhash, stem, path, on_progress=on_progress)
            return {stem: path.replace(paths[stem]) for stem, path in fetched.items()}

    def separate(
        self,
        song: Source,
        folder: str | PathLike[str],
        *,
        on_progress: OnJob | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> dict[str, Path]:
        """From a song to its stems' files: submit, wait, download. Raises JobFailed, and what those three raise."""
        job = self.submit(song, **options)
        return self.download(self.wait(job, on_progress=on_progress, timeout=timeout), folder)

    # --- one call each

    def job(self, songhash: str | Job) -> Job:
        """How it stands. Raises ServiceError (`job_unknown`)."""
        return self._typed(Job.from_view, self._transport.ask("GET", f"/apiv1/jobs/{_name(songhash)}"))

    def cancel(self, songhash: str | Job) -> Job:
        """Takes it out of the queue, or stops its run. Raises ServiceError: `conflict` where it is done already."""
        return self._typed(Job.from_view, self._transport.ask("DELETE", f"/apiv1/jobs/{_name(songhash)}"))

    def track(
        self,
        songhash: str | Job,
        stem: str,
        target: str | PathLike[str],
        *,
        on_progress: OnDownload | None = None,
    ) -> int:
        """One stem into a file; its bytes. The file appears, or is replaced, once it is whole.

        Raises ServiceError: `job_not_done`, `stem_unknown`, `track_removed`, `job_unknown`.
        """
        target = Path(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        return fetch(self._transport, f"/apiv1/track/{_name(songhash)}-{_quoted(stem)}", target, on_progress)

    def remove(self, songhash: str | Job, stem: str) -> list[str]:
        """Deletes one stem from the service; the objects removed. Raises ServiceError (`track_unknown`).

        A try whose answer was lost has removed it already, so that the next one finds nothing.
        """
        return list(
            self._transport.ask("DELETE", f"/apiv1/remove/{_name(songhash)}-{_quoted(stem)}").get("removed", ())
        )

    def models(self) -> dict[str, Any]:
        """What a song may be sent with, as the API answers: `default`, `models`, `formats`, `bitrates`, `limits`."""
        return self._transport.ask("GET", "/apiv1/models")

    def queue(self, *, offset: int = 0, limit: int | None = None) -> Queue:
        """What waits, from `offset` on, what is in work, what was given up. Where there are keys: an admin's."""
        params = {"offset": offset} | ({} if limit is None else {"limit": limit})
        return self._typed(Queue.from_view, self._transport.ask("GET", "/apiv1/queue", params=params))

    # --- its own end

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _typed(self, read: Callable[[Mapping[str, Any]], View], view: Mapping[str, Any]) -> View:
        try:
            return read(view)
        except (KeyError, TypeError, ValueError) as error:
            raise NotTheService(f"{self.url} answers, but not as MSaaS does: {error!r}") from error


def _name(songhash: str | Job) -> str:
    """As it stands in a path, whatever was typed."""
    return _quoted(songhash.songhash if isinstance(songhash, Job) else songhash)


def _quoted(text: str) -> str:
    return quote(printable(text), safe="")
