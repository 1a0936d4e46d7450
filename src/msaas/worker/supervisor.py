"""Keeps a separation process ready, claims jobs and runs each to its end, several at a time. Never loads a model
itself."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from functools import partial
from typing import Any

from msaas.errors import QueueUnavailable
from msaas.maintenance.loop import ErrorGuard, Loop
from msaas.queue import Backoff, Claim, Queue
from msaas.queue.worker_registry import ANNOUNCE_SECONDS, Worker
from msaas.storage import Storage
from msaas.worker.claim_checks import CHECK_SECONDS, ClaimChecks, ModelOffers
from msaas.worker.concurrency.gate import Gate
from msaas.worker.concurrency.slots import Slot, Slots
from msaas.worker.loop_state import LoopState
from msaas.worker.memory import MemoryWatch
from msaas.worker.options import WorkerOptions
from msaas.worker.process import SeparationProcess
from msaas.worker.run import Run, RunContext
from msaas.worker.scratch import sweep

log = logging.getLogger(__name__)

WAIT_SECONDS = 1  # how long an idle worker may take to notice a stop
MODEL_RETRY_SECONDS = 10
LOOP_STALE_SECONDS = 60
TURN_SECONDS = 1.0  # how often a slot reports that it waits for another to start the process
# How long a worker that has a song leaves a new one to workers that have none.
HESITATE_SECONDS = 0.25
PLACE_SECONDS = 0.1  # between two looks whether there is a place for a further song


class Supervisor:
    """One worker. `run()` returns once `stop()` was called and the current jobs are finished or given back, or if no
    separation process can run here."""

    def __init__(self, options: WorkerOptions, queue: Queue, storage: Storage, process: SeparationProcess) -> None:
        self.options, self.queue, self.storage, self.process = options, queue, storage, process
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.loop = LoopState()
        self._claim_in_doubt = False
        self._prepared = False
        self._preparing, self._claiming = threading.Lock(), threading.Lock()
        self._held: set[str] = set()  # the fences of the current runs
        self._slots = Slots(self._work, self.loop.stopping)
        self.checks = ClaimChecks(storage, options.scratch_dir, options.scratch_free_bytes, changed=self._announce_soon)
        self.models = ModelOffers(options.model, options.allowed_models, changed=self._announce_soon)
        self._announcing = Loop("announcing", self._announce, ANNOUNCE_SECONDS)
        self.memory = MemoryWatch(child_bytes=options.child_memory_bytes)
        self.gate = Gate()
        self._context = RunContext(
            options, queue, storage, process, self.checks, self.memory, self.models, self.loop, self.gate
        )
        self.failed = False  # it stopped by itself, since it cannot run here

    # --- called from elsewhere

    def stop(self) -> None:
        """Stops claiming; the current jobs may finish within the grace period. Idempotent."""
        self.loop.stop(self.options.grace_seconds)

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Returns False if the loop hangs. Waiting for the process is no hang: runs and starts have limits of their
        own."""
        quiet = self.loop.quiet_seconds
        return quiet < LOOP_STALE_SECONDS + self.options.stall_seconds, {"quiet_seconds": round(quiet, 1)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        if blocker := self.checks.blocker:
            return False, {"ready": False, "reason": str(blocker), "code": blocker.code}
        if self.process.ready is None or not self.process.alive:
            return False, {"ready": False, "reason": self.process.not_ready_reason or "the separation process restarts"}
        return True, {"ready": True, "offers": self.offers, **self.process.ready}

    @property
    def offers(self) -> tuple[str, ...]:
        """The models it runs: none until it is ready. A restart of the process during a job changes nothing."""
        return self.models.offered if self._prepared and not self.checks.blocker else ()

    # --- the loop

    def run(self) -> None:
        log.info("worker started name=%s lease_seconds=%g", self.name, self.options.lease_seconds)
        self._sweep_scratch()
        self._announcing.start()
        self._slots.run_first()
        self._announcing.stop()
        self._release_doubtful()
        self.process.kill()
        self._withdraw()
        log.info("worker stopped name=%s", self.name)

    def _work(self, slot: Slot) -> None:
        """One slot's loop."""
        backoff, guard = Backoff(self.loop.stopping), ErrorGuard("worker")
        while not self.loop.stopping.is_set():
            self.loop.alive()
            if guard(partial(self._turn, slot)):
                backoff.reset()
            else:
                backoff.wait()
        self.loop.ended()

    def _turn(self, slot: Slot) -> None:
        while not self._preparing.acquire(timeout=TURN_SECONDS):  # another slot starts the process
            if self._start_is_over():
                return
        try:
            prepared = self._prepare()
        finally:
            self._preparing.release()
        if prepared:
            self._slots.grow_to(self._songs_in_flight())
            self._take_one(slot)

    def _songs_in_flight(self) -> int:
        """Only the process knows its device."""
        ready = self.process.ready or {}
        return self.options.songs_in_flight or int(ready.get("songs", 1))

    def _announce(self) -> None:
        """While stopping it offers nothing."""
        if not self.loop.stopping.is_set():
            blocker = self.checks.blocker
            reason = str(blocker) if blocker else "" if self.offers else self.process.not_ready_reason
            code = blocker.code if blocker else ""
            self.queue.announce(Worker(self.name, self.offers, reason, code, self.models.faults))

    def _announce_soon(self) -> None:
        self._announcing.wake()

    def _withdraw(self) -> None:
        self._announcing.join(ANNOUNCE_SECONDS)  # no announcement may follow
        try:
            self.queue.withdraw(self.name)
        except QueueUnavailable as error:
            log.warning("worker not withdrawn, its registration expires by itself reason=%s", error)

    def _note_prepared(self, prepared: bool) -> None:
        """Announces a change at once, since songs wait for it."""
        if prepared != self._prepared or not prepared:
            self._prepared = prepared
            self._announcing.wake()

    def _sweep_scratch(self) -> None:
        try:
            swept = sweep(self.options.scratch_dir)
        except OSError as error:  # reported by the next check of the disk
            log.warning("scratch folders not swept reason=%s", error)
            return
        if swept:
            log.info("swept scratch folders=%d reason=their workers were killed", swept)

    def _prepare(self) -> bool:
        """A worker without weights claims nothing: others may have them."""
        if self.process.alive and self.process.ready:
            self._note_prepared(True)
            return True
        if shortage := self.memory.shortage(self.options.model, self.queue.model_peak(self.options.model)):
            self.checks.lacks_memory(shortage)
            self._note_prepared(False)
            self.loop.stopping.wait(MODEL_RETRY_SECONDS)
            return False
        self.process.ensure_ready(self._start_is_over)
        ready = self.process.ready  # None again if another slot's run has ended the process
        if ready is not None:
            self.models.found(ready.get("models", ()))
            for model, reason in ready.get("faults", {}).items():
                self.models.withdraw(model, reason)
        self._note_prepared(ready is not None)
        if ready is not None:
            self.queue.publish_model(self.options.model, ready["model"])
            log.info("ready model=%s device=%s", self.options.model, ready["device"])
            return True
        if self.process.permanent_failure:
            log.error("worker cannot run reason=%s", self.process.not_ready_reason)
            self.failed = True
            self.stop()
            return False
        log.error("not ready reason=%s next_try_seconds=%d", self.process.not_ready_reason, MODEL_RETRY_SECONDS)
        self.loop.stopping.wait(MODEL_RETRY_SECONDS)
        return False

    def _start_is_over(self) -> bool:
        """Asked again and again while the process starts, which takes as long as a download of weights. The process has
        its own limit."""
        self.loop.alive()
        return self.loop.stopping.is_set()

    def _take_one(self, slot: Slot) -> None:
        with self._claiming:
            may_claim = self.checks.may_claim()
        if not may_claim:
            self._sweep_scratch()
            self.loop.stopping.wait(CHECK_SECONDS)
            return
        claim = self._claim_for(slot)
        slot.idle = claim is None
        if claim is None:
            self._wait_for_songs(slot)
            return
        slot.for_others = False
        slot.pauses.reset()
        log.info("claimed job=%s attempt=%d fence=%s", claim.songhash, claim.job.attempts, claim.fence)
        try:
            Run(self._context, claim).execute()
        finally:
            self._held.discard(claim.fence)

    def _wait_for_songs(self, slot: Slot) -> None:
        """Songs of other models stay where they are, for the workers that run them. The queue's wait ends at once
        while they are there, so the worker pauses between two checks."""
        if not self._has_place():
            self.loop.stopping.wait(PLACE_SECONDS)
            return
        if slot.for_others:
            slot.pauses.wait()
        slot.for_others = self.queue.wait(WAIT_SECONDS)

    def _claim_for(self, slot: Slot) -> Claim | None:
        """A song that has just come is left for a moment to workers that have none."""
        with self._claiming:
            if not (slot.idle and self._held):
                return self._claim() if self._has_place() else None
        self.loop.stopping.wait(HESITATE_SECONDS)
        with self._claiming:
            return self._claim() if self._has_place() and not self.loop.stopping.is_set() else None

    def _has_place(self) -> bool:
        """Whether a song that is claimed now could start: otherwise it is left to other workers."""
        return self.gate.open and not (self.gate.is_narrow and self._held)

    def _claim(self) -> Claim | None:
        """Finds a claim whose answer was lost, before the next claim: it belongs to this worker."""
        if self._claim_in_doubt:
            self._release_lost_claims()
        self._claim_in_doubt = True
        claim = self.queue.claim(
            self.name,
            self.models.offered,
            loaded=self.process.loaded,
            max_overtaking=self.options.loaded_first_songs,
        )
        self._claim_in_doubt = False
        if claim is not None:
            self._held.add(claim.fence)
        return claim

    def _release_lost_claims(self) -> None:
        for lost in self.queue.claims_of(self.name):
            if lost.fence not in self._held:
                self.queue.release(lost)

    def _release_doubtful(self) -> None:
        """Called last when stopping: a job claimed unknowingly need not wait for its lease to expire."""
        if not self._claim_in_doubt:
            return
        try:
            self._release_lost_claims()
        except QueueUnavailable as error:
            log.warning("an unconfirmed claim is left to expire reason=%s", error)
