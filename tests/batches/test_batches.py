"""Many songs with one ID: counts, one callback at the end, one call to cancel; songs of others go before them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from msaas.auth.keys import new_key
from msaas.auth.quotas import Quotas
from msaas.batches import BatchFollower
from msaas.callbacks.outbox import Outbox
from msaas.callbacks.payload import payload
from msaas.queue import FETCH_KEYS, Queue
from msaas.storage import UPLOADS
from tests.batches.conftest import BATCHES, Sender
from tests.support.api import NOBODY, URL, problem, song_bytes


def songs(count: int, start: int = 100) -> list[bytes]:
    return [song_bytes(hertz=start + number) for number in range(count)]


@pytest.fixture
def three(sender) -> list[dict[str, Any]]:
    return [{"upload": sender.upload(song)} for song in songs(3)]


def test_a_batch_is_followed_from_its_songs_to_its_end(sender, three, fetch_all, batches, player, queue):
    answer = sender.post(*three, options={"stems": ["vocals"]}, callback={"url": "https://example.org/b", "data": 7})
    assert answer.status_code == 202, answer.text
    id_ = answer.json["batch"]
    assert answer.headers["Location"] == f"{BATCHES}/{id_}"
    assert (answer.json["state"], answer.json["priority"], answer.json["total"]) == ("queued", "low", 3)
    assert answer.json["counts"]["queued"] == 3
    fetch_all()
    view = sender.get(id_)
    assert [song["songhash"] for song in view["songs"]] == queue.waiting()
    assert [queue.get(name).options["stems"] for name in queue.waiting()] == [["vocals"]] * 3
    player.work(), player.work()
    batches.follow()
    assert sender.get(id_)["counts"] | {"queued": 1, "done": 2} == sender.get(id_)["counts"]
    assert sender.get(id_)["state"] == "queued"
    player.work()
    batches.follow()
    batches.follow()
    ended = sender.get(id_)
    assert (ended["state"], ended["counts"]["done"]) == ("done", 3)
    assert ended["finished_at"] >= ended["created_at"]
    [callback] = Outbox(queue.redis).take(10, limit=10)
    body = json.loads(payload(callback, public_url="https://music.example"))
    assert (body["type"], body["batch"], body["total"], body["data"]) == ("batch.done", id_, 3, 7)
    assert body["counts"]["done"] == 3
    assert body["link"] == f"https://music.example{BATCHES}/{id_}"


def test_the_songs_are_those_that_single_posts_would_be(sender, client, three, fetch_all, queue, storage):
    id_ = sender.batch(*three)
    fetch_all()
    found = [song["songhash"] for song in sender.get(id_)["songs"]]
    posted = [client.post(URL, data=song, content_type="audio/wav") for song in songs(3)]
    assert [(one.status_code, one.json["songhash"]) for one in posted] == [(200, name) for name in found]
    assert list(storage.names(UPLOADS)) == []  # the uploads have become jobs


def test_each_song_has_its_own_options_name_and_callback(sender, fetch_all, queue, client):
    first, second = (sender.upload(song) for song in songs(2))
    id_ = sender.batch(
        {"upload": first, "stems": ["drums"], "filename": "One.wav", "callback": {"url": "https://example.org/1"}},
        {"upload": second, "format": "flac"},
        options={"stems": ["vocals"], "format": "wav"},
    )
    fetch_all()
    jobs = [queue.get(song["songhash"]) for song in sender.get(id_)["songs"]]
    assert [(job.options["stems"], job.options["format"]) for job in jobs] == [(["drums"], "wav"), (["vocals"], "flac")]
    assert jobs[0].name == "One"
    view = client.get(f"/apiv1/jobs/{jobs[0].songhash}").json
    assert [one["to"] for one in view["callbacks"]] == ["https://example.org"]


def test_the_stored_song_of_a_job_is_separated_with_other_options(sender, done, fetch_all, queue):
    id_ = sender.batch({"job": done, "format": "flac"}, {"job": done.upper(), "format": "wav"}, {"job": done})
    fetch_all()
    states = [song["state"] for song in sender.get(id_)["songs"]]
    assert states == ["queued", "queued", "done"]  # the last one is the job itself
    assert [queue.get(name).options["format"] for name in queue.waiting()] == ["flac", "wav"]


def test_a_single_song_goes_before_the_songs_of_a_batch(sender, client, three, fetch_all, queue):
    sender.batch(*three)
    fetch_all()
    single = client.post(URL, data=song_bytes(hertz=900), content_type="audio/wav").json["songhash"]
    assert queue.waiting()[0] == single
    assert queue.position(single) == 0


def test_a_batch_of_normal_priority_waits_in_turn(sender, client, three, fetch_all, queue):
    sender.batch(*three, priority="normal")
    fetch_all()
    single = client.post(URL, data=song_bytes(hertz=900), content_type="audio/wav").json["songhash"]
    assert queue.position(single) == 3


def test_cancelling_a_batch_cancels_what_has_not_ended(sender, client, three, fetcher, fetches, queue, player, batches):
    id_ = sender.batch(*three, callback={"url": "https://example.org/b"})
    fetcher.turn(), fetcher.turn()
    player.work()
    answer = client.delete(f"{BATCHES}/{id_}")
    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert answer.json["counts"] | {"done": 1, "cancelled": 2, "queued": 0} == answer.json["counts"]
    assert (queue.waiting(), fetches.waiting(), batches.waiting.waiting()) == ([], [], [])
    [callback] = Outbox(queue.redis).take(10, limit=10)
    assert json.loads(payload(callback))["type"] == "batch.cancelled"
    assert client.delete(f"{BATCHES}/{id_}").json["state"] == "cancelled"


def test_a_song_that_is_queued_while_its_batch_is_cancelled_is_cancelled_too(
    sender, client, three, fetch_all, queue, fetches, batches, monkeypatch
):
    batch = sender.batch(*three)
    cancel = fetches.cancel
    monkeypatch.setattr(fetches, "cancel", lambda name: fetch_all() or cancel(name))
    batches.cancel(batches.get(batch))
    assert sender.get(batch)["counts"]["cancelled"] == 3
    assert queue.waiting() == []


def test_a_batch_whose_songs_have_just_been_cancelled_does_not_end_as_done(sender, three, batches, monkeypatch):
    id_ = sender.batch(*three)
    cancel_all = batches.fetches.cancel_all
    monkeypatch.setattr(batches.fetches, "cancel_all", lambda names: (cancel_all(names), batches.follow()))
    batches.cancel(batches.get(id_))
    view = sender.get(id_)
    assert (view["state"], view["counts"]["cancelled"]) == ("cancelled", 3)


def test_a_batch_that_is_done_cannot_be_cancelled(sender, client, three, fetch_all, player, batches):
    id_ = sender.batch(*three)
    fetch_all()
    for _ in three:
        player.work()
    batches.follow()
    problem(client.delete(f"{BATCHES}/{id_}"), 409, "conflict")
    assert sender.get(id_)["state"] == "done"


def test_a_song_that_fails_is_counted_with_its_reason(sender, fetch_all, batches, storage, player):
    good, bad = (sender.upload(song) for song in songs(2))
    id_ = sender.batch({"upload": good}, {"upload": bad})
    storage.remove(UPLOADS, storage.chunks_of(bad))
    fetch_all()
    player.work()
    batches.follow()
    view = sender.get(id_)
    assert (view["state"], view["counts"]["done"], view["counts"]["failed"]) == ("done", 1, 1)
    assert view["songs"][1]["error"]["code"] == "fetch_failed"


def test_records_that_are_gone_do_not_keep_a_batch_open(sender, three, batches, redis):
    id_ = sender.batch(*three)
    for song in sender.get(id_)["songs"]:
        redis.delete(f"job:{song['id']}")
    batches.follow()
    view = sender.get(id_)
    assert (view["state"], view["counts"]["expired"]) == ("done", 3)


# --- all or nothing


@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [
        ({"upload": "0" * 32}, 404, "upload_unknown"),
        ({"job": NOBODY}, 404, "job_unknown"),
        ({"job": "x"}, 404, "job_unknown"),
        ({"url": "ftp://example.org/x"}, 422, "fetch_refused"),
        ({"url": "upload:" + "0" * 32}, 422, "fetch_refused"),
        ({"url": "song:x"}, 422, "fetch_refused"),
        ({"url": 7}, 422, "invalid_option"),
        ({}, 422, "invalid_option"),
        ("x", 422, "invalid_option"),
        ({"url": "https://example.org/x", "upload": "x"}, 422, "invalid_option"),
        ({"url": "https://example.org/x", "priority": "normal"}, 422, "invalid_option"),
        ({"url": "https://example.org/x", "bitrate": 1}, 422, "invalid_option"),
        ({"url": "https://example.org/x", "callback": {"url": "http://127.0.0.1/"}}, 422, "callback_refused"),
    ],
)
def test_one_wrong_song_refuses_the_batch_and_is_named(sender, three, fetches, batches, bad, status, code):
    detail = problem(sender.post(*three, bad), status, code)
    assert detail.startswith("songs[3]: ")
    assert (fetches.waiting(), batches.waiting.waiting()) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"songs": []}',
        b'{"songs": {}}',
        b'{"songs": [{}], "x": 1}',
        b'{"songs": [{"url": "https://example.org/"}], "priority": "high"}',
        b'{"songs": [{"url": "https://example.org/"}], "priority": []}',
        b'{"songs": [{"url": "https://example.org/"}], "options": {"priority": "normal"}}',
        b'{"songs": [{"url": "https://example.org/"}], "options": []}',
        b'{"songs": [{"url": "https://example.org/"}], "options": {"url": "x"}}',
        b'{"songs": [' + b'{"url": "https://example.org/"},' * 1000 + b'{"url": "https://example.org/"}]}',
        b"[" * 100_000,
        b'{"songs": [{"url": "https://example.org/"}], "callback": 7}',
    ],
)
def test_a_body_that_is_no_batch_is_refused(client, body, fetches):
    answer = client.post(BATCHES, data=body, content_type="application/json")
    assert answer.status_code in (400, 422), answer.text
    assert fetches.waiting() == []


def test_a_list_is_told_where_its_songs_belong(client):
    assert '{"songs": [' in problem(client.post(BATCHES, json=[{"url": "https://example.org/"}]), 400, "bad_json")


def test_too_large_and_other_bodies_are_refused(client, fetches):
    problem(client.post(BATCHES, data=b"x", content_type="text/plain"), 415, "unsupported_body")
    body = b'{"songs": "' + b"x" * 4_000_000 + b'"}'
    problem(client.post(BATCHES, data=body, content_type="application/json"), 413, "upload_too_large")
    assert fetches.waiting() == []


def test_a_batch_that_does_not_fit_the_quota_leaves_nothing(make_app, redis, fetches, batches):
    sender = Sender(make_app(max_songs_per_caller=3).test_client(), {})
    uploads = [{"upload": sender.upload(song)} for song in songs(5)]
    problem(sender.post(*uploads), 429, "too_many_songs")
    assert (fetches.waiting(), batches.waiting.waiting()) == ([], [])
    assert sender.post(*uploads[:2]).status_code == 202


def test_a_refused_batch_has_queued_none_of_its_songs(make_app, redis, queue, fetches, batches, monkeypatch):
    sender = Sender(make_app(max_songs_per_caller=4).test_client(), {})
    called = {"callback": {"url": "https://example.org/"}}
    uploads = [{"upload": sender.upload(song)} | called for song in songs(5)]
    with monkeypatch.context() as patch:
        patch.setattr(Quotas, "refuse_songs", lambda *_args: None)  # others post at the same moment
        problem(sender.post(*uploads, **called), 429, "too_many_songs")
    assert Outbox(redis).take(10, limit=10) == []
    assert sender.client.get("/apiv1/jobs").json["jobs"] == []
    assert not [key for key in redis.scan_iter() if key.startswith(("job:", "callback"))]
    assert sender.post(*uploads[:3]).status_code == 202


def test_a_refused_batch_lets_songs_posted_before_go_on(make_app, redis, queue, batches, fetcher, monkeypatch):
    sender = Sender(make_app(max_songs_per_caller=4).test_client(), {})
    posted = sender.client.post(URL, data=song_bytes(), content_type="audio/wav").json["songhash"]
    uploads = [{"upload": sender.upload(song)} for song in [song_bytes(), *songs(4)]]
    submit = Queue.submit

    def submit_and_fetch(self, *args, **more):
        answer = submit(self, *args, **more)
        if self.keys == FETCH_KEYS:
            fetcher.turn()
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "submit", submit_and_fetch)
        patch.setattr(Quotas, "refuse_songs", lambda *_args: None)
        problem(sender.post(*uploads), 429, "too_many_songs")
    assert posted in queue.waiting()


def test_a_batch_that_the_queue_has_no_room_for_is_refused(make_app, fetches):
    sender = Sender(make_app(max_queue=2).test_client(), {})
    uploads = [{"upload": sender.upload(song)} for song in songs(3)]
    problem(sender.post(*uploads), 503, "queue_full")
    assert fetches.waiting() == []
    assert sender.post(*uploads[:2]).status_code == 202


def test_a_batch_counts_as_its_songs_for_the_rate_limit(make_app):
    sender = Sender(make_app(rate_limit_per_minute=4).test_client(), {})
    three = [{"url": f"https://example.org/{number}"} for number in range(3)]
    assert sender.post(*three).status_code == 202
    assert sender.post(*three).status_code == 202  # the fourth post is free, and five more are charged
    problem(sender.post(*three), 429, "rate_limited")


def test_a_repeated_request_with_its_key_is_the_same_batch(sender, three, fetches):
    key = {"Idempotency-Key": "one"}
    first, again = sender.post(*three, headers=key), sender.post(*three, headers=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.data == again.data
    assert len(fetches.waiting()) == 3
    problem(sender.post(*three[:2], headers=key), 422, "idempotency_key_reused")


def test_a_repeated_request_gets_its_answer_after_its_uploads_were_removed(sender, client, three):
    key = {"Idempotency-Key": "one"}
    first = sender.post(*three, headers=key)
    for one in three:
        client.delete(f"/apiv1/uploads/{one['upload']}", headers={"Tus-Resumable": "1.0.0"})
    again = sender.post(*three, headers=key)
    assert (again.status_code, again.data) == (202, first.data)


def test_a_batch_whose_request_was_killed_is_cancelled_later(sender, three, batches, redis, fetches):
    id_ = sender.batch(*three)
    redis.hdel(f"job:{id_}", "filled")
    batches.follow()
    assert sender.get(id_)["state"] == "queued"  # it may still be filled
    redis.hset(f"job:{id_}", "created_ms", "1")
    batches.follow()
    assert sender.get(id_)["state"] == "cancelled"
    assert fetches.waiting() == []


def test_the_end_of_a_batch_whose_request_was_killed_leaves_those_of_the_repeated_one(
    sender, three, batches, redis, fetcher, fetches, queue
):
    killed = sender.batch(*three)
    fetcher.turn()
    redis.hset(f"job:{killed}", "created_ms", "1")
    redis.hdel(f"job:{killed}", "filled")
    repeated = sender.batch(*three)
    batches.follow()
    assert sender.get(killed)["state"] == "cancelled"
    assert sender.get(repeated)["counts"]["cancelled"] == 0
    while fetches.waiting():
        fetcher.turn()
    assert len(queue.waiting()) == 3


# --- callers


@pytest.fixture
def callers(make_app):
    keys = {name: new_key(name, ["use"]) for name in ("anna", "bert")}
    client = make_app(api_keys=tuple(key for _, key in keys.values())).test_client()
    return {name: Sender(client, {"Authorization": f"Bearer {text}"}) for name, (text, _) in keys.items()}


def test_another_tenants_batch_uploads_and_jobs_are_unknown(callers, fetch_all):
    anna, bert = callers["anna"], callers["bert"]
    upload = anna.upload(song_bytes())
    problem(bert.post({"upload": upload}), 404, "upload_unknown")
    id_ = anna.batch({"upload": upload})
    fetch_all()
    name = anna.get(id_)["songs"][0]["songhash"]
    problem(bert.post({"job": name}), 404, "job_unknown")
    assert bert.get(id_)["code"] == "job_unknown"
    problem(bert.client.delete(f"{BATCHES}/{id_}", headers=bert.headers), 404, "job_unknown")
    assert anna.get(id_)["counts"]["queued"] == 1


def test_a_batch_is_no_job_and_a_job_no_batch(sender, client, three, done):
    id_ = sender.batch(*three)
    problem(client.get(f"/apiv1/jobs/{id_}"), 404, "job_unknown")
    problem(client.delete(f"/apiv1/jobs/{id_}"), 404, "job_unknown")
    problem(client.get(f"{BATCHES}/{done}"), 404, "batch_unknown")
    problem(client.get(f"{BATCHES}/{NOBODY}"), 404, "batch_unknown")
    assert sender.get(id_)["state"] == "queued"
    assert id_ not in [job["songhash"] for job in client.get("/apiv1/jobs").json["jobs"]]


@pytest.mark.parametrize("value", ["", "[]", "{}", '{"ids": 7}', '{"ids": ["x", 7, null]}', "x" * 100_000])
def test_a_damaged_record_breaks_nothing(sender, three, batches, redis, value):
    other, id_ = sender.batch(*three), sender.batch(*three)
    redis.hset(f"job:{id_}", "songs", value)
    assert sender.get(id_)["songs"] == []
    batches.follow()
    assert sender.get(id_)["state"] == "done"
    assert sender.get(other)["counts"]["queued"] == 3


def test_an_entry_without_a_record_is_taken_off_the_list(batches, redis, sender, three):
    redis.rpush("batches", NOBODY, "junk")
    id_ = sender.batch(*three)
    batches.follow()
    assert batches.waiting.waiting() == [id_]


def test_one_process_at_a_time_looks_at_the_batches(batches, redis, monkeypatch):
    looks: list[int] = []
    monkeypatch.setattr(type(batches), "follow", lambda self: looks.append(1))
    follower = BatchFollower(batches)
    follower.turn(), follower.turn()
    assert looks == [1]
