"""A worker that cannot do a song claims none and says why; a store or a record that is odd ends no worker."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from minio import Minio
from minio.error import S3Error

from msaas.errors import ObjectDamaged, StorageUnavailable
from msaas.storage import INPUTS, OUTPUTS, ExpectedUpload, Storage
from msaas.worker.claim_checks import Blocker, ClaimChecks


def until(check, seconds=60):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def refusing(real, what=lambda: True):
    def put(*args, **kwargs):
        if what():
            response = SimpleNamespace(status=500, headers={}, data=b"")
            raise S3Error(response, "InternalError", "we encountered an internal error", "r", "i", "h")
        return real(*args, **kwargs)

    return put


def test_a_worker_without_room_claims_nothing_says_so_and_looks_again(harness, monkeypatch):
    monkeypatch.setattr("msaas.worker.supervisor.CHECK_SECONDS", 0.05)
    room = [0]
    monkeypatch.setattr(
        ClaimChecks.__init__, "__kwdefaults__", ClaimChecks.__init__.__kwdefaults__ | {"free": lambda _: room[0]}
    )
    worker = harness.worker(scratch_free_bytes=1000)
    song = harness.song()
    until(lambda: worker.checks.blocker is not None)
    assert worker.ready()[1]["code"] == "scratch_full"
    until(lambda: harness.queue.workers().why_waiting("m") is not None and harness.queue.workers().reasons)
    assert harness.queue.workers().why_waiting(harness.settings.model)["code"] == "scratch_full"
    assert harness.queue.get(song).attempts == 0
    room[0] = 10_000
    assert harness.until(song, "done").attempts == 1
    assert worker.ready()[0]


def test_a_refusal_that_lasts_is_stated_and_the_worker_waits_for_the_store(harness, monkeypatch):
    monkeypatch.setattr("msaas.worker.supervisor.CHECK_SECONDS", 0.05)
    full, armed = [True], [False]
    monkeypatch.setattr(Minio, "fput_object", refusing(Minio.fput_object, lambda: full[0] and armed[0]))
    monkeypatch.setattr(Minio, "put_object", refusing(Minio.put_object, lambda: full[0] and armed[0]))
    songs = [harness.song() for _ in range(3)]
    armed[0] = True
    worker = harness.worker(storage_refusal_seconds=1.0)
    until(lambda: any("refuses (InternalError) since" in harness.queue.get(song).retry_reason for song in songs))
    job = harness.until(songs[0], "failed")
    assert (job.error["code"], job.attempts) == ("storage_refused", 1)
    assert "refuses" in worker.ready()[1]["reason"]
    assert [harness.queue.get(song).attempts for song in songs[1:]] == [0, 0]
    full[0] = False
    assert [harness.until(song, "done").attempts for song in songs[1:]] == [1, 1]
    assert harness.queue.replay(songs[0])
    harness.until(songs[0], "done")


def test_a_song_whose_options_cannot_be_read_fails_with_the_reason_and_the_worker_lives(harness, redis):
    songs = [harness.song() for _ in range(3)]
    redis.hset(f"job:{songs[0]}", "options", "no json")
    redis.hset(f"job:{songs[1]}", "created_ms", "abc")
    redis.execute_command("LPUSH", "toWorkers", b"\xff")
    worker = harness.worker()
    assert harness.until(songs[0], "failed").error["code"] == "record_broken"
    harness.until(songs[1], "done")
    harness.until(songs[2], "done")
    assert worker.alive()[0]


def test_a_bucket_that_somebody_removed_is_made_by_whoever_meets_it(harness, storage):
    song, other = harness.song("fail"), harness.song()
    for bucket in (OUTPUTS, "waveforms"):
        storage.client.remove_bucket(bucket)
    worker = harness.worker()
    harness.until(song, "failed")
    harness.until(other, "done")
    assert worker.alive()[0]
    assert len(storage.stems_of(other)) == 4


def test_an_error_that_nobody_foresaw_is_logged_once_and_ends_no_worker(harness, monkeypatch, caplog):
    worker = harness.worker()
    harness.until(harness.song(), "done")
    claim, left = worker.queue.claim, [5]

    def odd(*args, **preference):
        left[0] -= 1
        if left[0] >= 0:
            raise KeyError("odd")
        return claim(*args, **preference)

    monkeypatch.setattr(worker.queue, "claim", odd)
    harness.until(harness.song(), "done")
    told = [record for record in caplog.records if "a turn failed" in record.message]
    assert len(told) == 1
    assert told[0].exc_info


class Answer:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self, _size):
        yield self.data

    def close(self):
        pass

    release_conn = close


@pytest.mark.parametrize(
    "sent", [ExpectedUpload(8, hashlib.sha256(b"the song").hexdigest()), ExpectedUpload(8), ExpectedUpload()]
)
def test_half_a_song_is_not_taken_for_the_song(storage, tmp_path, monkeypatch, sent):
    (tmp_path / "song").write_bytes(b"the song")
    storage.put_input("name", tmp_path / "song")
    storage.fetch_input("name", tmp_path / "whole", sent)
    monkeypatch.setattr(Minio, "get_object", lambda *_, **__: Answer(b"the "))
    with pytest.raises(ObjectDamaged):
        storage.fetch_input("name", tmp_path / "half", sent)
    with pytest.raises(ObjectDamaged):
        list(storage.read_stem("name", 0, 8))


def test_other_bytes_of_the_same_length_are_not_taken_for_the_song(storage, tmp_path):
    (tmp_path / "song").write_bytes(b"the song")
    storage.put_input("name", tmp_path / "song")
    with pytest.raises(ObjectDamaged):
        storage.fetch_input("name", tmp_path / "x", ExpectedUpload(8, hashlib.sha256(b"the sunk").hexdigest()))


@pytest.mark.parametrize("odd", [b"<ListBucketResult><", b"\xff\xfe", b"<a/>", b"not xml", b""])
def test_a_store_that_answers_nonsense_is_away_and_nothing_else(odd):
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(odd)))
            self.send_header("Last-Modified", "yesterday")
            self.end_headers()
            self.wfile.write(odd)

        do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = Minio(f"127.0.0.1:{server.server_port}", access_key="a", secret_key="b", secure=False, region="us-east-1")
    storage = Storage(client)
    calls = (
        lambda: list(storage.names(INPUTS)),
        lambda: storage.stems_of("x"),
        lambda: storage.stat_stem("x"),
        lambda: storage.remove(INPUTS, ["x"]),
        storage.check,
        storage.ensure_buckets,
    )
    try:
        for call in calls:
            try:
                call()
            except StorageUnavailable:
                continue
    finally:
        server.shutdown()


def test_trouble_says_since_when():
    assert str(Blocker("scratch_full", "the disk is full", 0)) == "the disk is full since 1970-01-01 00:00:00 UTC"


def test_a_scratch_folder_that_is_gone_is_an_obstacle(tmp_path: Path, storage):
    obstacles = ClaimChecks(storage, tmp_path / "gone", 0)
    assert not obstacles.may_claim()
    (tmp_path / "gone").mkdir()
    assert obstacles.may_claim()
