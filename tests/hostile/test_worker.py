"""Hostile songs through a whole worker, the real separation process and htdemucs_mini: each its stated reason."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from msaas.queue import Queue
from msaas.storage import Storage
from msaas.worker.process import COMMAND
from tests.hostile.table import MAX_DECODED_BYTES, MAX_DURATION_SECONDS, PLAYLISTS
from tests.support.audio import hostile_files as f
from tests.support.audio.sounds import flac, tune
from tests.support.worker_harness import WorkerHarness

pytestmark = pytest.mark.slow

SONGS = {
    "ten hours in 36 MB": (lambda: f.silent_mp3(10), "audio_too_long"),
    "fifty channels": (lambda: f.wav(bytes(30_000_000), channels=50, kind=1, bits=8), "decoded_too_large"),
    "playlist of this machine's files": (PLAYLISTS["ffconcat"].encode, "not_audio"),
    "no bytes": (lambda: b"", "not_audio"),
    "noise behind a header": (lambda: f.wav(bytes(4000), channels=65_535), "not_audio"),
}


@pytest.fixture
def harness(settings, queue, storage, tmp_path, monkeypatch):
    for name, value in {
        "MSAAS_MODEL": settings.model,
        "MSAAS_MODEL_REPO": str(settings.model_repo),
        "MSAAS_MAX_DURATION_SECONDS": str(MAX_DURATION_SECONDS),
        "MSAAS_MAX_DECODED_BYTES": str(MAX_DECODED_BYTES),
    }.items():
        monkeypatch.setenv(name, value)
    harness = WorkerHarness(replace(settings, grace_seconds=0, lease_seconds=30), queue, storage, tmp_path)
    yield harness
    harness.close()


def put(queue: Queue, storage: Storage, data: bytes, folder) -> str:
    """As somebody would who writes past the API: nothing has looked at the song."""
    songhash = str(uuid.uuid4())
    (folder / "upload").write_bytes(data)
    storage.put_input(songhash, folder / "upload")
    queue.submit(songhash, {"model": "htdemucs_mini"})
    return songhash


def test_each_hostile_song_fails_once_with_its_reason_and_the_song_behind_them_is_separated(
    harness, queue, storage, tmp_path
):
    posted = {name: put(queue, storage, make(), tmp_path) for name, (make, _) in SONGS.items()}
    good = put(queue, storage, flac(tune(2)), tmp_path)
    harness.worker(COMMAND)
    assert harness.until(good, "done", seconds=250).attempts == 1
    ended = {name: harness.until(songhash, "failed") for name, songhash in posted.items()}
    assert {name: job.error["code"] for name, job in ended.items()} == {name: code for name, (_, code) in SONGS.items()}
    assert {job.attempts for job in ended.values()} == {1}
    assert len(storage.stems_of(good)) == 4
    assert not any(storage.stems_of(songhash) for songhash in posted.values())
