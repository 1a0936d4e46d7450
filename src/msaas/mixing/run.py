"""Renders one claimed mix: fetches the stems that are heard, mixes them, stores the file."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msaas import failpoints
from msaas.audio.encode.converted import Sound
from msaas.audio.limits import Limits
from msaas.audio.mixing.pan import amplitude
from msaas.audio.mixing.render import Encoding, Mix, PlacedStem, Rendered, render
from msaas.audio.part import Part
from msaas.audio.sandbox.tags import tags_isolated
from msaas.audio.tags import SongTags, stem_tags
from msaas.background_jobs.run import JobRun
from msaas.errors import (
    InvalidOption,
    NotFound,
    ObjectDamaged,
    RecordBroken,
    StorageUnavailable,
)
from msaas.formats import MIX, SOURCE_RATE
from msaas.jobs import Job, State
from msaas.mixing.request import MixRequest
from msaas.queue import Claim, Queue
from msaas.storage import Storage

log = logging.getLogger(__name__)

HOLD_SECONDS = 600.0
HOLD_EVERY_SECONDS = 60.0
FETCHED = 0.1  # progress once the stems are there


@dataclass(frozen=True)
class MixContext:
    """Shared by all mixes of a process. `mixes`: their queue; `songs`: that of the songs."""

    mixes: Queue
    songs: Queue
    storage: Storage
    limits: Limits
    scratch_dir: Path
    heartbeat_seconds: float


class MixRun(JobRun):
    """One claimed mix."""

    kind, verb, prefix = "mix", "mixed", "msaas-mix-"

    def __init__(self, context: MixContext, claim: Claim, stopping: threading.Event) -> None:
        super().__init__(
            context.mixes,
            claim,
            stopping,
            scratch_dir=context.scratch_dir,
            heartbeat_seconds=context.heartbeat_seconds,
        )
        self.context = context
        self._hold_again_at = 0.0

    def source(self) -> str:
        return f"song={self.claim.job.mix_of}"

    def tidy_up(self) -> None:
        """Deletes the file of a mix that ended without one; that of a requeued mix belongs to another process."""
        try:
            job = self.context.mixes.get(self.claim.songhash)
            if job is None or job.state in (State.CANCELLED, State.FAILED):
                self.context.storage.remove_stems_of(self.claim.songhash)
        except StorageUnavailable as error:
            log.warning("file of an ended mix left to the sweep job=%s reason=%s", self.claim.songhash, error)

    # --- from the stems to the mix

    def run(self, folder: Path) -> str:
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
            raise RecordBroken("the part in the record has no sample")
        how = self._encoding(song, asked, mix, stems[0].path)
        done = render(mix, path, how, self._progressed)
        failpoints.hit("after-mixing")
        self.retry(lambda: self.context.storage.put_stem(f"{self.claim.songhash}-{path.name}", path))
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
            raise NotFound(f"the song {self.claim.job.mix_of} was removed", code="object_missing")
        return song

    def _stems(self, song: Job, asked: MixRequest, folder: Path) -> list[PlacedStem]:
        placed: list[PlacedStem] = []
        for count, (stem, level) in enumerate(sorted(asked.levels.items())):
            if stem not in song.stem_extensions:
                raise NotFound(f"the song has no stem {stem} any more", code="object_missing")
            path = folder / f"{song.songhash}-{stem}.{song.stem_extensions[stem]}"
            self.retry(partial(self._fetch, path.name, path))
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
        self.tidy_up()
        return "lost"

    # --- progress

    def _progressed(self, fraction: float) -> None:
        self.check()
        self._keep_song()
        self.heartbeat.progress("mixing", FETCHED + (1 - FETCHED) * fraction)

    def _keep_song(self) -> None:
        """Keeps the song from expiring meanwhile."""
        if time.monotonic() < self._hold_again_at:
            return
        self._hold_again_at = time.monotonic() + HOLD_EVERY_SECONDS
        if not self.context.songs.hold(self.claim.job.mix_of, HOLD_SECONDS):
            raise NotFound(f"the song {self.claim.job.mix_of} is being deleted", code="object_missing")


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
