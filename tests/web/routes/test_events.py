"""The event stream, read in this process: what is told, when it ends, what it survives."""

import json
import threading
import time

import pytest

from msaas.errors import QueueUnavailable
from msaas.web.routes.events import job_events
from tests.support.api import NOBODY, post, problem
from tests.support.environment import BUSY_SECONDS


@pytest.fixture
def parts(make_app):
    return make_app().extensions["msaas"]


def follow(parts, name, **options):
    return job_events(parts, parts.queue.get(name), **({"poll_seconds": 0.01} | options))


def sent(text):
    lines = text.strip().splitlines()
    assert lines[0] == "event: job"
    return lines[1].removeprefix("id: "), json.loads(lines[2].removeprefix("data: "))


def test_the_present_state_comes_at_once_and_each_change_once(client, parts, queue, player):
    name = post(client)
    stream = follow(parts, name)
    assert next(stream).startswith("retry: ")
    id_, view = sent(next(stream))
    assert (id_, view["state"], view["queue_position"]) == ("queued-1", "queued", 0)
    assert view == client.get(f"/apiv1/jobs/{name}").json
    claim = queue.claim("w")
    queue.renew(claim, {"stage": "separating", "progress": "0.25"})
    id_, view = sent(next(stream))
    assert (id_, view["progress"]) == ("running-2", 0.25)
    queue.release(claim)
    player.work()
    rest = [sent(text) for text in stream]
    assert rest[-1][0].startswith("done-")
    assert rest[-1][1]["stems"]


def test_an_ended_job_is_told_once_and_the_stream_ends(client, done):
    answer = client.get(f"/apiv1/jobs/{done}/events")
    assert answer.status_code == 200
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.text.count("event: job") == 1


def test_a_browser_that_saw_the_end_is_told_not_to_come_again(client, done):
    url = f"/apiv1/jobs/{done}/events"
    assert client.get(url, headers={"Last-Event-ID": "done-7"}).status_code == 204
    assert client.get(url, headers={"Last-Event-ID": "running-6"}).status_code == 200


def test_nothing_new_is_a_keep_alive_comment_now_and_then(client, parts):
    stream = follow(parts, post(client), keep_alive_seconds=0.05)
    next(stream), next(stream)
    assert next(stream) == next(stream) == ": keep-alive\n\n"


def test_redis_going_away_and_coming_back_ends_no_stream(client, parts, queue, monkeypatch):
    name = post(client)
    stream = follow(parts, name, keep_alive_seconds=0.02)
    next(stream), next(stream)
    with monkeypatch.context() as outage:

        def away(*_):
            raise QueueUnavailable("restarting")

        for call in ("get", "pace", "counts", "position"):
            outage.setattr(parts.queue, call, away)
        assert next(stream) == ": keep-alive\n\n"
    queue.cancel(name)
    assert any('"cancelled"' in text for text in stream)


def test_a_record_that_is_deleted_ends_the_stream(client, parts, redis):
    name = post(client)
    stream = follow(parts, name)
    next(stream), next(stream)
    redis.flushall()
    assert list(stream) == ["event: gone\ndata: {}\n\n"]


def test_a_server_that_stops_ends_its_streams(client, parts):
    stream = follow(parts, post(client), poll_seconds=10 * BUSY_SECONDS)
    next(stream), next(stream)
    threading.Timer(0.05, parts.stopping.set).start()
    began = time.monotonic()
    assert list(stream) == []
    assert time.monotonic() - began < BUSY_SECONDS


def test_streams_beyond_half_the_threads_are_refused_and_every_place_comes_free(make_app):
    app = make_app(max_connections=16)
    client = app.test_client()
    url = f"/apiv1/jobs/{post(client)}/events"
    for _ in range(3):  # opened and left unread, read a little, asked by HEAD: each gives its place back
        first, second = client.get(url, buffered=False), client.get(url, buffered=False)
        next(second.iter_encoded())
        answer = client.get(url, buffered=False)
        problem(answer, 503, "busy")
        assert answer.headers["Retry-After"]
        first.close(), second.close()
        client.head(url).close()


def test_another_caller_gets_a_place_of_the_one_that_holds_them_all(make_app):
    app = make_app(max_connections=32)
    url = f"/apiv1/jobs/{post(app.test_client())}/events"

    def open_stream(address):
        return app.test_client().get(url, buffered=False, environ_base={"REMOTE_ADDR": address})

    greedy = [open_stream("192.0.2.1") for _ in range(4)]
    problem(open_stream("192.0.2.1"), 503, "busy")
    modest = open_stream("192.0.2.2")
    assert modest.status_code == 200
    next(modest.iter_encoded())
    assert list(greedy[0].iter_encoded())  # ends though its job has not: its place went to the other
    for one in (*greedy, modest):
        one.close()


def test_an_unknown_job_is_a_404_before_any_stream(client):
    assert NOBODY in problem(client.get(f"/apiv1/jobs/{NOBODY}/events"), 404, "job_unknown")
