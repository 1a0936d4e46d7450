"""A worker as msaas.worker starts it, around the stub separation process, with a witness and with failpoints armed.

`CHAOS_ROLE` is `worker` or `reaper` (housekeeping alone); `CHAOS_HOUSEKEEPING=0` leaves housekeeping to others.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msaas import failpoints
from msaas.maintenance.housekeeping import Housekeeper
from msaas.queue import Claim, Queue
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.telemetry import logs
from msaas.wiring.stores import build_queue, build_redis, build_storage
from msaas.wiring.worker import build_supervisor
from msaas.worker.process import SeparationProcess
from tests.chaos.lab.history import History
from tests.chaos.processes.failpoint_plan import ArmedFailpoints, mark_redis_commands, parse_plan

STUB = (sys.executable, str(Path(__file__).parents[2] / "worker" / "stub_child.py"))


class Witness(Queue):
    """The queue, with every answer that a worker acts on written down."""

    history: History
    failpoints_armed: ArmedFailpoints
    plan: list[Any]
    current: str = ""

    def claim(self, worker: str, models: Sequence[str] = (), **preference: Any) -> Claim | None:
        claim = super().claim(worker, models, **preference)
        if claim is not None:
            self.current = claim.songhash
            self.history.note("claim", songhash=claim.songhash, fence=claim.fence, attempt=claim.job.attempts)
            self.failpoints_armed.arm(self.plan.pop(0) if len(self.plan) > 1 else self.plan[0] if self.plan else None)
            failpoints.hit("claimed")
        return claim

    def renew(self, claim: Claim, fields: Mapping[str, str] | None = None) -> str:
        answer = super().renew(claim, fields)
        if answer != "kept":
            self.history.note("renew", songhash=claim.songhash, fence=claim.fence, answer=answer)
        return answer

    def finish(self, claim: Claim, result: Mapping[str, Any], audio_seconds: float) -> bool:
        answer = super().finish(claim, result, audio_seconds)
        self.history.note("finish", songhash=claim.songhash, fence=claim.fence, answer=answer)
        return answer

    def fail(self, claim: Claim, error: Mapping[str, Any], *, retry: bool) -> str:
        answer = super().fail(claim, error, retry=retry)
        self.history.note("fail", songhash=claim.songhash, fence=claim.fence, answer=answer, code=error["code"])
        return answer

    def release(self, claim: Claim) -> bool:
        answer = super().release(claim)
        self.history.note("release", songhash=claim.songhash, fence=claim.fence, answer=answer)
        return answer


def witness(settings: Settings, history: History) -> Witness:
    # a hang is noticed before the lease is over: leases of this suite are short
    redis = build_redis(settings, timeout_seconds=3)
    queue = Witness(redis, lease_seconds=settings.lease_seconds, max_attempts=settings.max_attempts)
    queue.history, queue.plan = history, parse_plan(os.environ.get("CHAOS_PLAN", ""))
    queue.failpoints_armed = ArmedFailpoints(history, cancel=lambda: cancel_current(queue))
    return queue


def cancel_current(queue: Witness) -> None:
    found = queue.cancel(queue.current)
    queue.history.note("cancel", songhash=queue.current, found=found)


def be_worker(settings: Settings, queue: Witness, storage: Storage) -> None:
    command = tuple(os.environ["CHAOS_CHILD"].split()) if "CHAOS_CHILD" in os.environ else STUB
    process = SeparationProcess(stall_seconds=settings.stall_seconds, command=command)
    worker = build_supervisor(settings, queue, storage, process)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    if os.environ.get("CHAOS_HOUSEKEEPING", "1") == "1":
        # its own client and no witness: what it sends is none of the worker's steps
        Housekeeper(build_queue(settings), storage).start()
    queue.history.note("up", name=worker.name)
    worker.run()


def be_reaper(queue: Witness, storage: Storage) -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    queue.failpoints_armed.arm(queue.plan[0] if queue.plan else None)
    Housekeeper(queue, storage, every_seconds=0.1).start()
    queue.history.note("up", name="reaper")
    stopped.wait()


def main() -> None:
    settings = Settings.from_env(os.environ)
    logs.set_up(settings.log_level)
    mark_redis_commands()
    queue = witness(settings, History(Path(os.environ["CHAOS_HISTORY"])))
    storage = build_storage(settings, timeout_seconds=5)
    if os.environ.get("CHAOS_ROLE") == "reaper":
        be_reaper(queue, storage)
    else:
        be_worker(settings, queue, storage)


if __name__ == "__main__":
    main()
