"""A job by address: provisional until its song is fetched, then the job that an upload of the song would be."""

from __future__ import annotations

import json
import threading
from typing import ClassVar

import pytest

from msaas.errors import NotAudio, StorageUnavailable
from msaas.fetching.run import FetchLimits
from msaas.queue import FETCH_KEYS, Queue
from msaas.telemetry.metrics import FETCH_RESULTS, Metrics
from tests.fetching.conftest import HOME, LIMITS, by_address, callbacks_of, job
from tests.support.api import RAW, URL, problem, song_bytes
from tests.support.environment import BUSY_SECONDS


def test_a_song_by_address_becomes_the_job_that_its_upload_would_be(home, fetcher, queue, fetches, server, song):
    origin = server(song)
    answer = home.post(URL, json={"url": origin.url, "stems": ["vocals"], "format": "flac"})
    assert (answer.status_code, answer.json["state"], answer.json["provisional"]) == (202, "queued", True)
    name = answer.json["songhash"]
    assert answer.headers["Location"] == f"/apiv1/jobs/{name}"
    assert (fetches.waiting(), queue.waiting()) == ([name], [])
    listed = home.get("/apiv1/queue").json
    assert (listed["queue"], listed["counts"]["to_fetch"]) == ([], 1)
    assert answer.json["links"]["named"] == f"/apiv1/jobs/{name}"  # the song's tags come before any name
    before = job(home, name)
    assert (before["state"], before["queue_position"], before["provisional"]) == ("queued", 0, True)
    assert before["fetched_from"] == f"http://127.0.0.1:{origin.port}"
    fetcher.turn()
    after = home.get(f"/apiv1/jobs/{name}")
    songhash = after.json["songhash"]
    assert after.json["state"] == "queued"
    assert "provisional" not in after.json
    assert after.headers["Content-Location"] == f"/apiv1/jobs/{songhash}"
    assert queue.waiting() == [songhash]
    uploaded = home.post(f"{URL}?stems=vocals&format=flac", data=song, **RAW)
    assert (uploaded.status_code, uploaded.json["songhash"], uploaded.json["known"]) == (200, songhash, True)
    assert queue.get(songhash).upload["bytes"] == len(song)


def test_every_call_of_a_job_takes_the_provisional_id(home, fetcher, player, server, song):
    name = by_address(home, server(song).url)
    fetcher.turn()
    player.work()
    assert job(home, name)["state"] == "done"
    for call in ("events", "links", "stems.zip"):
        assert home.get(f"/apiv1/jobs/{name}/{call}").status_code == 200, call
    problem(home.delete(f"/apiv1/jobs/{name}"), 409, "conflict")


def test_events_follow_a_job_from_the_fetch_to_its_end(home, fetcher, player, server, song):
    name = by_address(home, server(song).url)
    events = iter(home.get(f"/apiv1/jobs/{name}/events").response)
    seen = []

    def next_event():
        while not (text := next(events)).startswith(b"event: job"):
            pass
        seen.append(json.loads(text.partition(b"data: ")[2]))

    next_event()
    fetcher.turn()
    next_event()
    player.work()
    next_event()
    assert [one["state"] for one in seen] == ["queued", "queued", "done"]
    assert [one.get("provisional", False) for one in seen] == [True, False, False]


def test_the_record_forgets_the_address_with_its_secrets(home, fetcher, redis, server, song):
    name = by_address(home, server(song).url)
    assert "secret" in redis.hget(f"job:{name}", "fetch_url")
    fetcher.turn()
    assert not any("secret" in text for text in redis.hgetall(f"job:{name}").values())
    failing = by_address(home, server(song, statuses=[404]).url)
    fetcher.turn()
    assert job(home, failing)["error"] == {"code": "fetch_failed", "detail": job(home, failing)["error"]["detail"]}
    assert not any("secret" in text for text in redis.hgetall(f"job:{failing}").values())
    assert "secret" not in home.get(f"/apiv1/jobs/{failing}").text


# --- what it shares with uploads


def test_a_song_that_is_done_is_not_separated_again(home, fetcher, queue, player, server, song):
    uploaded = home.post(URL, data=song, **RAW).json["songhash"]
    player.work()
    name = by_address(home, server(song).url)
    fetcher.turn()
    assert (job(home, name)["songhash"], job(home, name)["state"]) == (uploaded, "done")
    assert queue.counts().waiting == 0


def test_a_song_whose_stem_was_removed_is_separated_again(home, fetcher, queue, player, server, song):
    uploaded = home.post(URL, data=song, **RAW).json["songhash"]
    player.work()
    home.delete(f"/apiv1/remove/{uploaded}-vocals")
    by_address(home, server(song).url)
    fetcher.turn()
    assert queue.waiting() == [uploaded]


