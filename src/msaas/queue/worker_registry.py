"""The registry of live workers and their models, which they announce every few seconds. Independent of jobs.

A stopping worker withdraws; a lost one expires after OFFER_SECONDS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from redis import Redis

from msaas.error_codes import WAIT_CODES
from msaas.jobs import record_json
from msaas.queue import scripts
from msaas.queue.position import QueueAhead

WORKERS = "workers"
ANNOUNCE_SECONDS = 5.0
OFFER_SECONDS = 20.0
MODEL_WITHDRAWN_SECONDS = 300  # until a worker offers a model again that it could not load


@dataclass(frozen=True)
class Worker:
    """`models`: what it runs, empty until it is ready. `reason`: the reason that it is not ready. `faults`: the models
    that it could not load, and why."""

    name: str
    models: tuple[str, ...] = ()
    reason: str = ""
    code: str = ""  # of the reason, if waiting jobs report it: one of error_codes.WAIT_CODES
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return bool(self.models)


@dataclass(frozen=True)
class Workers:
    """All live workers."""

    live: tuple[Worker, ...] = ()

    @property
    def ready(self) -> int:
        return sum(worker.ready for worker in self.live)

    def without(self, name: str) -> Workers:
        return Workers(tuple(worker for worker in self.live if worker.name != name))

    def offering(self, *models: str) -> int:
        """The number of workers that run all these models; a job without a model is run by any, with its default."""
        needed = set(filter(None, models))
        return sum(needed <= set(worker.models) for worker in self.live) if needed else self.ready

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(sorted({model for worker in self.live for model in worker.models}))

    @property
    def faulty(self) -> tuple[str, ...]:
        """The models that a worker could not load."""
        return tuple(sorted({model for worker in self.live for model in worker.faults}))

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons why workers cannot start songs, as text."""
        return tuple(sorted({worker.reason for worker in self.live if worker.code}))

    def runnable(self, line: QueueAhead) -> QueueAhead:
        """Leaves out songs that no live worker can run, since others overtake them."""
        return replace(line, ahead=tuple(job for job in line.ahead if self.offering(*job.models)))

    def why_waiting(self, *models: str) -> dict[str, str] | None:
        """Code and detail if no live worker can run all the models; None if one can."""
        if self.offering(*models):
            return None
        if not self.ready and (blocked := [worker for worker in self.live if worker.code]):
            return {"code": blocked[0].code, "detail": f"songs cannot start: {blocked[0].reason}"}
        if not self.ready:
            return {"code": "no_worker", "detail": "no worker is ready yet; the song waits for one"}
        return {"code": "model_not_offered", "detail": self._not_offered(models)}

    def _not_offered(self, models: tuple[str, ...]) -> str:
        reasons = {model: reason for worker in self.live for model, reason in worker.faults.items() if model in models}
        if reasons:
            why = "; ".join(f"{model} could not be loaded: {reason}" for model, reason in sorted(reasons.items()))
            return f"{why}. The song waits; workers try again every {MODEL_WITHDRAWN_SECONDS // 60} minutes"
        offered = ", ".join(self.models)
        return f"no live worker offers {' and '.join(models)} (available: {offered}); the song waits for one"


class WorkerRegistry:
    """The Redis hash `workers`. Raises RedisError, which Queue translates."""

    def __init__(self, redis: Redis) -> None:
        self.redis: Any = redis
        self._announce = scripts.load(redis, "workers/announce")

    def announce(self, worker: Worker) -> None:
        announcement = record_json(
            {"models": worker.models, "trouble": worker.reason, "code": worker.code, "faults": dict(worker.faults)}
        )
        self._announce(keys=[WORKERS], args=[worker.name, int(OFFER_SECONDS * 1000), announcement])

    def withdraw(self, name: str) -> None:
        self.redis.hdel(WORKERS, name)

    def workers(self) -> Workers:
        with self.redis.pipeline(transaction=False) as pipe:
            (seconds, microseconds), announcement = pipe.time().hgetall(WORKERS).execute(raise_on_error=False)
        now_ms = seconds * 1000 + microseconds // 1000
        return Workers(tuple(_live(announcement.items(), now_ms))) if isinstance(announcement, dict) else Workers()


def _live(announcement: Iterable[tuple[str, str]], now_ms: int) -> Iterable[Worker]:
    """Skips invalid entries, which were written by hand."""
    for name, text in announcement:
        until_ms, _, about = text.partition(" ")
        try:
            body = json.loads(about)
            if int(until_ms) > now_ms:
                code = body.get("code") if body.get("code") in WAIT_CODES else ""
                faults = {str(model): str(reason) for model, reason in body.get("faults", {}).items()}
                yield Worker(name, tuple(map(str, body["models"])), str(body["trouble"]), code, faults)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
