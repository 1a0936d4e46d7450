"""A song that ages out while somebody posts it or downloads it: nobody gets a job without its song, or half a stem."""

from __future__ import annotations

import threading
import time

import pytest
import requests

from msaas.jobs import State
from msaas.maintenance.housekeeping import SWEEP_LOCK, Housekeeper
from msaas.storage import INPUTS
from msaas.web import retention_locks
from tests.support.api import STEMS, URL, post, problem, song_bytes

HOURS = 24.0
BIG = 24_000_000


@pytest.fixture
def client(make_app):
    return make_app(retention_hours=HOURS).test_client()


@pytest.fixture
def age(redis):
    """As if the job had ended two days ago, and nobody had asked for it since. Makes no record where there is none: one
    without a state reads as a job that waits."""
    script = redis.register_script(
        "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBY', KEYS[1], 'finished_ms', ARGV[1]) end "
        "redis.call('DEL', KEYS[2])"
    )

    def age(songhash):
        script(keys=[f"job:{songhash}", f"held:{songhash}"], args=[-48 * 3600 * 1000])

    return age


@pytest.fixture
def sweep(queue, storage, redis):
    def sweep():
        redis.delete(SWEEP_LOCK)
        return Housekeeper(queue, storage, retention_seconds=HOURS * 3600).sweep()

    return sweep


@pytest.fixture
def old(client, player, age):
    """A job that was done two days ago."""
    songhash = post(client, 300)
    player.work()
    age(songhash)
    return songhash


def test_a_song_that_aged_out_is_unknown_and_posted_again_is_new(client, old, sweep, player):
    assert f"{old}.mp3" in sweep()
    problem(client.get(f"/apiv1/jobs/{old}"), 404, "job_unknown")
    problem(client.get(f"/apiv1/track/{old}-vocals"), 404, "job_unknown")
    assert post(client, 300) == old
    assert client.get(f"/apiv1/jobs/{old}").json["state"] == "queued"
    assert player.work() == old
    assert client.get(f"/apiv1/track/{old}-vocals").data == player.content("vocals")


def test_a_song_posted_while_its_objects_go_waits_and_is_whole(client, old, sweep, storage, queue, monkeypatch):
    """The sweep first: its record is gone, its objects are going, when the post comes."""
    remove, gone, posted = storage.remove, threading.Event(), []

    def slowly(bucket, names):
        gone.set()
        time.sleep(0.3)
        return remove(bucket, names)

    monkeypatch.setattr(storage, "remove", slowly)
    sweeping = threading.Thread(target=sweep)
    sweeping.start()
    assert gone.wait(5)
    began = time.monotonic()
    posted.append(post(client, 300))
    assert time.monotonic() - began > 0.5
    sweeping.join()
    assert posted == [old] and queue.get(old).state is State.QUEUED and storage.has_input(old)


def test_a_sweep_while_a_song_is_posted_leaves_it_alone(make_app, player, age, sweep, storage, queue):
    """The post first: between its look at the record and its end, a sweep comes at every step."""
    app = make_app(retention_hours=HOURS)
    client = app.test_client()
    songhash = post(client, 300)
    queue.fail(queue.claim("w"), {"code": "x"}, retry=False)
    age(songhash)
    swept, put = [], storage.put_input

    def put_amid_sweeps(name, song):
        swept.extend(sweep())
        put(name, song)
        swept.extend(sweep())

    app.extensions["msaas"].storage.put_input = put_amid_sweeps
    try:
        assert post(client, 300) == songhash
    finally:
        app.extensions["msaas"].storage.put_input = put
    assert not swept and storage.has_input(songhash) and queue.get(songhash).state is State.QUEUED
    assert player.work() == songhash


def test_posting_is_refused_for_a_moment_where_the_store_hangs_over_a_deletion(client, old, queue, monkeypatch):
    monkeypatch.setattr(retention_locks, "WAIT_LIMIT_SECONDS", 0.1)
    assert queue.retire(old, HOURS * 3600)
    answer = client.post(URL, data=song_bytes(hertz=300), content_type="audio/wav")
    assert "being deleted" in problem(answer, 503, "busy") and answer.headers["Retry-After"]
    problem(client.get(f"/apiv1/track/{old}-vocals"), 404, "job_unknown")