def test_what_is_not_audio_fails_with_that_reason_once(home, make_fetcher, queue, server, song):
    def refuse(path):
        raise NotAudio("nothing in it decodes")

    name = by_address(home, server(song).url)
    make_fetcher(probe=refuse).turn()
    assert (job(home, name)["state"], job(home, name)["error"]["code"]) == ("failed", "not_audio")
    assert queue.counts().waiting == 0


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_waiting": 1}, "queue_full"),
        ({"audio_limit_seconds": 1}, "audio_quota_exceeded"),
        ({"max_songs": 1}, "too_many_songs"),
    ],
)
def test_quotas_are_those_of_an_upload(home, make_fetcher, fetches, queue, server, song, monkeypatch, limits, code):
    monkeypatch.setattr("msaas.background_jobs.run.RETRY_PAUSE_SECONDS", 0.0)
    home.post(URL, data=song_bytes(0.2, 990), **RAW)  # waits
    name = by_address(home, server(song).url)

    fetcher = make_fetcher(limits=FetchLimits(LIMITS, 14_400, **limits), probe=Long)
    for _ in range(3):  # a full queue may have room later
        if fetches.waiting():
            fetcher.turn()
    assert (job(home, name)["state"], job(home, name)["error"]["code"]) == ("failed", code)
    assert queue.counts().waiting == 1


class Long:
    """A probe's result: a minute of audio."""

    container, codec, sample_rate, channels, duration_seconds, cpu_seconds = "wav", "pcm_s16le", 8000, 1, 60.0, 0.0
    tags: ClassVar[dict[str, str]] = {}

    def __init__(self, path):
        pass


def test_a_caller_at_its_limit_of_songs_may_still_have_its_last_one_fetched(make_app, make_fetcher, server, song):
    client = make_app(fetch_allow=HOME, max_songs_per_caller=1).test_client()
    name = by_address(client, server(song).url)
    problem(client.post(URL, json={"url": "https://example.org/other"}), 429, "too_many_songs")
    make_fetcher(limits=FetchLimits(LIMITS, 14_400, max_songs=1)).turn()
    assert "provisional" not in job(client, name)
    problem(client.post(URL, json={"url": "https://example.org/other"}), 429, "too_many_songs")


def test_an_idempotency_key_makes_one_fetch_of_two_posts(home, fetches):
    posts = [
        home.post(URL, json={"url": "https://example.org/a"}, headers={"Idempotency-Key": "one"}) for _ in range(2)
    ]
    assert posts[0].json == posts[1].json
    assert len(fetches.waiting()) == 1
    other = home.post(URL, json={"url": "https://example.org/b"}, headers={"Idempotency-Key": "one"})
    problem(other, 422, "idempotency_key_reused")


# --- cancelled, lost, given back


def in_thread(turn):
    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    return thread


def test_a_fetch_that_is_tried_again_says_why_at_once(home, fetcher, server, song):
    origin = server(song, statuses=[503])
    name, seen = by_address(home, origin.url), []

    def answer(request):
        if origin.statuses:
            origin.answer = None
            origin.handle(request)
            origin.answer = answer
        else:
            seen.append(job(home, name)["message"])
            origin.send(request)

    origin.answer = answer
    fetcher.turn()
    assert seen == [f"The song cannot be fetched yet: 127.0.0.1:{origin.port} answered 503; the service retries."]
    assert "message" not in job(home, name)


def test_a_fetch_that_waits_for_the_store_says_so(home, make_fetcher, storage, server, song, monkeypatch):
    name, seen, put = by_address(home, server(song).url), [], storage.put_input

    def put_later(*args):
        seen.append(job(home, name).get("message", ""))
        if len(seen) == 1:
            raise StorageUnavailable("secret.host refused")
        put(*args)

    monkeypatch.setattr(storage, "put_input", put_later)
    make_fetcher().turn()
    assert seen == ["", "The object store does not respond correctly; the service retries."]


def test_a_fetch_that_waits_can_be_cancelled(home, fetcher, fetches, server, song):
    origin = server(song)
    name = by_address(home, origin.url)
    assert home.delete(f"/apiv1/jobs/{name}").json["state"] == "cancelled"
    assert fetches.waiting() == []
    fetcher.turn()
    assert origin.asked == []
    assert job(home, name)["state"] == "cancelled"


def test_a_song_that_is_queued_while_its_fetch_is_cancelled_is_cancelled(
    home, fetcher, queue, server, song, monkeypatch
):
    name = by_address(home, server(song).url)
    fetches = home.application.extensions["msaas"].fetches
    cancel = fetches.cancel
    monkeypatch.setattr(fetches, "cancel", lambda songhash: fetcher.turn() or cancel(songhash))
    answer = home.delete(f"/apiv1/jobs/{name}")
    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert answer.json["songhash"] != name
    assert queue.waiting() == []


def test_a_running_fetch_reports_progress_and_can_be_cancelled(home, fetcher, fetches, queue, server, song):
    origin = server(song, held=threading.Event())
    name = by_address(home, origin.url)
    running = in_thread(fetcher.turn)
    assert origin.reached.wait(BUSY_SECONDS)
    wait_for(lambda: job(home, name)["progress"] > 0.9)
    assert (job(home, name)["state"], job(home, name)["stage"]) == ("running", "fetching")
    home.delete(f"/apiv1/jobs/{name}")
    wait_for(lambda: fetcher._run.heartbeat.lost == "cancelled")
    origin.held.set()
    running.join(BUSY_SECONDS)
    assert (job(home, name)["state"], queue.counts().waiting) == ("cancelled", 0)


