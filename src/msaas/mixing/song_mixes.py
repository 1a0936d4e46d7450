"""The mixes of a song, which are deleted with it: the set `mixes:<songhash>` of their IDs, which lua/jobs/ writes."""

from __future__ import annotations

from collections.abc import Iterator

from msaas.jobs import is_songhash
from msaas.queue import Queue
from msaas.redis_client import unless_damaged
from msaas.storage import OUTPUTS, Storage

KEY = "mixes:"


class SongMixes:
    """`mixes`: the queue of mixes. Every method raises QueueUnavailable and StorageUnavailable."""

    def __init__(self, mixes: Queue, storage: Storage) -> None:
        self.mixes, self.storage = mixes, storage

    def of(self, songhash: str) -> list[str]:
        found = unless_damaged(lambda: self.mixes.redis.smembers(KEY + songhash), ())
        return sorted(name for name in map(str, found) if is_songhash(name))

    def forget(self, songhash: str, *, even_held: bool = False) -> Iterator[str]:
        """Deletes a song's mixes, also those that wait or are being rendered; yields the names of their objects.

        A mix that is being downloaded stays until it expires itself, unless `even_held`.
        """
        for name in self.of(songhash):
            self.mixes.cancel(name)
            if even_held:
                self.mixes.let_go(name)
            if self.mixes.retire(name, 0):
                objects = self.storage.stems_of(name)
                self.storage.remove(OUTPUTS, objects)
                self.mixes.retired(name)
                yield from objects