def test_posts_and_sweeps_against_each_other_never_end_in_a_job_without_its_song(
    client, player, age, sweep, storage, queue
):
    """Both ways, as they come: whatever is done has its stems, whatever waits has its song."""
    songhash = post(client, 300)
    player.work()
    stop = threading.Event()
    posting = threading.Lock()  # a hold runs out between posts: in the midst of one it is ten minutes long

    def keep_sweeping():
        while not stop.is_set():
            with posting:
                age(songhash)
            sweep()

    sweeper = threading.Thread(target=keep_sweeping)
    sweeper.start()
    try:
        for _ in range(40):
            with posting:
                post(client, 300)
            job = queue.get(songhash)
            if job is not None and job.state is State.QUEUED:
                assert storage.has_input(songhash)
                claim = queue.claim("w")
                assert claim is not None and storage.has_input(songhash)
                player.finish(claim)
    finally:
        stop.set()
        sweeper.join()
    job = queue.get(songhash)
    assert job is None or job.state is not State.DONE or len(storage.stems_of(songhash)) == len(STEMS)
    assert job is None or storage.has_input(songhash)


def test_what_is_asked_for_stays_a_while_longer(client, old, sweep, redis, player):
    assert client.get(f"/apiv1/track/{old}-vocals").data == player.content("vocals")
    assert 590 < redis.pttl(f"held:{old}") / 1000 <= 600
    assert sweep() == []
    assert client.get(f"/apiv1/jobs/{old}/stems.zip").status_code == 200


def test_kept_for_ever_means_no_writing_for_a_download(make_app, redis, player):
    client = make_app().test_client()
    songhash = post(client, 300)
    player.work()
    redis.delete(f"held:{songhash}")
    assert client.get(f"/apiv1/track/{songhash}-vocals").status_code == 200
    assert not redis.exists(f"held:{songhash}")


def test_a_slow_download_holds_its_song_to_the_end(make_app, old, sweep, redis, monkeypatch):
    parts = make_app(retention_hours=HOURS).extensions["msaas"]
    monkeypatch.setattr(retention_locks, "hold_seconds", lambda _: 0.4)
    retention_locks.hold_for_reading(parts, old)
    chunks = retention_locks.held(parts, old, iter([b"x"] * 12))
    for _ in chunks:
        time.sleep(0.1)  # three times as long as the hold
        assert sweep() == []
    time.sleep(0.5)
    assert f"{old}.mp3" in sweep()


def test_a_stem_deleted_under_a_slow_reader_comes_whole_or_breaks_off(storage, player, tmp_path):
    """What the store does by itself, where a reader came past us: SeaweedFS goes on to the end."""
    name = "00000000-0000-4000-8000-000000000001-vocals.mp3"
    (tmp_path / "big").write_bytes(bytes(range(256)) * (BIG // 256))
    storage.put_stem(name, tmp_path / "big")
    chunks = storage.read_stem(name)
    read = len(next(chunks))
    storage.remove_stem(name)
    for chunk in chunks:
        read += len(chunk)
        time.sleep(0.002)
    assert read == BIG


@pytest.fixture(scope="module")
def live_environ(live_environ):
    return live_environ | {"MSAAS_RETENTION_HOURS": str(HOURS)}


def test_a_live_download_outlasts_the_sweep(live, player, storage, queue, redis, sweep, tmp_path):
    base = live.url
    songhash = requests.post(f"{base}/apiv1/separate", data=song_bytes(), timeout=60).json()["songhash"]
    claim = queue.claim("w")
    player.finish(claim)
    (tmp_path / "big").write_bytes(bytes(range(256)) * (BIG // 256))
    storage.put_stem(f"{songhash}-vocals.mp3", tmp_path / "big")
    redis.hincrby(f"job:{songhash}", "finished_ms", -48 * 3600 * 1000)
    redis.delete(f"held:{songhash}")
    with requests.get(f"{base}/apiv1/track/{songhash}-vocals", stream=True, timeout=60) as answer:
        chunks = answer.iter_content(1 << 16)
        read = len(next(chunks))
        assert sweep() == []
        read += sum(len(chunk) for chunk in chunks)
    assert read == BIG
    redis.delete(f"held:{songhash}")
    assert f"{songhash}.mp3" in sweep() and not list(storage.names(INPUTS))