def wait_for(condition):
    pause = threading.Event()
    for _ in range(int(BUSY_SECONDS * 50)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("not in time")


def test_a_fetcher_that_stops_gives_its_fetch_back_uncharged(home, make_fetcher, fetches, queue, server, song):
    origin = server(song, held=threading.Event())
    name = by_address(home, origin.url)
    stopping = make_fetcher()
    stopping.start()
    assert origin.reached.wait(BUSY_SECONDS)
    stopping.stop()
    wait_for(lambda: fetches.waiting() == [name])
    assert queue.get(name).attempts == 0
    origin.held.set()
    make_fetcher().turn()
    assert len(queue.waiting()) == 1


def test_a_fetch_of_a_killed_process_is_run_by_another(home, fetcher, fetches, queue, server, song):
    name = by_address(home, server(song).url)
    claim = fetches.claim("killed")
    assert claim.songhash == name
    wait_for(lambda: fetches.reap() == {name: "queued"})
    fetcher.turn()
    assert len(queue.waiting()) == 1
    assert not fetches.lead(claim, queue.waiting()[0]), "its fence is old"


def test_a_fetch_that_loses_its_process_each_time_fails_with_that_reason(home, fetches, server, song):
    name = by_address(home, server(song).url)
    for _ in range(3):
        fetches.claim("killed")
        wait_for(lambda: fetches.reap())
    assert (job(home, name)["state"], job(home, name)["error"]["code"]) == ("failed", "worker_lost")


def test_a_server_that_is_away_is_tried_again_by_later_runs(home, fetcher, fetches, server, song, monkeypatch):
    monkeypatch.setattr("msaas.background_jobs.run.RETRY_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("msaas.fetching.download.FIRST_PAUSE_SECONDS", 0.0)
    origin = server(song, statuses=[503] * 7)
    name = by_address(home, origin.url)
    fetcher.turn()
    assert (fetches.waiting(), "The last attempt failed" in job(home, name)["message"]) == ([name], True)
    fetcher.turn()
    assert "provisional" not in job(home, name)


def test_a_killed_process_after_the_song_was_submitted_loses_and_doubles_nothing(
    home, make_fetcher, fetches, queue, server, song
):
    """Between submitting the song and leading to it: the next fetch finds the song known."""
    name = by_address(home, server(song).url, callback={"url": "https://example.org/done"})

    class Killed(BaseException):
        pass

    def die(claim, songhash):
        raise Killed

    fetcher = make_fetcher()
    original, fetches.lead = fetches.lead, die
    with pytest.raises(Killed):
        fetcher.turn()
    fetches.lead = original
    wait_for(lambda: fetches.reap() == {name: "queued"})
    fetcher.turn()
    assert len(queue.waiting()) == 1
    assert callbacks_of(home, name) == [("https://example.org", "waiting")]


def test_lists_and_records_that_disagree_are_repaired_each_in_its_own_list(home, redis, fetches, queue):
    name = by_address(home, "https://example.org/a")
    assert (queue.repair(), fetches.repair()) == ({}, {})
    redis.delete("toFetchers")
    assert queue.repair() == {}
    assert fetches.repair() == {name: "queued"}
    assert (fetches.waiting(), queue.waiting()) == ([name], [])


# --- metrics


def test_each_end_of_a_fetch_is_counted_once_and_apart_from_songs(home, redis, make_fetcher, server, song):
    metrics = Metrics()
    counted = Queue(redis, lease_seconds=0.2, max_attempts=1, observer=metrics.fetches, keys=FETCH_KEYS)
    fetcher = make_fetcher(fetches=counted)
    by_address(home, server(song).url)
    fetcher.turn()
    by_address(home, server(song, statuses=[404]).url)
    fetcher.turn()
    by_address(home, "https://example.org/lost")
    counted.claim("killed")
    wait_for(counted.reap)
    counted.cancel(by_address(home, "https://example.org/cancelled"))
    found = {
        result: metrics.registry.get_sample_value("msaas_fetches_ended_total", {"result": result})
        for result in FETCH_RESULTS
    }
    assert found == {"fetched": 1, "failed": 2, "cancelled": 1}
    assert metrics.registry.get_sample_value("msaas_jobs_ended_total", {"result": "failed"}) == 0


def test_a_fetched_song_keeps_its_priority(home, fetcher, queue, fetches, server):
    low, single = server(song_bytes(hertz=100)), server(song_bytes(hertz=200))
    names = [by_address(home, low.url, priority="low"), by_address(home, single.url)]
    assert fetches.waiting() == names[::-1]
    fetcher.turn()
    fetcher.turn()
    assert queue.waiting() == [job(home, name)["songhash"] for name in names[::-1]]
    assert [queue.get(name).priority for name in queue.waiting()] == ["", "low"]
