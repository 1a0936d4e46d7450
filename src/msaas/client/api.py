"""The client: one method per API call, and `separate` for the whole sequence. Retries calls that fail temporarily.

It polls instead of listening to events: an event stream occupies a thread of the server while it is open.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from msaas.client.calls import batch_song, id_of, job_path, quoted
from msaas.client.download import OnDownload, fetch, stem_path
from msaas.client.errors import JobFailed, NotTheService, WaitTimeout
from msaas.client.models import Batch, Job, Model, Queue
from msaas.client.names import is_address, printable
from msaas.client.remembered import RememberedUploads, default_folder
from msaas.client.resumable import NoUploads, ResumableUpload
from msaas.client.song_calls import SongCalls
from msaas.client.transport import OnRetry, Transport
from msaas.client.upload import OnUpload, Song, Source, opened
from msaas.formats import DEFAULT_FORMAT

DEFAULT_URL = "http://localhost:5000"
MAX_FILENAME_CHARS = 200  # of the end of a file's name, which has its extension: the rest would lengthen the URL
RETRIES = 8  # some 40 seconds, or as long as the API says: enough for a restart
RESUMABLE_BYTES = 20_000_000
FIRST_POLL_SECONDS = 0.2  # short songs are done within a second or two
POLL_SECONDS = 1.0

OnJob = Callable[[Job], None]


class Client(SongCalls):
    """Calls are retried if the connection breaks or the API is busy: repeating one is harmless.

    url: of the API; default MSAAS_URL, else http://localhost:5000. key: sent with each call; default MSAAS_API_KEY,
    else none. retries: attempts after the first of each call. sleep: waits between attempts and polls; an exception
    from it ends the call. on_retry(reason, seconds): called before each wait for another attempt. resumable_bytes:
    larger songs are sent in parts, which go on after a broken connection; None for none. remember_uploads: in
    ~/.cache/msaas/uploads, so that another run goes on with an unfinished one. Not thread-safe. Raises BadAddress,
    BadKey.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        retries: int = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
        on_retry: OnRetry = lambda _reason, _seconds: None,
        resumable_bytes: int | None = RESUMABLE_BYTES,
        remember_uploads: bool = True,
    ) -> None:
        self._transport = Transport(
            url or os.environ.get("MSAAS_URL") or DEFAULT_URL,
            key=os.environ.get("MSAAS_API_KEY", "") if key is None else key,
            retries=retries,
            sleep=sleep,
            on_retry=on_retry,
        )
        self.url = self._transport.url
        self._resumable_bytes = resumable_bytes
        self._remembered = RememberedUploads(default_folder() if remember_uploads else None)

    # --- a song from upload to stems

    def submit(
        self,
        song: Source,
        *,
        model: str | None = None,
        stems: Iterable[str] | None = None,
        two_stems: str | None = None,
        format: str = DEFAULT_FORMAT,
        bitrate: int | None = None,
        quality: str | None = None,
        overlap: float | None = None,
        shifts: int | None = None,
        sample_rate: int | str | None = None,
        bit_depth: str | None = None,
        mono: bool = False,
        start: float | None = None,
        end: float | None = None,
        refine: Mapping[str, str] | None = None,
        priority: str | None = None,
        callback: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        on_upload: OnUpload | None = None,
    ) -> Job:
        """Uploads a song: a path, bytes, or a binary file (from its current position). The same song is the same job.

        A pipe is read to its end first, even if it has a path. on_upload(sent, size) in bytes; starts again after a
        broken connection, unless the song is sent in parts. start, end: seconds, for a part of the song. refine: stems,
        and the models that separate them further. priority: "low" for a song that may wait behind others. callback:
        {"url": …, "data": …}. idempotency_key: by default a new one for each call; the attempts of one call share it.
        Job.known says whether the service had the job already.

        Raises ServiceError if the song or an option is rejected, OSError if the file cannot be read, SongTooLarge if a
        pipe exceeds the service's limit.
        """
        options = {
            "model": model,
            "stems": ",".join(stems) if stems else None,
            "two_stems": two_stems,
            "format": format,
            "bitrate": bitrate,
            "quality": quality,
            "overlap": overlap,
            "shifts": shifts,
            "sample_rate": sample_rate,
            "bit_depth": bit_depth,
            "mono": "true" if mono else None,
            "start": start,
            "end": end,
            "refine": ",".join(f"{stem}={name}" for stem, name in refine.items()) if refine else None,
            "priority": priority,
            "callback": json.dumps(callback) if callback else None,
        }
        with self.opened(song) as source:
            given = options | {"filename": source.name[-MAX_FILENAME_CHARS:] or None}
            texts = {name: printable(str(value)) for name, value in given.items() if value is not None}
            accepted = self._post(source, texts, callback, _quoted_string(idempotency_key), on_upload)
        job = self.job(str(accepted.get("songhash")))
        return replace(job, known=accepted.get("known"), name=str(accepted.get("name") or job.name))

    def _post(
        self,
        song: Song,
        options: dict[str, str],
        callback: Mapping[str, Any] | None,
        key: str,
        on_upload: OnUpload | None,
    ) -> dict[str, Any]:
        if self._resumable_bytes is None or song.size <= self._resumable_bytes:
            return self._post_whole(song, options, key, on_upload)
        body, headers = options | ({"callback": callback} if callback else {}), {"Idempotency-Key": key}
        upload = ResumableUpload(self._transport, song, on_upload, self._remembered)
        try:
            return upload.submit(
                lambda id_: self._transport.request_json(
                    "POST", "/apiv1/separate", headers=headers, json=body | {"upload": id_}
                )
            )
        except NoUploads:  # an older service
            return self._post_whole(song, options, key, on_upload)

    def _post_whole(self, song: Song, options: dict[str, str], key: str, on_upload: OnUpload | None) -> dict[str, Any]:
        return self._transport.request_json(
            "POST",
            "/apiv1/separate",
            params=options,
            headers={"Content-Type": song.content_type, "Idempotency-Key": key},
            body=lambda: song.body(on_upload),
        )

    def submit_url(
        self,
        url: str,
        *,
        callback: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Has the service fetch a song: http, https, or s3 for a bucket that it lists. `options` as of `submit`.

        The job is provisional until the song is fetched; `wait` follows it to the song's job. Raises ServiceError.
        """
        body = {"url": printable(url), **options} | ({"callback": callback} if callback else {})
        accepted = self._transport.request_json(
            "POST",
            "/apiv1/separate",
            headers={"Idempotency-Key": _quoted_string(idempotency_key)},
            json={name: value for name, value in body.items() if value is not None},
        )
        return replace(self.job(str(accepted.get("songhash"))), known=accepted.get("known"))

    def submit_batch(
        self,
        songs: Iterable[Mapping[str, Any]],
        *,
        priority: str | None = None,
        callback: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Batch:
        """Queues many songs, all or none. Each is {"url": …}, {"upload": …} or {"job": songhash}, with options of its
        own, `filename` and `callback`. `options` apply to all. priority: "low" by default, or "normal".

        Raises ServiceError, which names the index of a wrong song.
        """
        body: dict[str, Any] = {"songs": [batch_song(song) for song in songs], "options": options or None}
        body |= {"priority": priority, "callback": callback}
        found = self._transport.request_json(
            "POST",
            "/apiv1/batches",
            headers={"Idempotency-Key": _quoted_string(idempotency_key)},
            json={name: value for name, value in body.items() if value is not None},
        )
        return self._typed(Batch.from_view, found)

    def upload(self, song: Source, *, on_upload: OnUpload | None = None) -> str:
        """Sends a song in parts without submitting it, at any size; returns its ID, for a song of a batch. Raises what
        `submit` raises, NotTheService for a service without uploads in parts."""
        with self.opened(song) as source:
            try:
                return ResumableUpload(self._transport, source, on_upload, self._remembered).send()
            except NoUploads:
                raise NotTheService(f"{self.url} accepts no uploads in parts") from None

    def batch(self, batch: str | Batch) -> Batch:
        """The batch's current state. Raises ServiceError (`batch_unknown`)."""
        return self._typed(Batch.from_view, self._transport.request_json("GET", _batch_path(batch)))

    def cancel_batch(self, batch: str | Batch) -> Batch:
        """Cancels the songs that have not ended. Raises ServiceError (`conflict` if the batch is done)."""
        return self._typed(Batch.from_view, self._transport.request_json("DELETE", _batch_path(batch)))

    def opened(self, song: Source, name: str = "") -> AbstractContextManager[Song]:
        """Opens the song as `submit` does, to get its size or hash first."""
        return opened(song, name, limit_bytes=self._upload_bytes)

    def _upload_bytes(self) -> int | None:
        limit = (self.models().get("limits") or {}).get("upload_bytes")
        return int(limit) if limit else None

    def wait(self, songhash: str | Job, *, on_progress: OnJob | None = None, timeout: float | None = None) -> Job:
        """Polls until the job has ended, and returns it in any end state, with the name of the given Job. on_progress
        gets each answer, including the last.

        timeout in seconds; after it, WaitTimeout is raised and the job continues.
        """
        name, called = id_of(songhash), songhash.name if isinstance(songhash, Job) else ""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        while True:
            job = self.job(name)
            job = replace(job, name=called or job.name)
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
        named: bool = False,
        on_progress: OnDownload | None = None,
    ) -> dict[str, Path]:
        """Writes `<folder>/<stem>.<format>` for each stem of a finished job, or for the given stems; with `named`
        `<folder>/<name> (<Stem>).<format>`, if the job has a name.

        All are downloaded before the first one replaces an older file.
        on_progress(have, total) in bytes, per stem; total is None if the API does not send it.
        Raises JobFailed if there is nothing to download, UnsafeName, OSError, and what `track` raises.
        """
        if not job.done:
            raise JobFailed(job)
        folder = Path(folder)
        name = job.name if named else ""
        paths = {stem: stem_path(folder, stem, job.format, name) for stem in (job.stems if stems is None else stems)}
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
        """Submit, wait and download in one call: from a song, or its URL, to its stem files. Raises JobFailed, and what
        those three raise."""
        job = self.submit_url(str(song), **options) if is_address(song) else self.submit(song, **options)
        return self.download(self.wait(job, on_progress=on_progress, timeout=timeout), folder)

    # --- single calls

    def job(self, songhash: str | Job) -> Job:
        """The job's current state. Raises ServiceError (`job_unknown`)."""
        return self._typed(Job.from_view, self._transport.request_json("GET", job_path(songhash)))

    def cancel(self, songhash: str | Job) -> Job:
        """Removes a job from the queue, or stops its run. Raises ServiceError (`conflict` if it is already done)."""
        return self._typed(Job.from_view, self._transport.request_json("DELETE", job_path(songhash)))

    def track(
        self,
        songhash: str | Job,
        stem: str,
        target: str | PathLike[str],
        *,
        on_progress: OnDownload | None = None,
    ) -> int:
        """Downloads one stem to a file; returns its size in bytes. The file appears, or is replaced, once it is
        complete.

        Raises ServiceError: `job_not_done`, `stem_unknown`, `track_removed`, `job_unknown`.
        """
        target = Path(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        return fetch(self._transport, f"/apiv1/track/{id_of(songhash)}-{quoted(stem)}", target, on_progress)

    def remove(self, songhash: str | Job, stem: str) -> list[str]:
        """Deletes one stem from the service; returns the deleted objects. Raises ServiceError (`track_unknown`).

        An attempt whose answer was lost may have deleted it already; the next one then finds nothing.
        """
        return list(
            self._transport.request_json("DELETE", f"/apiv1/remove/{id_of(songhash)}-{quoted(stem)}").get("removed", ())
        )

    def models(self) -> dict[str, Any]:
        """The API's models and options: `default`, `models`, `formats`, `bitrates`, `limits`."""
        return self._transport.request_json("GET", "/apiv1/models")

    def list_models(self) -> tuple[Model, ...]:
        """The models that a request may choose, with stems, licence and for whom each is."""
        return self._typed(Model.all_in, self._transport.request_json("GET", "/apiv1/models"))

    def songs(self, *, state: str | None = None, text: str | None = None) -> Iterator[Job]:
        """The songs of this key's tenant, without keys all, those posted last first; one request for each 200.

        state, text: only jobs in this state, only songs with this text in their name or tags.
        """
        params: dict[str, Any] = {"limit": 200, "state": state, "q": text}
        while True:
            page = self._transport.request_json("GET", "/apiv1/jobs", params=params)
            yield from self._typed(Job.all_in, page)
            if not page.get("next"):
                return
            params["before"] = page["next"]

    def queue(self, *, offset: int = 0, limit: int | None = None) -> Queue:
        """Waiting jobs from `offset` on, running jobs, dead jobs. Needs an admin's key if the API has keys."""
        params = {"offset": offset} | ({} if limit is None else {"limit": limit})
        return self._typed(Queue.from_view, self._transport.request_json("GET", "/apiv1/queue", params=params))

    # --- closing

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _batch_path(batch: str | Batch) -> str:
    return f"/apiv1/batches/{quoted(batch.id if isinstance(batch, Batch) else batch)}"


def _quoted_string(key: str | None) -> str:
    """A string of RFC 9651; a new one for None. Raises ValueError."""
    text = str(uuid.uuid4()) if key is None else key
    if not (text.isascii() and text.isprintable() and text):
        raise ValueError("an idempotency key must consist of printable ASCII characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
