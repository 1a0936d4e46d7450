"""Each number at /metrics is counted by the one process that was told of it, and costs no job anything."""

from __future__ import annotations

import json
import re
import uuid

import pytest
import requests

from msaas.callbacks.outbox import CallbackRequest, Outbox
from msaas.callbacks.schedule import AttemptOutcome
from msaas.callbacks.sender import Sender
from msaas.errors import QueueUnavailable
from msaas.outbound.targets import Target
from msaas.queue import Queue
from msaas.settings import Settings
from msaas.telemetry.metrics import Metrics
from msaas.wiring.api import build_app
from msaas.worker.health import serve_health
from tests.deploy.conftest import DEPLOY, named, render

RESULT = {
    "model": {"name": "htdemucs_mini"},
    "stems": {"vocals": "mp3"},
    "timings": {"measure": 1.0, "separate": 8.0, "encode": 1.0, "total": 10.0},
}
UPLOAD = json.dumps({"bytes": 2_000_000, "duration_seconds": 40.0})


@pytest.fixture
def counted(redis) -> Queue:
    return Queue(redis, lease_seconds=2, max_attempts=1, observer=Metrics())


def value(queue: Queue, name: str, **labels: str) -> float:
    assert isinstance(queue.observer, Metrics)
    return queue.observer.registry.get_sample_value(name, labels) or 0.0


def queued(queue: Queue) -> str:
    songhash = str(uuid.uuid4())
    queue.submit(songhash, {"model": "htdemucs_mini", "upload": UPLOAD})
    return songhash


def test_a_song_is_counted_once_however_often_it_is_posted(counted):
    songhash = queued(counted)
    counted.submit(songhash, {"upload": UPLOAD})
    assert value(counted, "msaas_jobs_submitted_total") == 1
    assert value(counted, "msaas_upload_bytes_sum") == 2_000_000
    assert value(counted, "msaas_upload_duration_seconds_sum") == 40


def test_a_finished_job_tells_its_audio_its_stages_and_its_pace(counted):
    queued(counted)
    claim = counted.claim("worker")
    assert counted.finish(claim, RESULT, 40.0)
    assert value(counted, "msaas_jobs_ended_total", result="done") == 1
    assert value(counted, "msaas_runs_ended_total", outcome="done") == 1
    assert value(counted, "msaas_audio_seconds_total", model="htdemucs_mini") == 40
    assert value(counted, "msaas_separation_seconds_total", model="htdemucs_mini") == 10
    assert value(counted, "msaas_real_time_factor_sum", model="htdemucs_mini") == 0.25
    assert value(counted, "msaas_stage_seconds_sum", stage="separate") == 8
    assert value(counted, "msaas_job_wait_seconds_count") == 1


def test_a_job_finished_twice_is_counted_once(counted):
    queued(counted)
    claim = counted.claim("worker")
    counted.finish(claim, RESULT, 40.0)
    assert not counted.finish(claim, RESULT, 40.0)
    assert value(counted, "msaas_jobs_ended_total", result="done") == 1


def test_of_two_parts_that_reap_one_counts_the_lost_run(redis, counted):
    queued(counted)
    counted.claim("worker")
    redis.zadd("toWorkers:leases", {counted.in_work()[0]: 0})
    other = Queue(redis, lease_seconds=2, max_attempts=1, observer=Metrics())
    counted.reap(), other.reap()
    both = [
        sum(value(queue, name, **labels) for queue in (counted, other))
        for name, labels in (
            ("msaas_runs_ended_total", {"outcome": "lost"}),
            ("msaas_jobs_ended_total", {"result": "failed"}),
        )
    ]
    assert both == [1, 1]


def test_a_failed_run_and_a_failed_job_are_told_apart(redis):
    counted = Queue(redis, lease_seconds=2, max_attempts=2, observer=Metrics())
    queued(counted)
    for _ in range(2):
        counted.fail(counted.claim("worker"), {"code": "x", "detail": "y"}, retry=True)
    assert value(counted, "msaas_runs_ended_total", outcome="failed") == 2
    assert value(counted, "msaas_jobs_ended_total", result="failed") == 1


def test_giving_back_and_cancelling_are_counted(counted):
    songhash = queued(counted)
    counted.release(counted.claim("worker"))
    counted.cancel(songhash)
    counted.cancel(songhash)
    assert value(counted, "msaas_runs_ended_total", outcome="given_back") == 1
    assert value(counted, "msaas_jobs_ended_total", result="cancelled") == 1


def test_a_result_that_cannot_be_counted_is_finished_all_the_same(counted, caplog):
    queued(counted)
    assert counted.finish(counted.claim("worker"), {"stems": {}}, 40.0)
    assert "not counted" in caplog.text


def test_the_api_tells_the_queues_lengths(environ, counted, storage):
    queued(counted)
    client = build_app(Settings.from_env(environ), queue=counted, storage=storage).test_client()
    page = client.get("/metrics")
    assert page.status_code == 200
    assert page.content_type.startswith("text/plain")
    for line in ("msaas_queue_waiting 1.0", "msaas_queue_in_work 0.0", "msaas_queue_dead 0.0", "msaas_redis_up 1.0"):
        assert line in page.text.splitlines()


