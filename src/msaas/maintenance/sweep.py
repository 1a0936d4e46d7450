"""Finds and deletes objects that are no longer needed: stray stems, orphaned songs, expired jobs. Ends no job.

Records and objects are deleted one after the other. So a song is first retired (retire.lua): one step deletes its
record, if allowed, and sets a mark that keeps others from starting with the song while its objects are deleted. Posting
or downloading a song holds it first (Queue.hold), and a held song is not retired.
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
from msaas.storage import INPUTS, OUTPUTS, WAVEFORM_SUFFIXES, WAVEFORMS, Storage, StoredObject

log = logging.getLogger(__name__)

ORPHAN_AFTER = timedelta(days=1)
STRAY_AFTER = timedelta(hours=1)  # old enough that no worker is still uploading it
BATCH = 500  # songs whose states are read at a time
_HASH_LENGTH = 36

# Given the time now, and whether to stop, it yields the names of the objects that it deletes.
OtherSweep = Callable[[Callable[[], datetime], Callable[[], bool]], Iterator[str]]
# Given a songhash, it deletes what belongs to the song, and yields the names of the deleted objects.
Forget = Callable[[str], Iterator[str]]


@dataclass(frozen=True)
class SongObjects:
    """The stored objects of one song: bucket ▸ objects."""

    songhash: str
    objects: Mapping[str, Sequence[StoredObject]]

    @property
    def all(self) -> list[StoredObject]:
        return [item for items in self.objects.values() for item in items]

    def names(self, *buckets: str) -> dict[str, list[str]]:
        return {bucket: [item.name for item in items] for bucket, items in self.objects.items() if bucket in buckets}


class Sweep:
    """Yields the names of deleted objects while it runs. `stopping` ends it early; the next sweep starts over."""

    def __init__(
        self,
        queue: Queue,
        storage: Storage,
        *,
        retention_seconds: float,
        now: Callable[[], datetime],
        stopping: threading.Event,
        others: Sequence[OtherSweep] = (),
        forget: Forget = lambda _: iter(()),
    ) -> None:
        """`others`: sweeps of objects that belong to no song."""
        self.queue, self.storage, self.retention_seconds = queue, storage, retention_seconds
        self.now, self.stopping, self.others, self.forget = now, stopping, others, forget

    def __call__(self) -> Iterator[str]:
        objects = 0
        for name in chain(self._aged_out(), self._leftovers(), *self._others()):
            objects += 1
            yield name
        if objects:
            log.info("swept objects=%d", objects)

    def _others(self) -> Iterator[Iterator[str]]:
        return (sweep(self.now, self.stopping.is_set) for sweep in self.others)

    # --- expired jobs

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
        return {OUTPUTS: stems, WAVEFORMS: self.storage.waveforms_of(songhash), INPUTS: [f"{songhash}.mp3"]}

    def _delete(self, songhash: str, names: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """Deletes a retired song's objects. Stops before its mark can expire; the next sweep finds the rest."""
        deadline = time.monotonic() + RETIRE_SECONDS / 2
        for bucket, names_to_delete in names.items():
            if time.monotonic() > deadline:
                raise StorageUnavailable(f"deleting the objects of {songhash} takes too long")
            with suppress(NotFound):  # the bucket may be missing in an older store
                self.storage.remove(bucket, names_to_delete)
            yield from names_to_delete
        yield from self.forget(songhash)
        self.queue.retired(songhash)

    # --- objects without a job, or whose job has no stems

    def _leftovers(self) -> Iterator[str]:
        songs = self._stored_songs()
        while batch := list(islice(songs, BATCH)):
            states = self.queue.states([song.songhash for song in batch])
            for song, state in zip(batch, states, strict=True):
                if self.stopping.is_set():
                    return
                yield from self._unrecorded(song) if state is None else self._stray_stems(song, state)
                yield from self._stray_waveforms(song)

    def _unrecorded(self, song: SongObjects) -> Iterator[str]:
        """Songs stored but never queued (the API died in between and nobody posted again for a day) and, with a
        retention time, objects added by hand or without a record."""
        names_to_delete: dict[str, list[str]] = {}
        if self.retention_seconds and self._older(song.all, timedelta(seconds=self.retention_seconds)):
            names_to_delete = song.names(OUTPUTS, WAVEFORMS, INPUTS)
        elif self._older(song.objects.get(INPUTS, ()), ORPHAN_AFTER):
            names_to_delete = song.names(INPUTS)
        if names_to_delete and self.queue.retire(song.songhash):
            yield from self._delete(song.songhash, names_to_delete)

    def _stray_stems(self, song: SongObjects, state: State) -> Iterator[str]:
        """Stems of a job that ended without any. The state is read again, since the job may have restarted
        meanwhile."""
        stems = song.objects.get(OUTPUTS, ())
        without = (State.CANCELLED, State.FAILED)
        if state not in without or not self._older(stems, STRAY_AFTER):
            return
        for stem in stems:
            if self.queue.states([song.songhash])[0] in without:
                self.storage.remove_stem(stem.name)
                yield stem.name

    def _stray_waveforms(self, song: SongObjects) -> Iterator[str]:
        """Waveforms without stems: written at the end of a run that was cancelled or lost."""
        waveforms = song.objects.get(WAVEFORMS, ())
        if song.objects.get(OUTPUTS) or not self._older(waveforms, STRAY_AFTER):
            return
        if not self.storage.stems_of(song.songhash):
            self.storage.remove_waveforms(song.songhash)
            yield from (waveform.name for waveform in waveforms)

    def _older(self, items: Sequence[StoredObject], age: timedelta) -> bool:
        """Whether there are items, and all are older."""
        return bool(items) and all(item.modified is not None and self.now() - item.modified > age for item in items)

    # --- the buckets, merged: each is listed in the order of names, which start with songhashes

    def _stored_songs(self) -> Iterator[SongObjects]:
        listed = heapq.merge(*(self._listed(bucket) for bucket in (INPUTS, OUTPUTS, WAVEFORMS)), key=lambda one: one[0])
        for written, found in groupby(listed, key=lambda one: one[0]):
            objects: dict[str, list[StoredObject]] = {}
            for _, bucket, item in found:
                objects.setdefault(bucket, []).append(item)
            yield SongObjects(parse_songhash(written), objects)

    def _listed(self, bucket: str) -> Iterator[tuple[str, str, StoredObject]]:
        """(songhash as written in the name, bucket, object) of objects that belong to MSaaS."""
        with suppress(NotFound):  # no bucket before the first song
            for item in self.storage.names(bucket):
                if _is_ours(bucket, item.name):
                    yield item.name[:_HASH_LENGTH], bucket, item


_ENDINGS = {INPUTS: (".mp3",), WAVEFORMS: WAVEFORM_SUFFIXES}


def _is_ours(bucket: str, name: str) -> bool:
    try:
        if bucket == OUTPUTS:
            Track.parse(name)
            return True
        parse_songhash(name[:_HASH_LENGTH])
    except NotFound:
        return False
    return name[_HASH_LENGTH:] in _ENDINGS[bucket]
