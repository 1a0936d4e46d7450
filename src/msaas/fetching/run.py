"""Runs one fetch: from a provisional job to the job of the song that its address gave."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas import failpoints
from msaas.background_jobs.run import JobRun
from msaas.errors import (
    Busy,
    MSaaSError,
    RecordBroken,
)
from msaas.fetching.answers import FetchFailed, Source
from msaas.fetching.download import Download, DownloadLimits, FetchedSong
from msaas.jobs import Job, State, record_json, songhash
from msaas.options import Options
from msaas.queue import Admission, Claim, Queue
from msaas.queue.audio_length import AudioLength
from msaas.storage import Storage
from msaas.storage.songs import is_waiting, is_whole, song_facts

log = logging.getLogger(__name__)

STAGE = "fetching"
HOLD_SECONDS = 600.0  # longer than storing a song takes
HOLD_WAIT_SECONDS = 10.0


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


class FetchRun(JobRun):
    """One claimed fetch."""

    kind, verb, prefix = "fetch", "fetched", "msaas-fetch-"

    def __init__(self, context: FetchContext, claim: Claim, stopping: threading.Event) -> None:
        super().__init__(
            context.fetches,
            claim,
            stopping,
            scratch_dir=context.scratch_dir,
            heartbeat_seconds=context.heartbeat_seconds,
        )
        self.context = context
        self._download_from: Source | None = None

    def interrupt(self) -> None:
        if source := self._download_from:
            source.interrupt()

    def source(self) -> str:
        return f"from={self.claim.job.fetch_from}"

    def is_retryable(self, error: MSaaSError) -> bool:
        if isinstance(error, FetchFailed):
            return error.temporary
        return super().is_retryable(error)

    # --- from the address to the job

    def run(self, folder: Path) -> str:
        job = self.claim.job
        if not job.fetch_url:
            raise RecordBroken("the record has no address; post it again")
        options = self._options(job)
        self.heartbeat.progress(STAGE, 0)
        self.heartbeat.note(trouble="")  # of an earlier run
        self.heartbeat.send()
        self._download_from = self.context.open_source(job.fetch_url)
        download = Download(
            self._download_from,
            folder / "song",
            self.context.limits.download,
            progress=lambda share: self.heartbeat.progress(STAGE, share),
            check=self.check,
            pause=self.pause,
            waiting=self._waiting,
        )
        song = download.run()
        name = songhash(song.sha256, options, job.tenant)
        failpoints.hit("after-fetching")
        new = self._submit(name, song, options)
        if not self.context.fetches.lead(self.claim, name):
            return self._undo(name, new)
        self.context.submitted(job.fetch_url, name)
        return f"job {name}"

    def _waiting(self, reason: str) -> None:
        """A caller learns at once why the song does not arrive."""
        self.note_reason(f"the song cannot be fetched yet: {reason}" if reason else "")

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
        if known is not None and self.retry(lambda: is_whole(storage, known)):
            return False
        filename = str(job.upload.get("filename") or "")
        about = song_facts(self.context.probe(song.path), song.size, song.sha256, filename)
        options.refuse_source(about["sample_rate"])
        options.refuse_part_of(about["duration_seconds"])
        fields = {"model": options.model, "options": options.to_json(), "tenant": job.tenant}
        if not self.retry(lambda: is_waiting(storage, known)):
            self.retry(lambda: storage.put_input(name, song.path))
        gone = known is not None and known.state is State.DONE
        admission = self._admission(about, options)
        fields |= {"upload": record_json(about)} | ({"priority": job.priority} if job.priority else {})
        return songs.submit(name, fields, stems_missing=gone, admission=admission).new

    def _hold(self, name: str) -> None:
        give_up_at = time.monotonic() + HOLD_WAIT_SECONDS
        while not self.context.songs.hold(name, HOLD_SECONDS):
            if time.monotonic() > give_up_at:
                raise Busy("the old job of this song is being deleted")
            self.pause(0.1)

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
