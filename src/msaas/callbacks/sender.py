"""Sends the outbox's callbacks in a thread of its own. Does not change jobs.

Every process runs one. A lease in Redis gives each callback to one sender at a time; if it dies, another takes over, so
a receiver may get the same `webhook-id` twice, but never misses it.
"""

from __future__ import annotations

import http.client
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msaas.callbacks import http_post
from msaas.callbacks.outbox import Callback, Outbox
from msaas.callbacks.payload import payload
from msaas.callbacks.schedule import DELAYS_SECONDS, AttemptOutcome, judge
from msaas.callbacks.signing import signed_headers
from msaas.errors import CallbackRefused, QueueUnavailable, RecordBroken
from msaas.maintenance.loop import Loop
from msaas.outbound.connection import Connect, TooSlow, connect_to, reason_of
from msaas.outbound.resolve import resolve
from msaas.outbound.targets import Resolve, TargetPolicy
from msaas.queue import Backoff
from msaas.settings.callback_secrets import Secret

log = logging.getLogger(__name__)

ATTEMPT_SECONDS = 15.0
# Each is a thread that waits for a receiver.
CONCURRENCY, SHARE = 16, 4
ADOPT_EVERY_SECONDS = 60.0
# Longer than an attempt, so that no second one starts while the first may still succeed.
LEASE_SECONDS = 60.0
FIXED_HEADERS = {"Content-Type": "application/json", "User-Agent": "MSaaS"}


@dataclass(frozen=True)
class HttpPost:
    """One attempt: resolve, check, connect, send. Holds what all attempts share."""

    policy: TargetPolicy = field(default_factory=TargetPolicy)
    secrets: Sequence[Secret] = ()
    public_url: str = ""
    attempt_seconds: float = ATTEMPT_SECONDS
    resolve: Callable[[str, int, float], Sequence[str]] = resolve
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    connect: Connect = connect_to

    def __call__(self, callback: Callback) -> AttemptOutcome:
        """Never raises for anything the receiver does."""
        try:
            answer = self._send(callback, time.monotonic() + self.attempt_seconds)
        except CallbackRefused as error:
            notes = " ".join(getattr(error, "__notes__", []))
            log.warning("callback refused id=%s to=%s reason=%r %s", callback.id, callback.origin, str(error), notes)
            return AttemptOutcome(error=str(error), refused=True)
        except RecordBroken as error:
            log.warning("callback not sent id=%s to=%s reason=%s", callback.id, callback.origin, error)
            return AttemptOutcome(error=str(error), refused=True)
        except TooSlow:
            return AttemptOutcome(error=f"no complete answer within {self.attempt_seconds:g} seconds")
        except (OSError, http.client.HTTPException) as error:
            return AttemptOutcome(error=reason_of(error))
        error_text = "" if 200 <= answer.status < 300 else f"answered {answer.status}{_note(answer.status)}"
        return AttemptOutcome(answer.status, error_text, retry_after=answer.retry_after)

    def _send(self, callback: Callback, deadline: float) -> http_post.Answer:
        target, addresses = self.policy.addresses(callback.url, self._resolve_by(deadline))
        body = payload(callback, public_url=self.public_url)
        headers = FIXED_HEADERS | signed_headers(self.secrets, callback.id, int(time.time()), body)
        return http_post.post(
            target, addresses, body, headers, deadline=deadline, context=self.context, connect=self.connect
        )

    def _resolve_by(self, deadline: float) -> Resolve:
        return lambda host, port: self.resolve(host, port, deadline - time.monotonic())


def _note(status: int) -> str:
    return "; redirects are not followed" if 300 <= status < 400 else ""


class Sender:
    """`start` starts the thread; `stop` takes nothing new and waits briefly for callbacks in flight."""

    def __init__(
        self,
        outbox: Outbox,
        post: Callable[[Callback], AttemptOutcome],
        *,
        every_seconds: float = 0.5,
        delays: Sequence[float] = DELAYS_SECONDS,
        concurrency: int = CONCURRENCY,
        share: int = SHARE,
        random: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        settled: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`concurrency`: attempts at once, `share`: of one owner's callbacks. `settled` is called with the state
        that each attempt left its callback in, for the metrics."""
        self.outbox, self.post, self.settled = outbox, post, settled
        self.delays, self.concurrency, self.share = delays, concurrency, share
        self.random, self.now = random, now
        # by owner and origin: one per origin at a time, so that a slow one delays only itself
        self._busy: dict[tuple[str, str], threading.Thread] = {}
        self._lock = threading.Lock()
        self._adopt_at = 0.0  # of time.monotonic()
        self._loop = Loop("callbacks", self.turn, every_seconds)

    def start(self) -> None:
        self._loop.start()

    def stop(self, timeout_seconds: float = 5) -> None:
        """Callbacks still in flight after that come due again when their leases expire."""
        self._loop.stop()
        give_up_at = time.monotonic() + timeout_seconds
        for thread in (self._loop.thread, *self._in_flight().values()):
            if thread.is_alive():
                thread.join(timeout=max(give_up_at - time.monotonic(), 0))

    def turn(self) -> int:
        """Starts due callbacks, as many as fit; returns how many, before they are sent."""
        if time.monotonic() >= self._adopt_at:
            self.outbox.adopt()
            self._adopt_at = time.monotonic() + ADOPT_EVERY_SECONDS
        busy = self._in_flight()
        free = self.concurrency - len(busy)
        if free <= 0:
            return 0
        taken = self.outbox.take(free, limit=len(self.delays), share=self.share, in_flight=busy)
        for callback in taken:
            self._start_attempt(callback)
        return len(taken)

    def _in_flight(self) -> dict[tuple[str, str], threading.Thread]:
        with self._lock:
            return dict(self._busy)

    def _start_attempt(self, callback: Callback) -> None:
        # daemon: a receiver that hangs must not keep the process from exiting
        thread = threading.Thread(target=self._attempt, args=(callback,), name=f"callback-{callback.id}", daemon=True)
        with self._lock:
            self._busy[callback.owner, callback.origin] = thread
        thread.start()

    def _attempt(self, callback: Callback) -> None:
        try:
            self.attempt(callback)
        except Exception:
            log.exception("callback attempt failed id=%s", callback.id)  # its lease makes it due again
        finally:
            with self._lock:
                del self._busy[callback.owner, callback.origin]
            self._loop.wake()  # the next callback for this receiver need not wait for the interval

    def attempt(self, callback: Callback) -> AttemptOutcome:
        """Sends once and records the result."""
        began = time.monotonic()
        outcome = self.post(callback)
        self._settle(callback, outcome, give_up_at=began + self.outbox.lease_seconds)
        log.info(
            "callback id=%s job=%s to=%s attempt=%d outcome=%r seconds=%.2f",
            callback.id,
            callback.songhash,
            callback.origin,
            callback.attempts,
            outcome.error or outcome.status,
            time.monotonic() - began,
        )
        return outcome

    def _settle(self, callback: Callback, outcome: AttemptOutcome, *, give_up_at: float) -> None:
        """Retries while Redis is away, as long as the lease allows: an unrecorded result would be sent again."""
        verdict = judge(outcome, callback.attempts, random=self.random, now=self.now(), delays=self.delays)
        pause = Backoff(self._loop.stopping)
        while True:
            try:
                if self.outbox.settle(callback, verdict, outcome.error):
                    self.settled(verdict.state)
                return
            except QueueUnavailable:
                if time.monotonic() > give_up_at or self._loop.stopping.is_set():
                    raise
                pause.wait()
