"""Finds what nobody will ask for again, and deletes it: strays, orphans, jobs that have aged out. Ends no job.

Records and stored objects are two things, deleted one after the other. So a song is retired first (retire.lua): in
one step its record goes, if it may, and a mark is set that keeps everybody from beginning with the song while its
objects go. Whoever posts or downloads a song holds it before (Queue.hold), and a song that is held is not retired.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, groupby, islice

from msaas.errors import NotFound, StorageUnavailable
from msaas.jobs import State, Track, parse_songhash
from msaas.queue import RETIRE_SECONDS, Queue
from msaas.storage import INPUTS, OUTPUTS, WAVEFORMS, Storage, StoredObject

log = logging.getLogger(__name__)

ORPHAN_AFTER = timedelta(days=1)
STRAY_AFTER = timedelta(hours=1)  # old enough that no worker is still putting it
BATCH = 500  # songs whose states are asked for at once
_HASH_LENGTH = 36


@dataclass(frozen=True)
class SongObjects:
    """What is stored of one song: bucket ▸ objects."""

    songhash: str
    objects: Mapping[str, Sequence[StoredObject]]

    @property
    def all(self) -> list[StoredObject]:
        return [item for items in self.objects.values() for item in items]

    def names(self, *buckets: str) -> dict[str, list[str]]:
        return {bucket: [item.name for item in items] for bucket, items in self.objects.items() if bucket in buckets}


class Sweep:
    """Calling it gives the names of what it deletes, as it goes. `stopping` ends it early; the next one begins anew."""

    def __init__(
        self,
        queue: Queue,
        storage: Storage,
        *,
        retention_seconds: float,
        now: Callable[[], datetime],
        stopping: threading.Event,
    ) -> None:
        self.queue, self.storage, self.retention_seconds = queue, storage, retention_seconds
        self.now, self.stopping = now, stopping

    def __call__(self) -> Iterator[str]:
        objects = 0
        for name in chain(self._aged_out(), self._left_over()):
            objects += 1
            yield name
        if objects:
            log.info("swept objects=%d", objects)

    # --- jobs that ended long ago

    def _aged_out(self) -> Iterator[str]:
        if not self.retention_seconds:
            return
        jobs = 0
        for songhash in self.queue.ended_before(self.retention_seconds):
            if self.stopping.is_set():
                break
            if self.queue.retire(songhash, self.retention_seconds):
                jobs += 1
                yield from self._delete(songhash, self._names_of(songhash))
        if jobs:
            log.info("aged out jobs=%d retention_hours=%g", jobs, self.retention_seconds / 3600)

    def _names_of(self, songhash: str) -> dict[str, list[str]]:
        stems = self.storage.stems_of(songhash)
        return {OUTPUTS: stems, WAVEFORMS: [f"{songhash}.json"], INPUTS: [f"{songhash}.mp3"]}

    def _delete(self, songhash: str, names: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """Of a song that is retired. Not begun once its mark could run out; the next sweep finds what is left."""
        give_up_at = time.monotonic() + RETIRE_SECONDS / 2
        for bucket, doomed in names.items():
            if time.monotonic() > give_up_at:
                raise StorageUnavailable(f"deleting what belongs to {songhash} takes too long")
            with suppress(NotFound):  # a store set up before there was this bucket
                self.storage.remove(bucket, doomed)
            yield from doomed
        self.queue.retired(songhash)

    # --- what is stored and belongs to no job, or to none that would have it

    def _left_over(self) -> Iterator[str]:
        belongings = self._belongings()
        while batch := list(islice(belongings, BATCH)):
            states = self.queue.states([song.songhash for song in batch])
            for song, state in zip(batch, states, strict=True):
                if self.stopping.is_set():
                    return
                yield from self._unrecorded(song) if state is None else self._stray_stems(song, state)
                yield from self._stray_drawing(song)

    def _unrecorded(self, song: SongObjects) -> Iterator[str]:
        """Songs stored but never queued (the API died in between and nobody posted again for a day), and, where
        jobs are not kept for ever, what was put by hand or has lost its record."""
        doomed: dict[str, list[str]] = {}
        if self.retention_seconds and self._older(song.all, timedelta(seconds=self.retention_seconds)):
            doomed = song.names(OUTPUTS, WAVEFORMS, INPUTS)
        elif self._older(song.objects.get(INPUTS, ()), ORPHAN_AFTER):
            doomed = song.names(INPUTS)
        if doomed and self.queue.retire(song.songhash):
            yield from self._delete(song.songhash, doomed)

    def _stray_stems(self, song: SongObjects, state: State) -> Iterator[str]:
        """Of a job that ended without any. Asked about again: by the end of a batch it might run once more."""
        stems = song.objects.get(OUTPUTS, ())
        without = (State.CANCELLED, State.FAILED)
        if state not in without or not self._older(stems, STRAY_AFTER):
            return
        for stem in stems:
            if self.queue.states([song.songhash])[0] in without:
                self.storage.remove_stem(stem.name)
                yield stem.name

    def _stray_drawing(self, song: SongObjects) -> Iterator[str]:
        """Of stems that are not there: put in the last moment of a run that was cancelled, or lost."""
        drawings = song.objects.get(WAVEFORMS, ())
        if song.objects.get(OUTPUTS) or not self._older(drawings, STRAY_AFTER):
            return
        if not self.storage.stems_of(song.songhash):
            self.storage.remove_waveforms(song.songhash)
            yield from (drawing.name for drawing in drawings)

    def _older(self, items: Sequence[StoredObject], age: timedelta) -> bool:
        """All of them, and there are some."""
        return bool(items) and all(item.modified is not None and self.now() - item.modified > age for item in items)

    # --- the buckets, read side by side: each is listed in the order of its names, which begin with songhashes

    def _belongings(self) -> Iterator[SongObjects]:
        listed = heapq.merge(*(self._listed(bucket) for bucket in (INPUTS, OUTPUTS, WAVEFORMS)), key=lambda one: one[0])
        for written, found in groupby(listed, key=lambda one: one[0]):
            objects: dict[str, list[StoredObject]] = {}
            for _, bucket, item in found:
                objects.setdefault(bucket, []).append(item)
            yield SongObjects(parse_songhash(written), objects)

    def _listed(self, bucket: str) -> Iterator[tuple[str, str, StoredObject]]:
        """(songhash as it is written there, bucket, object) of what is ours."""
        with suppress(NotFound):  # no bucket before the first song
            for item in self.storage.names(bucket):
                if _is_ours(bucket, item.name):
                    yield item.name[:_HASH_LENGTH], bucket, item


_ENDINGS = {INPUTS: ".mp3", WAVEFORMS: ".json"}


def _is_ours(bucket: str, name: str) -> bool:
    try:
        if bucket == OUTPUTS:
            Track.parse(name)
            return True
        parse_songhash(name[:_HASH_LENGTH])
    except NotFound:
        return False
    return name[_HASH_LENGTH:] == _ENDINGS[bucket]
