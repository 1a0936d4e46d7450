"""Renders one claimed mix: fetches the stems that are heard, mixes them, stores the file."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from msaas import failpoints, scratch
from msaas.audio.encode.converted import Sound
from msaas.audio.limits import Limits
from msaas.audio.mixing.pan import amplitude
from msaas.audio.mixing.render import Encoding, Mix, PlacedStem, Rendered, render
from msaas.audio.part import Part
from msaas.audio.sandbox.tags import tags_isolated
from msaas.audio.tags import SongTags, stem_tags
from msaas.errors import (
    AudioError,
    Cancelled,
    InvalidOption,
    MSaaSError,
    NotFound,
    ObjectDamaged,
    QueueUnavailable,
    RecordBroken,
    RequestError,
    ScratchFull,
    StorageUnavailable,
)
from msaas.formats import MIX, SOURCE_RATE
from msaas.jobs import Job, State
from msaas.mixing.request import MixRequest
from msaas.queue import Backoff, Claim, Queue
from msaas.queue.heartbeat import Heartbeat
from msaas.storage import Storage

log = logging.getLogger(__name__)

PREFIX = "msaas-mix-"
HOLD_SECONDS = 600.0
HOLD_EVERY_SECONDS = 60.0
RETRY_PAUSE_SECONDS = 2.0
STORE_SECONDS = 60.0  # how long a store that is away is waited for; then the mix is retried
FETCHED = 0.1  # progress once the stems are there


class Stopping(MSaaSError):
    """This process has to stop before the mix is rendered."""


@dataclass(frozen=True)
class MixContext:
    """Shared by all mixes of a process. `mixes`: their queue; `songs`: that of the songs."""

    mixes: Queue
    songs: Queue
    storage: Storage
    limits: Limits
    scratch_dir: Path
    heartbeat_seconds: float


class MixRun:
    """One claimed mix."""

    def __init__(self, context: MixContext, claim: Claim, stopping: threading.Event) -> None:
        self.context, self.claim, self.stopping = context, claim, stopping
        self.heartbeat = Heartbeat(context.mixes, claim, every_seconds=context.heartbeat_seconds)
        self._hold_again_at = 0.0

    def execute(self) -> None:
        """The mix is finished, failed, requeued or given back; if Redis is away, its lease expires."""
        job, began = self.claim.job, time.monotonic()
        try:
            with self.heartbeat:
                outcome = self._outcome()
            seconds = time.monotonic() - began
            log.info("mixed job=%s song=%s outcome=%s seconds=%.2f", job.songhash, job.mix_of, outcome, seconds)
        except QueueUnavailable as error:
            log.warning("mix left to its lease job=%s reason=%s", job.songhash, error)

    def _outcome(self) -> str:
        try:
            with scratch.locked_folder(self.context.scratch_dir, PREFIX) as folder:
                return self._mix(folder)
        except Stopping:
            self.context.mixes.release(self.claim)
            return "given back"
        except Cancelled as error:
            self._tidy_up()
            return error.detail
        except QueueUnavailable:
            raise
        except Exception as error:
            return self._fail(_as_msaas_error(error))

    # --- from the stems to the mix

    def _mix(self, folder: Path) -> str:
        asked = self._asked()
        self._keep_song()
        song = self._song()
        self.heartbeat.progress("fetching", 0)
        self.heartbeat.send()
        stems = self._stems(song, asked, folder)
        failpoints.hit("before-mixing")
        path = folder / f"{MIX}.{asked.format}"
        made = _made(song)
        mix = Mix(stems, made, Part(asked.start or 0.0, asked.end), self.context.limits)
        if not mix.sound.total_samples:
            raise RecordBroken(f"start {asked.start or 0:g}: the song ends before it")
        how = self._encoding(song, asked, mix, stems[0].path)
        done = render(mix, path, how, self._progressed)
        failpoints.hit("after-mixing")
        self._retry(lambda: self.context.storage.put_stem(f"{self.claim.songhash}-{path.name}", path))
        return self._finish(asked, mix, how, done, song)

    def _asked(self) -> MixRequest:
        """Raises RecordBroken."""
        try:
            return MixRequest.from_fields(self.claim.job.mix or {})
        except InvalidOption as error:
            raise RecordBroken("the settings of the mix cannot be read; post it again") from error

    def _song(self) -> Job:
        """Raises NotFound."""
        song = self.context.songs.get(self.claim.job.mix_of)
        if song is None or song.state is not State.DONE:
            raise NotFound(f"the song {self.claim.job.mix_of} is no longer there", code="object_missing")
        return song

    def _stems(self, song: Job, asked: MixRequest, folder: Path) -> list[PlacedStem]:
        placed: list[PlacedStem] = []
        for count, (stem, level) in enumerate(sorted(asked.levels.items())):
            if stem not in song.stem_extensions:
                raise NotFound(f"the song has no stem {stem} any more", code="object_missing")
            path = folder / f"{song.songhash}-{stem}.{song.stem_extensions[stem]}"
            self._retry(partial(self._fetch, path.name, path))
            placed.append(PlacedStem(path, amplitude(level.gain_db), level.pan))
            self.heartbeat.progress("fetching", FETCHED * (count + 1) / len(asked.levels))
        return placed

    def _fetch(self, name: str, path: Path) -> None:
        """Raises NotFound, ObjectDamaged, StorageUnavailable."""
        stored = self.context.storage.stat_stem(name)
        if stored is None:
            raise NotFound(f"the stem {name} was removed; post the song again", code="object_missing")
        with path.open("wb") as file:
            for chunk in self.context.storage.read_stem(name):
                self.check()
                file.write(chunk)
        if (size := path.stat().st_size) != stored.size:
            raise ObjectDamaged(f"the object store returned {size} bytes of {name} instead of {stored.size}")

    def _encoding(self, song: Job, asked: MixRequest, mix: Mix, stem: Path) -> Encoding:
        rate = asked.rate(mix.sound.sample_rate, _song_rate(song))
        samples = -(-mix.sound.total_samples * rate // mix.sound.sample_rate)
        if asked.sample_rate == SOURCE_RATE and mix.sound.total_samples == _made(song).total_samples:
            samples = _song_samples(song, samples)
        tags = stem_tags(SongTags(song.tags, tags_isolated(stem).cover), MIX, song.model_ran or "an unknown model")
        saved = Sound(rate, 1 if asked.mono else mix.sound.channels, samples)
        return Encoding(asked.kind, saved, asked.bitrate, asked.bit_depth, tags)

    def _finish(self, asked: MixRequest, mix: Mix, how: Encoding, done: Rendered, song: Job) -> str:
        seconds = mix.sound.total_samples / mix.sound.sample_rate
        result = {
            "stems": {MIX: asked.format},
            "samples": how.saved.total_samples,
            "sample_rate": how.saved.sample_rate,
            "duration_seconds": seconds,
            "mix": {"gain_db": done.gain_db, "true_peak_dbtp": done.true_peak_dbtp},
            "model": {"name": song.model_ran},
            "warnings": _warnings(done),
        }
        if self.context.mixes.finish(self.claim, result, seconds):
            return "done"
        self._tidy_up()
        return "lost"

    # --- progress, retries and the end

    def _progressed(self, fraction: float) -> None:
        self.check()
        self._keep_song()
        self.heartbeat.progress("mixing", FETCHED + (1 - FETCHED) * fraction)

    def check(self) -> None:
        """Raises Stopping, and Cancelled once the mix no longer belongs to this process."""
        if self.stopping.is_set():
            raise Stopping("the process has to stop")
        if self.heartbeat.lost is not None:
            raise Cancelled(f"the mix is {self.heartbeat.lost} now")

    def _keep_song(self) -> None:
        """Keeps the song from expiring meanwhile."""
        if time.monotonic() < self._hold_again_at:
            return
        self._hold_again_at = time.monotonic() + HOLD_EVERY_SECONDS
        if not self.context.songs.hold(self.claim.job.mix_of, HOLD_SECONDS):
            raise NotFound(f"the song {self.claim.job.mix_of} is being deleted", code="object_missing")

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
        retry = not isinstance(error, NotFound | RequestError | AudioError | RecordBroken)
        if retry:
            self.stopping.wait(RETRY_PAUSE_SECONDS)
        text = {"code": error.code, "detail": error.detail}
        outcome = self.context.mixes.fail(self.claim, text, retry=retry) or "lost"
        log.warning("mix failed job=%s code=%s outcome=%s", self.claim.songhash, error.code, outcome)
        return outcome

    def _tidy_up(self) -> None:
        """Deletes the file of a mix that ended without one; that of a requeued mix belongs to another process."""
        try:
            job = self.context.mixes.get(self.claim.songhash)
            if job is None or job.state in (State.CANCELLED, State.FAILED):
                self.context.storage.remove_stems_of(self.claim.songhash)
        except StorageUnavailable as error:
            log.warning("file of an ended mix left to the sweep job=%s reason=%s", self.claim.songhash, error)


def _made(song: Job) -> Sound:
    """The rate, channels and length of each of the song's stems. Raises RecordBroken."""
    rate, samples = song.result.get("sample_rate"), song.result.get("samples")
    if not all(isinstance(number, int) and number > 0 for number in (rate, samples)):
        raise RecordBroken("the record of the song does not say how long its stems are; post it again")
    mono = bool((song.known_options or {}).get("mono"))
    return Sound(int(rate or 0), 1 if mono else 2, int(samples or 0))


def _song_rate(song: Job) -> int | None:
    rate = song.upload.get("sample_rate")
    return rate if isinstance(rate, int) and rate > 0 else None


def _song_samples(song: Job, otherwise: int) -> int:
    """The song's own number of samples, which the resampled stems may exceed by one; `otherwise` if it is not known."""
    report = song.result.get("report")
    own = report.get("part_samples") if isinstance(report, Mapping) else None
    return own if isinstance(own, int) and 0 <= otherwise - own <= 1 else otherwise


def _warnings(done: Rendered) -> list[dict[str, str]]:
    if not done.gain_db:
        return []
    peak = "" if done.true_peak_dbtp is None else f": its true peak was {done.true_peak_dbtp:+.1f} dBTP"
    return [{"code": "turned_down", "detail": f"the mix was turned down by {-done.gain_db:.1f} dB{peak}"}]


def _as_msaas_error(error: Exception) -> MSaaSError:
    if isinstance(error, MSaaSError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ScratchFull("no space left to render mixes")
    log.error("unexpected error", exc_info=error)
    return MSaaSError(f"{type(error).__name__}: {error}")
