"""Prometheus metrics of one process. Does not change jobs, and never fails one.

Metrics are a QueueObserver: the process whose move Redis accepted counts it, so the sum over all pods counts every job
once. The queue's lengths come from Redis: every API pod reports the same, so take their maximum.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily

from msaas.errors import QueueUnavailable
from msaas.jobs import State
from msaas.queue import Claim, Queue, QueueObserver

CONTENT_TYPE = CONTENT_TYPE_LATEST
BYTES = (100_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000, 300_000_000, 1_000_000_000)
SONG_SECONDS = (30, 60, 120, 180, 240, 300, 600, 1800, 3600, 7200, 14400)
WAIT_SECONDS = (0.5, 1, 2, 5, 15, 60, 300, 900, 3600, 14400)
STAGE_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 180, 600, 1800, 7200)
REAL_TIME_FACTORS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
# The outcome of an attempt, by the callback's state after it.
CALLBACK_OUTCOMES = {"delivered": "delivered", "pending": "failed", "failed": "given_up", "refused": "refused"}
REQUEST_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600)


# slow headers, slow transfers; the address with the most connections, the caller with the most requests
DROP_REASONS = ("headers_too_late", "too_slow", "too_many_connections", "callers_slowest")


FETCH_RESULTS = ("fetched", "failed", "cancelled")


class FetchMetrics(QueueObserver):
    """Counts how fetches end. Their jobs and runs are not those of songs."""

    def __init__(self, ended: Counter) -> None:
        self.ended = ended

    def fetched(self) -> None:
        self.ended.labels("fetched").inc()

    def cancelled(self) -> None:
        self.ended.labels("cancelled").inc()

    def failed(self, *, final: bool) -> None:
        if final:
            self.ended.labels("failed").inc()

    def reaped(self, outcomes: Mapping[str, str]) -> None:
        for outcome in outcomes.values():
            if outcome == State.FAILED:
                self.ended.labels("failed").inc()


MIX_RESULTS = ("done", "failed", "cancelled")


class MixMetrics(FetchMetrics):
    """Counts how mixes end."""

    def finished(self, result: Mapping[str, Any], audio_seconds: float) -> None:  # noqa: ARG002
        self.ended.labels("done").inc()


class Metrics(QueueObserver):
    """One process's counters, in their own registry. `render()` returns the /metrics page."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        self.jobs_submitted = counter("msaas_jobs_submitted_total", "Songs queued")
        self.upload_bytes = histogram("msaas_upload_bytes", "Size of the songs queued", buckets=BYTES)
        self.upload_seconds = histogram(
            "msaas_upload_duration_seconds", "Length of the songs queued", buckets=SONG_SECONDS
        )
        self.waited = histogram("msaas_job_wait_seconds", "From queued to first claimed", buckets=WAIT_SECONDS)
        self.ended = counter("msaas_jobs_ended_total", "Jobs that ended: done, failed, cancelled", ["result"])
        self.runs = counter("msaas_runs_ended_total", "Runs that ended: done, failed, given_back, lost", ["outcome"])
        self.aged_out = counter(
            "msaas_jobs_aged_out_total", "Expired jobs, deleted after MSAAS_RETENTION_HOURS with songs and stems"
        )
        self.audio_seconds = counter("msaas_audio_seconds_total", "Seconds of audio separated", ["model"])
        self.run_seconds = counter("msaas_separation_seconds_total", "Seconds that its separation took", ["model"])
        self.real_time_factor = histogram(
            "msaas_real_time_factor", "Seconds a second of audio took, by job", ["model"], buckets=REAL_TIME_FACTORS
        )
        self.stage_seconds = histogram(
            "msaas_stage_seconds", "Seconds a job spent in a stage", ["stage"], buckets=STAGE_SECONDS
        )
        self.callbacks = counter(
            "msaas_callback_attempts_total",
            "Attempts at callbacks: delivered, failed (retried), given_up, refused",
            ["outcome"],
        )
        self.fetches = FetchMetrics(
            counter("msaas_fetches_ended_total", "Songs by address: fetched, failed, cancelled", ["result"])
        )
        self.mixes = MixMetrics(counter("msaas_mixes_ended_total", "Mixes: done, failed, cancelled", ["result"]))
        self.refused = counter("msaas_requests_refused_total", "Requests refused because of key or quota", ["code"])
        self.requests = histogram(
            "msaas_http_request_seconds",
            "Requests the API answered",
            ["method", "route", "status"],
            buckets=REQUEST_SECONDS,
        )
        self.dropped = counter(
            "msaas_connections_dropped_total", "Connections closed by the API, by reason", ["reason"]
        )
        self._create_at_zero()

    def note_dropped(self, reason: str) -> None:
        self.dropped.labels(reason).inc()

    def note_refused(self, code: str) -> None:
        self.refused.labels(code).inc()

    def note_alive(self, method: str) -> None:
        """/healthz is answered before the code that measures requests."""
        self.requests.labels(method, "/healthz", "200").observe(0)

    def _create_at_zero(self) -> None:
        """Creates all counters at 0: Prometheus does not see the first increment of a counter that starts at 1."""
        for counter, labels in (
            (self.ended, (State.DONE, State.FAILED, State.CANCELLED)),
            (self.runs, ("done", "failed", "given_back", "lost")),
            (self.callbacks, CALLBACK_OUTCOMES.values()),
            (self.dropped, DROP_REASONS),
            (self.fetches.ended, FETCH_RESULTS),
            (self.mixes.ended, MIX_RESULTS),
        ):
            for label in labels:
                counter.labels(label)

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def watch_queue(self, queue: Queue) -> None:
        """Adds the queue's lengths to the page, read at each scrape."""
        self.registry.register(QueueLengths(queue))

    def watch_worker(self, ready: Callable[[], bool]) -> None:
        gauge = Gauge("msaas_worker_ready", "1 while the model is loaded", registry=self.registry)
        gauge.set_function(lambda: float(ready()))

    # --- the queue's hooks

    def submitted(self, fields: Mapping[str, str]) -> None:
        self.jobs_submitted.inc()
        upload = json.loads(fields.get("upload", "{}"))
        if "bytes" in upload:
            self.upload_bytes.observe(upload["bytes"])
        if upload.get("duration_seconds"):
            self.upload_seconds.observe(upload["duration_seconds"])

    def cancelled(self) -> None:
        self.ended.labels(State.CANCELLED).inc()

    def claimed(self, claim: Claim) -> None:
        job = claim.job
        if job.attempts == 1 and job.created_at is not None and job.started_at is not None:
            self.waited.observe(max(0.0, job.started_at - job.created_at))

    def finished(self, result: Mapping[str, Any], audio_seconds: float) -> None:
        self.runs.labels("done").inc()
        self.ended.labels(State.DONE).inc()
        model, timings = str(result["model"]["name"]), result.get("timings", {})
        self.audio_seconds.labels(model).inc(audio_seconds)
        self.run_seconds.labels(model).inc(timings.get("total", 0))
        if audio_seconds > 0 and timings.get("total"):
            self.real_time_factor.labels(model).observe(timings["total"] / audio_seconds)
        for stage, seconds in timings.items():
            self.stage_seconds.labels(stage).observe(seconds)

    def failed(self, *, final: bool) -> None:
        self.runs.labels("failed").inc()
        if final:
            self.ended.labels(State.FAILED).inc()

    def released(self) -> None:
        self.runs.labels("given_back").inc()

    def retired(self) -> None:
        self.aged_out.inc()

    def reaped(self, outcomes: Mapping[str, str]) -> None:
        """Other outcomes clean up after runs that were counted."""
        for outcome in outcomes.values():
            if outcome in (State.QUEUED, State.FAILED):
                self.runs.labels("lost").inc()
            if outcome == State.FAILED:
                self.ended.labels(State.FAILED).inc()

    # --- other hooks

    def called_back(self, state: str) -> None:
        """An attempt at a callback. `state`: its state after the attempt."""
        self.callbacks.labels(CALLBACK_OUTCOMES[state]).inc()


class QueueLengths:
    """Read by the registry at each scrape. With Redis away, the page has `msaas_redis_up 0` and no lengths."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # so that registering does not call Redis

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            counts = self.queue.counts()
        except QueueUnavailable:
            yield GaugeMetricFamily("msaas_redis_up", "1 while Redis answers", value=0)
            return
        yield GaugeMetricFamily("msaas_redis_up", "1 while Redis answers", value=1)
        yield GaugeMetricFamily("msaas_queue_waiting", "Songs waiting in toWorkers", value=counts.waiting)
        yield GaugeMetricFamily("msaas_queue_in_work", "Songs being separated", value=counts.in_work)
        yield GaugeMetricFamily("msaas_queue_dead", "Dead-lettered songs", value=counts.dead)
