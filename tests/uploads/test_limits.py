"""What callers may not do: exceed quotas, reach others' uploads, append at the same time; and what expires."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from msaas.auth.keys import new_key
from msaas.errors import StorageFull, UploadLocked
from msaas.maintenance.housekeeping import Housekeeper
from msaas.storage import UPLOADS, Storage
from msaas.uploads import UploadLimits, Uploads
from tests.support.api import URL, problem
from tests.support.environment import BUSY_SECONDS
from tests.uploads.conftest import Tus


@pytest.fixture
def keys():
    return {name: new_key(name, ["admin" if name == "boss" else "use"]) for name in ("anna", "bert", "boss")}


@pytest.fixture
def callers(make_app, keys):
    client = make_app(api_keys=tuple(key for _, key in keys.values()), max_unfinished_uploads=2).test_client()
    return {name: Tus(client, {"Authorization": f"Bearer {text}"}) for name, (text, _) in keys.items()}


def test_an_upload_larger_than_a_song_may_be_is_refused_before_a_byte_is_sent(make_app):
    tus = Tus(make_app(max_upload_bytes=1000).test_client(), {})
    problem(tus.create(1001), 413, "upload_too_large")
    assert tus.create(1000).status_code == 201


def test_more_bytes_than_were_declared_are_refused(tus, stored):
    url = tus.url(10)
    problem(tus.append(url, 0, b"x" * 11), 413, "upload_too_large")
    tus.append(url, 0, b"x" * 4)
    problem(tus.append(url, 4, b"x" * 7), 413, "upload_too_large")
    assert tus.offset(url) == 4
    problem(tus.create(3, b"xxxx"), 400, "bad_upload_header")
    assert len(stored()) == 1


def test_unfinished_uploads_are_limited_in_number_for_each_key(callers, song):
    anna, bert = callers["anna"], callers["bert"]
    urls = [anna.create(len(song), song).headers["Location"], anna.url(10)]
    refused = anna.create(10)
    problem(refused, 429, "too_many_uploads")
    assert refused.headers["Retry-After"] == "60"
    assert bert.create(10).status_code == 201
    assert anna.submit(urls[0]).status_code == 202
    third = anna.url(10)
    problem(anna.create(10), 429, "too_many_uploads")
    anna.remove(third)
    assert anna.create(10).status_code == 201


def test_unfinished_uploads_are_limited_in_their_declared_bytes(make_app):
    tus = Tus(make_app(max_unfinished_upload_bytes=100).test_client(), {})
    tus.url(60)
    problem(tus.create(41), 429, "too_many_uploads")
    assert tus.create(40).status_code == 201


def test_nobody_else_sees_appends_to_submits_or_removes_an_upload(callers, song):
    anna, bert, boss = callers["anna"], callers["bert"], callers["boss"]
    url = anna.url(len(song))
    assert anna.append(url, 0, song).status_code == 204
    assert bert.head(url).status_code == 404
    for answer in (bert.append(url, len(song), b""), bert.submit(url), bert.remove(url)):
        problem(answer, 404, "upload_unknown")
    assert boss.head(url).status_code == 200
    assert anna.submit(url).status_code == 202


def test_the_songhash_is_that_of_the_keys_own_uploads(callers, song):
    names = {}
    for name in ("anna", "bert"):
        tus = callers[name]
        names[name] = tus.submit(tus.create(len(song), song).headers["Location"]).json["songhash"]
        at_once = tus.client.post(URL, data=song, headers=tus.headers | {"Content-Type": "audio/wav"})
        assert (at_once.status_code, at_once.json["songhash"]) == (200, names[name])
    assert names["anna"] != names["bert"]


def test_without_the_scope_or_a_key_there_is_no_upload(make_app, redis):
    text, key = new_key("reader", ["read"])
    client = make_app(api_keys=(key,)).test_client()
    problem(Tus(client, {}).create(10), 401, "key_missing")
    problem(Tus(client, {"Authorization": f"Bearer {text}"}).create(10), 403, "scope_missing")
    assert redis.keys("upload*") == []


def test_parts_count_as_calls_and_the_song_as_one_post(make_app, song):
    tus = Tus(make_app(rate_limit_per_minute=2).test_client(), {})
    for _ in range(2):
        url = tus.url(len(song))
        for start in range(0, len(song), 1000):
            assert tus.append(url, start, song[start : start + 1000]).status_code == 204
    assert [tus.submit(url).status_code for _ in range(3)] == [202, 200, 429]


# --- two requests at once


def test_a_second_request_waits_for_the_first_to_end(tus, uploads):
    url = tus.url(100)
    first = uploads.append(uploads.get(url.rpartition("/")[2]), 0)
    answer = tus.append(url, 0, b"x" * 10)
    problem(answer, 423, "upload_locked")
    assert answer.headers["Retry-After"] == "1"
    first.release()
    assert tus.append(url, 0, b"x" * 10).status_code == 204


def test_a_request_that_lost_its_lock_changes_nothing_and_leaves_nothing(uploads, redis, tmp_path, stored):
    """Its client was silent for too long, and has begun another request meanwhile."""
    (tmp_path / "late").write_bytes(b"late " * 20)
    upload = uploads.create(100, account="", tenant="", metadata="")
    late = uploads.append(upload, 0)
    redis.hset(f"upload:{upload.id}", "locked_until_ms", "1")
    other = uploads.append(upload, 0)
    with (tmp_path / "late").open("rb") as file, pytest.raises(UploadLocked):
        late.store(file, 100)
    with pytest.raises(UploadLocked):
        late.renew()
    late.release()  # not the other's
    assert (uploads.get(upload.id).offset, stored()) == (0, [])
    (tmp_path / "other").write_bytes(b"other" * 20)
    with (tmp_path / "other").open("rb") as file:
        other.store(file, 100)
    assert b"".join(uploads.read(uploads.get(upload.id))) == b"other" * 20


def test_bytes_that_could_not_be_stored_are_not_acknowledged(tus, song, monkeypatch):
    url = tus.url(len(song))
    with monkeypatch.context() as patched:
        patched.setattr(Storage, "put_chunk", _full)
        problem(tus.append(url, 0, song[:100]), 503, "storage_full")
    assert tus.offset(url) == 0
    assert tus.append(url, 0, song).status_code == 204
    assert tus.submit(url).status_code == 202


def _full(*_: object) -> None:
    raise StorageFull("no room left")


def test_of_many_requests_at_once_one_is_stored(make_app, uploads):
    app = make_app()
    url = Tus(app.test_client(), {}).url(1000)
    statuses: list[int] = []
    begin = threading.Barrier(8)

    def append(number: int) -> None:
        begin.wait(BUSY_SECONDS)
        statuses.append(Tus(app.test_client(), {}).append(url, 0, bytes([number]) * 1000).status_code)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BUSY_SECONDS)
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 409, 413, 423}
    data = b"".join(uploads.read(uploads.get(url.rpartition("/")[2])))
    assert len(data) == 1000
    assert len(set(data)) == 1


def test_small_requests_share_an_object(tus, stored, uploads):
    url, data = tus.url(600), bytes(range(200)) * 3
    for start in range(0, 600, 50):
        tus.append(url, start, data[start : start + 50])
        assert len(stored()) == 1
    assert b"".join(uploads.read(uploads.get(url.rpartition("/")[2]))) == data


# --- expiry


def test_an_upload_without_progress_expires_and_its_bytes_are_swept(redis, storage, queue, tmp_path, stored):
    uploads = Uploads(redis, storage, UploadLimits(1000, 1, 0, BUSY_SECONDS))
    upload = uploads.create(100, account="anna", tenant="anna", metadata="")
    (tmp_path / "part").write_bytes(b"x" * 50)
    append = uploads.append(upload, 0)
    with (tmp_path / "part").open("rb") as file:
        append.store(file, 50)
    for key in redis.keys("upload*"):
        assert 0 < redis.pttl(key) <= BUSY_SECONDS * 1000
        redis.pexpire(key, 1)  # that time has passed
    deadline = time.monotonic() + BUSY_SECONDS
    while redis.keys("upload*") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert redis.keys("upload*") == []
    assert uploads.create(100, account="anna", tenant="anna", metadata="")  # it no longer counts
    found = stored()
    assert len(found) == 1
    later = datetime.now(UTC) + timedelta(hours=2)
    keeper = Housekeeper(queue, storage, other_sweeps=[uploads.sweep], sweep_every_seconds=0)
    assert keeper.sweep() == []  # young: it may be of a request that is not acknowledged yet
    keeper = Housekeeper(queue, storage, other_sweeps=[uploads.sweep], sweep_every_seconds=0, now=lambda: later)
    time.sleep(0.01)  # the lock of the first sweep
    assert keeper.sweep() == found
    assert stored() == []


def test_progress_postpones_the_expiry(tus, redis):
    url = tus.url(100)
    keys = [f"upload:{url.rpartition('/')[2]}", "uploads:address 127.0.0.1"]
    for key in keys:
        redis.pexpire(key, 60_000)
    tus.append(url, 0, b"x" * 10)
    assert all(redis.pttl(key) > 11 * 3600 * 1000 for key in (*keys, f"{keys[0]}:chunks"))


def test_the_sweep_takes_stray_chunks_and_no_others(uploads, storage, tus, song, stored, tmp_path):
    url = tus.url(len(song))
    tus.append(url, 0, song[:1000])
    kept = stored()
    (tmp_path / "stray").write_bytes(b"stray")
    with (tmp_path / "stray").open("rb") as file:
        for name in (f"{url.rpartition('/')[2]}/000000000000-{'0' * 16}", f"{'0' * 32}/1", "no-upload"):
            file.seek(0)
            storage.put_chunk(name, file, 5)
    later = datetime.now(UTC) + timedelta(hours=2)
    assert len(list(uploads.sweep(lambda: later))) == 3
    assert stored() == kept
    assert list(uploads.sweep(lambda: later)) == []


def test_a_song_that_was_submitted_by_a_killed_process_leaves_no_chunks(tus, song, uploads, redis, storage, stored):
    """It was killed between the note and the deletion."""
    url = tus.create(len(song), song).headers["Location"]
    id_ = url.rpartition("/")[2]
    chunk = stored()[0]
    tus.submit(url)
    assert stored() == []
    path_of = storage.client.put_object
    import io

    path_of(UPLOADS, chunk, io.BytesIO(b"x"), 1)
    assert list(uploads.sweep(lambda: datetime.now(UTC) + timedelta(hours=2))) == [chunk]
    assert uploads.get(id_).songhash
    assert tus.submit(url).status_code == 200
