"""Runs one fetch: from a provisional job to the job of the song that its address gave."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas import failpoints, scratch
from msaas.errors import (
    AudioError,
    Busy,
    Cancelled,
    MSaaSError,
    QueueUnavailable,
    RecordBroken,
    RequestError,
    ScratchFull,
    StorageUnavailable,
)
from msaas.fetching.answers import FetchFailed, Source
from msaas.fetching.download import Download, DownloadLimits, FetchedSong
from msaas.jobs import Job, State, record_json, songhash
from msaas.options import Options
from msaas.queue import Admission, Backoff, Claim, Queue
from msaas.queue.audio_length import AudioLength
from msaas.queue.heartbeat import Heartbeat
from msaas.storage import Storage
from msaas.storage.songs import is_waiting, is_whole, song_facts

log = logging.getLogger(__name__)

PREFIX = "msaas-fetch-"
STAGE = "fetching"
HOLD_SECONDS = 600.0  # longer than storing a song takes
HOLD_WAIT_SECONDS = 10.0
RETRY_PAUSE_SECONDS = 2.0
STORE_SECONDS = 60.0  # how long a store that is away is waited for; then the fetch is retried


class Stopping(MSaaSError):
    """This process has to stop before the fetch is over."""


@dataclass(frozen=True)
class FetchLimits:
    """`max_waiting`, `max_songs` and `audio_limit_seconds`: the quotas that an upload has, too. 0: none."""

    download: DownloadLimits
    max_duration_seconds: float
    max_waiting: int = 0
    max_songs: int = 0
    audio_limit_seconds: int = 0


@dataclass(frozen=True)
class FetchContext:
    """Shared by all fetches of a process. `fetches`: the queue of provisional jobs, `songs`: that of the songs.

    `probe` takes a file and returns what msaas.audio.decode.probe.Probe has. `open_source` raises FetchRefused.
    `submitted` is called with the address and the songhash once the song is queued.
    """

    fetches: Queue
    songs: Queue
    storage: Storage
    probe: Callable[[Path], Any]
    open_source: Callable[[str], Source]
    limits: FetchLimits
    scratch_dir: Path
    heartbeat_seconds: float
    submitted: Callable[[str, str], object] = lambda _url, _songhash: None


class FetchRun:
    """One claimed fetch. `interrupt` may be called from another thread."""

    def __init__(self, context: FetchContext, claim: Claim, stopping: threading.Event) -> None:
        self.context, self.claim, self.stopping = context, claim, stopping
        self.heartbeat = Heartbeat(context.fetches, claim, every_seconds=context.heartbeat_seconds)
        self._source: Source | None = None

    def interrupt(self) -> None:
        """Ends the download at once; `stopping` is set before."""
        if source := self._source:
            source.interrupt()

    def execute(self) -> None:
        """The fetch is finished, failed, requeued or given back; if Redis is away, its lease expires."""
        job, began = self.claim.job, time.monotonic()
        try:
            with self.heartbeat:
                outcome = self._outcome()
            seconds = time.monotonic() - began
            log.info("fetched job=%s from=%s outcome=%s seconds=%.2f", job.songhash, job.fetch_from, outcome, seconds)
        except QueueUnavailable as error:
            log.warning("fetch left to its lease job=%s reason=%s", job.songhash, error)

    def _outcome(self) -> str:
        try:
            with scratch.locked_folder(self.context.scratch_dir, PREFIX) as folder:
                return self._fetch(folder)
        except Stopping:
            self.context.fetches.release(self.claim)
            return "given back"
        except Cancelled as error:
            return error.detail
        except QueueUnavailable:
            raise
        except Exception as error:
            return self._fail(_as_msaas_error(error))

    # --- from the address to the job

    def _fetch(self, folder: Path) -> str:
        job = self.claim.job
        if not job.fetch_url:
            raise RecordBroken("the record has no address; post it again")
        options = self._options(job)
        self.heartbeat.progress(STAGE, 0)
        self.heartbeat.send()
        self._source = self.context.open_source(job.fetch_url)
        download = Download(
            self._source,
            folder / "song",
            self.context.limits.download,
            progress=lambda share: self.heartbeat.progress(STAGE, share),
            check=self.check,
            pause=self._pause,
        )
        song = download.run()
        name = songhash(song.sha256, options, job.tenant)
        failpoints.hit("after-fetching")
        new = self._submit(name, song, options)
        if not self.context.fetches.lead(self.claim, name):
            return self._undo(name, new)
        self.context.submitted(job.fetch_url, name)
        return f"job {name}"

    def _options(self, job: Job) -> Options:
        """As they were posted: the model was checked then."""
        if "options" in job.broken or job.options is None:
            raise RecordBroken("the options in the record cannot be read; post the address again")
        return Options.parse(job.options, default_model=job.model, allowed=job.models)

    def _submit(self, name: str, song: FetchedSong, options: Options) -> bool:
        """As an upload of these bytes. Returns whether it was new. Its callbacks follow with `lead`."""
        self._hold(name)
        songs, storage, job = self.context.songs, self.context.storage, self.claim.job
        known = songs.get(name)
        if known is not None and self._retry(lambda: is_whole(storage, known)):
            return False
        filename = str(job.upload.get("filename") or "")
        about = song_facts(self.context.probe(song.path), song.size, song.sha256, filename)
        options.refuse_source(about["sample_rate"])
        options.refuse_part_of(about["duration_seconds"])
        fields = {"model": options.model, "options": options.to_json(), "tenant": job.tenant}
        if not self._retry(lambda: is_waiting(storage, known)):
            self._retry(lambda: storage.put_input(name, song.path))
        gone = known is not None and known.state is State.DONE
        admission = self._admission(about, options)
        fields |= {"upload": record_json(about)} | ({"priority": job.priority} if job.priority else {})
        return songs.submit(name, fields, stems_missing=gone, admission=admission).new

    def _hold(self, name: str) -> None:
        give_up_at = time.monotonic() + HOLD_WAIT_SECONDS
        while not self.context.songs.hold(name, HOLD_SECONDS):
            if time.monotonic() > give_up_at:
                raise Busy("the old job of this song is being deleted")
            self._pause(0.1)

    def _admission(self, about: dict[str, Any], options: Options) -> Admission:
        limits = self.context.limits
        audio = AudioLength.of(about, limits.max_duration_seconds, options)
        seconds = (audio.declared_seconds, audio.max_seconds, limits.audio_limit_seconds)
        # the provisional job is one of the account's open songs until it leads to this one
        most = limits.max_songs + 1 if limits.max_songs else 0
        return Admission(limits.max_waiting, self.claim.job.account, most, *seconds)

    def _undo(self, name: str, new: bool) -> str:
        """The fetch was cancelled, or taken over, while its song was submitted. Another fetch finds the song known."""
        found = self.context.fetches.get(self.claim.songhash)
        if new and found is not None and found.state is State.CANCELLED:
            self.context.songs.cancel(name)
        return "lost"

    # --- retries and the end

    def check(self) -> None:
        """Raises Stopping, and Cancelled once the fetch no longer belongs to this process."""
        if self.stopping.is_set():
            raise Stopping("the process has to stop")
        if self.heartbeat.lost is not None:
            raise Cancelled(f"the fetch is {self.heartbeat.lost} now")

    def _pause(self, seconds: float) -> None:
        self.stopping.wait(seconds)
        self.check()

    def _retry(self, step: Callable[[], Any]) -> Any:
        """Waits for a store that is away, for a time."""
        pause, give_up_at = Backoff(self.stopping), time.monotonic() + STORE_SECONDS
        while True:
            self.check()
            try:
                return step()
            except StorageUnavailable:
                if time.monotonic() > give_up_at:
                    raise
                pause.wait()

    def _fail(self, error: MSaaSError) -> str:
        retry = _is_retryable(error)
        if retry:
            self.stopping.wait(RETRY_PAUSE_SECONDS)
        text = {"code": error.code, "detail": error.detail}
        outcome = self.context.fetches.fail(self.claim, text, retry=retry) or "lost"
        notes = " ".join(getattr(error, "__notes__", ()))
        log.warning("fetch failed job=%s code=%s outcome=%s %s", self.claim.songhash, error.code, outcome, notes)
        return outcome


def _as_msaas_error(error: Exception) -> MSaaSError:
    if isinstance(error, MSaaSError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ScratchFull("no space left to fetch songs")
    log.error("unexpected error", exc_info=error)
    return MSaaSError(f"{type(error).__name__}: {error}")


def _is_retryable(error: MSaaSError) -> bool:
    if isinstance(error, FetchFailed):
        return error.temporary
    return not isinstance(error, RequestError | AudioError | RecordBroken)