def test_the_api_answers_without_redis_and_leaves_the_lengths_out(environ, storage):
    away = environ | {"REDIS_HOST": "127.0.0.1:1"}
    client = build_app(Settings.from_env(away), storage=storage).test_client()
    page = client.get("/metrics")
    assert page.status_code == 200
    assert "msaas_redis_up 0.0" in page.text
    assert "msaas_queue_" not in page.text


def test_requests_are_counted_by_route_not_by_song(environ, counted, storage):
    client = build_app(Settings.from_env(environ), queue=counted, storage=storage).test_client()
    for _ in range(3):
        client.get(f"/apiv1/jobs/{uuid.uuid4()}")
    client.get("/nowhere/at/all")
    routes = set(
        re.findall(r'msaas_http_request_seconds_count\{method="GET",route="([^"]+)"', client.get("/metrics").text)
    )
    assert routes == {"/apiv1/jobs/<songhash>", "none"}


def test_a_worker_has_its_own_page():
    metrics = Metrics()
    metrics.watch_worker(lambda: True)
    server = serve_health(
        0, alive=lambda: (True, {}), ready=lambda: (True, {}), metrics=metrics.render, host="127.0.0.1"
    )
    try:
        page = requests.get(f"http://127.0.0.1:{server.server_address[1]}/metrics", timeout=60)
        assert "msaas_worker_ready 1.0" in page.text
        assert page.headers["Content-Type"].startswith("text/plain")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("outcomes", "counted_as"),
    [
        ([AttemptOutcome(204)], {"delivered": 1}),
        ([AttemptOutcome(503), AttemptOutcome(204)], {"failed": 1, "delivered": 1}),
        ([AttemptOutcome(503), AttemptOutcome(503)], {"failed": 1, "given_up": 1}),
        ([AttemptOutcome(410)], {"given_up": 1}),
        ([AttemptOutcome(error="private", refused=True)], {"refused": 1}),
    ],
)
def test_each_attempt_at_a_callback_is_counted_by_what_came_of_it(counted, outcomes, counted_as):
    called_back(counted, Outbox(counted.redis), list(outcomes))
    assert callbacks_counted(counted) == counted_as


def test_an_attempt_that_outlived_its_lease_is_not_counted(counted):
    class Overtaken(Outbox):
        def settle(self, *_):
            return False

    called_back(counted, Overtaken(counted.redis), [AttemptOutcome(204)])
    assert callbacks_counted(counted) == {}


def called_back(queue, outbox, outcomes):
    """A job ends, and its callback's attempts come to `outcomes`, each due at once."""
    posting = CallbackRequest.new(Target.parse("http://203.0.113.7/hook"), "http://203.0.113.7/hook", None)
    songhash = str(uuid.uuid4())
    queue.submit(songhash, {"model": "htdemucs_mini", "upload": UPLOAD}, callback=posting.args)
    queue.cancel(songhash)
    sender = Sender(outbox, lambda _: outcomes.pop(0), delays=(0, 0), settled=queue.observer.called_back)
    while outcomes:
        [taken] = outbox.take(1, limit=2)
        sender.attempt(taken)


def callbacks_counted(queue):
    outcomes = ("delivered", "failed", "given_up", "refused")
    numbers = {outcome: value(queue, "msaas_callback_attempts_total", outcome=outcome) for outcome in outcomes}
    return {outcome: number for outcome, number in numbers.items() if number}


def test_alerts_and_dashboard_ask_for_numbers_that_there_are(counted):
    counted.observer.watch_queue(counted)
    counted.observer.watch_worker(lambda: True)
    there = {f"{family.name}{suffix}" for family in counted.observer.registry.collect() for suffix in SUFFIXES}
    panels = json.loads((DEPLOY / "components" / "monitoring" / "dashboard.json").read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    alerts = [rule["expr"] for rule in alert_rules()]
    for expressions in (shown, alerts):
        asked = {name for expression in expressions for name in NAMES.findall(expression)}
        assert asked <= there
    assert len(shown) > 12
    assert len(alerts) > 4


def test_every_alert_says_what_to_do(counted):
    for rule in alert_rules():
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert {"summary", "description"} <= set(rule["annotations"]), rule["alert"]


def alert_rules():
    rules = named(render("full"), "PrometheusRule", "msaas")
    return [rule for group in rules["spec"]["groups"] for rule in group["rules"]]


SUFFIXES = ("", "_total", "_bucket", "_sum", "_count")
NAMES = re.compile(r"\b(?:msaas|process)_[a-z_]+")


class Away:
    """A queue that cannot be asked."""

    def counts(self):
        raise QueueUnavailable("away")


def test_an_outage_is_no_error_of_the_page():
    metrics = Metrics()
    metrics.watch_queue(Away())
    assert b"msaas_redis_up 0.0" in metrics.render()
