"""A real S3 server whose disk is full, as weed sees it: it refuses writes until there is space, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from msaas.errors import StorageUnavailable
from msaas.local.processes.child import Child, ProcessGuard
from msaas.local.servers import Keys, Weed, free_ports, start
from tests.support.worker_harness import WorkerHarness


class WeedOnDisk(Weed):
    """`min_free_space`: in bytes, or in percent of the disk. With 100 % no disk has enough."""

    min_free_space = "100MiB"

    def argv(self) -> list[str]:
        return [
            f"-volume.minFreeSpace={self.min_free_space}" if "minFreeSpace" in one else one for one in super().argv()
        ]


class Store:
    """One weed that is restarted with another demand on the disk, on the same ports and data."""

    def __init__(self, folder: Path, guard: ProcessGuard) -> None:
        self.weed, self._guard = WeedOnDisk(folder, Keys("access", "secret-of-a-test"), free_ports(4)), guard
        self._child: Child | None = None

    def run(self, *, full: bool) -> None:
        self.stop()
        self.weed.min_free_space = "100" if full else "100MiB"
        _, self._child = start(lambda: self.weed, self._guard)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(self.weed.grace_seconds)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    guard = ProcessGuard()
    store = Store(tmp_path / "weed", guard)
    yield store
    store.stop()
    store.weed.clean_up()
    guard.close()


@pytest.mark.slow
def test_a_store_on_a_full_disk_costs_one_song_and_loses_none(settings, queue, store, tmp_path, monkeypatch):
    monkeypatch.setattr("msaas.worker.supervisor.CHECK_SECONDS", 0.2)
    store.run(full=False)
    storage, keys = store.weed.storage(timeout_seconds=10), store.weed.keys
    here = {"minio_host": store.weed.address, "minio_access_key": keys.access, "minio_secret_key": keys.secret}
    harness = WorkerHarness(replace(settings, **here), queue, storage, tmp_path)
    songs = [harness.song() for _ in range(3)]
    store.run(full=True)
    with pytest.raises(StorageUnavailable):
        storage.check()
    worker = harness.worker(storage_refusal_seconds=2.0)
    try:
        job = harness.until(songs[0], "failed")
        assert job.error["code"] in ("storage_full", "storage_refused")
        assert [queue.get(song).attempts for song in songs] == [1, 0, 0]
        assert worker.ready()[1]["code"] == "storage_refused"
        store.run(full=False)
        assert [harness.until(song, "done").attempts for song in songs[1:]] == [1, 1]
        assert queue.replay(songs[0])
        harness.until(songs[0], "done")
    finally:
        harness.close()
