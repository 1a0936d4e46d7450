"""From a job's end to its receiver, over real HTTP and a real Valkey: retries, crashes, outages, two senders."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from msaas import failpoints
from msaas.callbacks.admin import replay
from msaas.callbacks.outbox import Outbox
from msaas.callbacks.sender import HttpPost, Sender
from msaas.errors import QueueUnavailable
from msaas.local.processes.child import wait_until
from msaas.local.servers import Valkey, free_port, running
from msaas.maintenance.housekeeping import Housekeeper
from msaas.outbound.targets import TargetPolicy
from msaas.settings import Settings
from msaas.settings.callback_secrets import Secret
from msaas.wiring.background import build_sender
from msaas.wiring.stores import build_queue
from tests.callbacks.conftest import SECRET, until
from tests.support.environment import BUSY_SECONDS
from tests.support.receivers import answers, answers_in_turn, dies_after_receipt, hangs

SENDER = """
import sys
from redis import Redis
from msaas.callbacks.outbox import Outbox
from msaas.callbacks.sender import HttpPost, Sender
from tests.support.receivers import HOME
redis = Redis(host="127.0.0.1", port=int(sys.argv[1]), decode_responses=True)
Sender(Outbox(redis, lease_seconds=1), HttpPost(HOME), every_seconds=0.02).start()
sys.stdin.read()
"""
FINISHER = """
import os, signal, sys
from redis import Redis
from msaas.queue import Queue
queue = Queue(Redis(host="127.0.0.1", port=int(sys.argv[1]), decode_responses=True))
assert queue.finish(queue.claim("w"), {"stems": {}}, 1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_done_job_calls_its_receiver_at_once_and_signed(receiver, post, outbox, finished, sender):
    listening = receiver(answers(200))
    sender(attempt=post(secrets=[Secret.parse(SECRET)], public_url="https://music.example"))
    songhash = finished(listening.url, data={"mine": 1})
    (request,) = listening.wait_for(1)
    body = Webhook(SECRET).verify(request.body, request.headers)
    assert (body["songhash"], body["state"], body["data"]) == (songhash, "done", {"mine": 1})
    assert body["stems"]["vocals"] == f"https://music.example/apiv1/track/{songhash}-vocals"
    until(outbox, songhash, "delivered")
    time.sleep(0.2)
    assert listening.accepted == 1


def test_retries_carry_the_same_id_and_bytes_and_a_fresh_signature(receiver, post, outbox, finished, sender):
    listening = receiver(answers_in_turn(answers(500), dies_after_receipt, answers(200)))
    sender(attempt=post(secrets=[Secret.parse(SECRET)]), delays=(0.0, 1.05, 0.05))
    one = until(outbox, finished(listening.url), "delivered")
    requests = listening.requests
    assert one.attempts == len(requests) == 3
    assert {request.headers["webhook-id"] for request in requests} == {one.id}
    assert len({request.body for request in requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in requests}) >= 2
    for request in requests:
        Webhook(SECRET).verify(request.body, request.headers)


def test_a_receiver_that_only_fails_is_given_up_with_its_last_error(receiver, outbox, finished, sender):
    listening = receiver(answers(500))
    sender()
    one = until(outbox, finished(listening.url), "failed")
    assert (one.attempts, one.last_error, listening.accepted) == (4, "answered 500", 4)


@pytest.mark.parametrize(
    ("status", "headers", "state", "error"),
    [
        (410, "", "failed", "answered 410"),
        (302, "Location: http://127.0.0.1:1/\r\n", "pending", "answered 302; redirects are not followed"),
        (429, "Retry-After: 30\r\n", "pending", "answered 429"),
    ],
)
def test_an_answer_is_obeyed(receiver, redis, outbox, finished, sender, status, headers, state, error):
    listening = receiver(answers(status, headers=headers))
    sender(delays=(0.0, 20.0, 20.0))
    songhash = finished(listening.url)
    listening.wait_for(1)
    deadline = time.monotonic() + 5
    while not (one := outbox.of(songhash)[0]).last_error and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (one.state, one.attempts, one.last_error) == (state, 1, error)
    if state == "pending":
        wait = one.due_ms / 1000 - redis.time()[0]
        assert wait == pytest.approx(30 if status == 429 else 20, abs=2)


def test_an_inner_address_is_refused_with_a_reason_and_no_connection(receiver, post, outbox, finished, sender):
    listening = receiver(answers(200))
    sender(attempt=post(policy=TargetPolicy(ports=frozenset({listening.port}))))
    one = until(outbox, finished(f"http://localhost:{listening.port}/"), "refused")
    assert "not public (loopback)" in one.last_error
    assert (one.attempts, listening.accepted) == (1, 0)


def test_a_callback_opened_afterwards_is_delivered_by_replay(receiver, post, outbox, finished, sender):
    listening = receiver(answers(200))
    first = sender(attempt=post(policy=TargetPolicy()))
    songhash = finished(listening.url)
    one = until(outbox, songhash, "refused")
    first.stop()
    sender()
    replay(outbox, one.id)
    assert until(outbox, songhash, "delivered").id == one.id


def test_a_hanging_receiver_holds_up_neither_others_nor_the_reaping(receiver, post, queue, storage, outbox, finished):
    released = threading.Event()
    stuck, well = receiver(lambda _: released.wait()), receiver(answers(200))
    sender = Sender(outbox, post(attempt_seconds=10 * BUSY_SECONDS), every_seconds=0.02, concurrency=3)
    keeper = Housekeeper(queue, storage, callbacks=sender, every_seconds=0.05)
    keeper.start()
    try:
        finished(*[f"{stuck.url}/{n}" for n in range(20)])
        stuck.wait_for(1)
        began = time.monotonic()
        lost = finished(*[f"{well.url}/{n}" for n in range(5)])
        queue.submit(lost, {}, stems_missing=True)
        queue.claim("w")
        queue.redis.zadd("toWorkers:leases", {lost: 1})
        well.wait_for(5)
        while queue.get(lost).state != "queued" and time.monotonic() - began < BUSY_SECONDS:
            time.sleep(0.01)
        assert queue.get(lost).state == "queued", "not taken back"
        assert stuck.accepted == 1, "one at a time"
    finally:
        released.set()
        keeper.stop()


def test_no_more_are_on_their_way_than_the_limit(receiver, post, finished, sender):
    released = threading.Event()
    stuck = [receiver(lambda _: released.wait()) for _ in range(5)]
    sender(attempt=post(attempt_seconds=10 * BUSY_SECONDS), concurrency=2)
    finished(*[one.url for one in stuck])
    assert wait_until(lambda: sum(one.accepted for one in stuck) == 2, BUSY_SECONDS)
    time.sleep(0.2)
    assert sum(one.accepted for one in stuck) == 2
    released.set()


def test_two_senders_deliver_each_callback_once(receiver, redis, queue, submitted, sender):
    listening = [receiver(answers(200)) for _ in range(4)]
    songs = [submitted(*[f"{one.url}/{n}" for one in listening]) for n in range(10)]
    for _ in range(3):
        sender(outbox=Outbox(redis, lease_seconds=5))
    while claim := queue.claim("w"):
        queue.finish(claim, {"stems": {}}, 1.0)
    for one in listening:
        one.wait_for(len(songs))
    time.sleep(0.3)
    ids = Counter(request.headers["webhook-id"] for one in listening for request in one.requests)
    assert len(ids) == 40
    assert set(ids.values()) == {1}


def start(code, redis):
    port = str(redis.connection_pool.connection_kwargs["port"])
    return subprocess.Popen([sys.executable, "-c", code, port], stdin=subprocess.PIPE)


def test_a_process_killed_right_after_the_finish_loses_no_callback(receiver, redis, outbox, submitted, sender):
    listening = receiver(answers(200))
    songhash = submitted(listening.url)
    assert start(FINISHER, redis).wait(20) == -signal.SIGKILL
    assert listening.accepted == 0
    assert redis.zcard("callbacks") == 1
    sender()
    assert until(outbox, songhash, "delivered").attempts == 1


def test_a_sender_killed_while_it_sends_is_followed_by_another(receiver, redis, outbox, finished, sender):
    listening = receiver(answers_in_turn(hangs, answers(200)))
    songhash = finished(listening.url)
    victim = start(SENDER, redis)
    listening.wait_for(1)
    sender()  # it is up, and waits for the lease
    victim.kill()
    victim.wait()
    one = until(outbox, songhash, "delivered")
    assert one.attempts == 2
    first, second = listening.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == one.id
    assert first.body == second.body


def test_redis_away_while_a_callback_is_sent_delivers_it_all_the_same(receiver, post, tmp_path):
    port = free_port()
    settings = Settings.from_env({"REDIS_HOST": f"127.0.0.1:{port}"})
    outbox, queue = Outbox(build_queue(settings).redis, lease_seconds=20), build_queue(settings)
    received, away = threading.Event(), threading.Event()

    def answers_once_redis_is_away(connection):
        received.set()
        away.wait(10)
        answers(200)(connection)

    listening = receiver(answers_once_redis_is_away)
    sender = Sender(outbox, post(attempt_seconds=60), every_seconds=0.02)
    name = "00000000-0000-0000-0000-000000000001"
    posting_args = ("msg_1", "digest", listening.url, "null", "http://127.0.0.1")
    with running(lambda: Valkey(tmp_path, port)):
        queue.submit(name, {}, callback=posting_args)
        queue.finish(queue.claim("w"), {"stems": {}}, 1.0)
        sender.start()
        assert received.wait(10)
    away.set()
    time.sleep(0.3)
    with pytest.raises(QueueUnavailable):
        outbox.of(name)
    with running(lambda: Valkey(tmp_path, port)):
        assert until(outbox, name, "delivered").attempts == 1
        sender.stop()
    assert len(listening.requests) == 1


def test_an_answer_that_could_not_be_noted_is_asked_for_again(receiver, redis, finished, sender):
    """Redis gone for longer than the lease: twice heard is better than never."""
    outbox = Outbox(redis, lease_seconds=0.3)
    listening = receiver(answers(200))

    def fail():
        raise QueueUnavailable("away")

    failpoints.arm("before-callback-settle", fail)
    try:
        sender(outbox=outbox)
        songhash = finished(listening.url)
        listening.wait_for(2)
    finally:
        failpoints.disarm()
    assert until(outbox, songhash, "delivered").attempts >= 2
    assert len({request.headers["webhook-id"] for request in listening.requests}) == 1


def test_a_sender_outlives_an_error_nobody_foresaw(receiver, outbox, finished, sender):
    listening = receiver(answers(200))
    calls = []

    def breaks(callback):
        calls.append(callback)
        raise ZeroDivisionError

    one = sender(attempt=breaks)
    finished(listening.url)
    while not calls:
        time.sleep(0.01)
    assert wait_until(lambda: one._in_flight() == {}, BUSY_SECONDS)
    assert one._loop.thread.is_alive()


def test_stopping_waits_a_moment_for_what_is_on_its_way(receiver, outbox, finished, sender):
    def slow(connection):
        time.sleep(0.2)
        answers(200)(connection)

    listening = receiver(slow)
    one = sender()
    songhash = finished(listening.url)
    listening.wait_for(1)
    one.stop()
    assert outbox.of(songhash)[0].state == "delivered"


def test_settings_reach_the_sender(redis, environ):
    given = {"SECRETS": SECRET, "ALLOW": "127.0.0.0/8, ::1", "PORTS": "9"}
    settings = Settings.from_env(environ | {f"MSAAS_CALLBACK_{name}": value for name, value in given.items()})
    post = build_sender(replace(settings, public_url="https://a.example"), redis).post
    assert isinstance(post, HttpPost)
    assert post.policy.ports == {9} and len(post.policy.allow) == 2
    assert post.secrets == (Secret.parse(SECRET),) and post.public_url == "https://a.example"
