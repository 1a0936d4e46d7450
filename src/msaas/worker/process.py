"""The supervisor's handle on the separation process: starts it, sends it songs, stops it. Independent of jobs.

A run is ended if it reports no progress for the stall limit, however long it takes in total. A start is ended if the
process says nothing for START_SECONDS, or for the stall limit if that is longer. Several threads may run a
song each; if the process ends, the runs of all of them end.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from msaas import interpreter
from msaas.errors import Cancelled, ChildDied, MSaaSError, OutOfMemory
from msaas.separation import PROCESS_ENVIRONMENT
from msaas.settings.credentials import without_credentials
from msaas.worker.concurrency.mailboxes import Mailbox, Mailboxes, Message
from msaas.worker.memory import MemoryGauge
from msaas.worker.protocol import Task, stop_message

log = logging.getLogger(__name__)

COMMAND = interpreter.command("-m", "msaas.worker.child")
# How long a cancelled run may take to stop before it is killed: with the heartbeat's second, cancelling takes at most
# two.
STOP_SECONDS = 0.8
# Imports come before the first message: torch's take seconds, more on a busy machine. While a model is loaded or
# downloaded, messages come every ten seconds.
START_SECONDS = 300.0
POLL_SECONDS = 0.1

Progress = Callable[[str, float], None]


class TaskFailed(MSaaSError):
    """The process reported a failed run; `retry`: whether another run may succeed. `model`: as in
    protocol.failure."""

    def __init__(self, code: str, detail: str, *, retry: bool, model: str = "") -> None:
        super().__init__(detail)
        self.code, self.retry, self.model = code, retry, model


class SeparationProcess:
    """One process at a time, started when needed. It exits once the supervisor closes its input."""

    def __init__(
        self, *, stall_seconds: float, command: Sequence[str] = COMMAND, start_seconds: float = START_SECONDS
    ) -> None:
        """Without a message for `stall_seconds` a run is ended; a start for `start_seconds`, if that is longer."""
        self.command, self.stall_seconds = tuple(command), stall_seconds
        self.start_seconds = max(start_seconds, stall_seconds)
        self.ready: dict[str, Any] | None = None
        self.not_ready_reason = "the separation process has not started yet"
        self.loaded: tuple[str, ...] = ()  # the models that it has in memory
        self.permanent_failure = False  # the process reported that a restart will not help
        self._started: _Started | None = None
        self._starting = threading.Lock()
        self._changing = threading.Lock()  # _started, ready and loaded

    @property
    def pid(self) -> int | None:
        started = self._started
        return started.process.pid if started else None

    @property
    def alive(self) -> bool:
        started = self._started
        return started is not None and started.process.poll() is None

    @property
    def gauge(self) -> MemoryGauge | None:
        """Of the process that runs now."""
        started = self._started
        return started.gauge if started else None

    def ensure_ready(self, give_up: Callable[[], bool]) -> bool:
        """Starts the process if necessary and waits until its model is loaded. On failure it returns False, with
        `not_ready_reason` set."""
        while not self._starting.acquire(timeout=POLL_SECONDS):  # another thread starts it
            if give_up():
                return False
        try:
            return (self.alive and self.ready is not None) or self._start(give_up)
        finally:
            self._starting.release()

    def separate(self, task: Task, give_up: Callable[[], bool], progress: Progress) -> dict[str, Any]:
        """Runs one task and returns the process's report. Other threads may run other tasks at the same time.

        Raises TaskFailed if the process reports a failure or crashed for lack of memory, ChildDied if it ended
        otherwise or stalled, Cancelled once `give_up()` returns True.
        """
        started = self._started
        if started is None:
            raise ChildDied("the separation process is not running")
        number = started.next_number()
        with started.mailboxes.of(number) as box:
            try:
                started.send(task.to_message(number))
            except (OSError, ValueError) as error:  # ValueError: another run has closed the pipe
                self._end(started)
                raise ChildDied(f"the separation process accepts no commands: {error}") from error
            try:
                return self._until("done", started, box, give_up, progress, number)
            except TaskFailed as error:
                if error.code == OutOfMemory.code:  # after running out of memory, little is left for the next song
                    self._end(started, "another of its songs needed too much memory")
                raise

    def kill(self) -> None:
        """Kills the process."""
        if self._started is not None:
            self._end(self._started)

    def _start(self, give_up: Callable[[], bool]) -> bool:
        self.kill()
        started = self._started = _Started(self.command, self._note)
        try:
            self.ready = self._until("ready", started, started.mailboxes.own, give_up, lambda _stage, _fraction: None)
            self.not_ready_reason = ""
        except MSaaSError as error:
            self.not_ready_reason = f"{error.code}: {error}"
            self.permanent_failure = isinstance(error, TaskFailed) and not error.retry
            self._end(started)
        return self.ready is not None

    def _end(self, started: _Started, why: str = "") -> None:
        """Kills a process, and forgets it if no other has been started since. why: for its other runs."""
        with self._changing:
            if self._started is started:
                self._started, self.ready, self.loaded = None, None, ()
        started.end(why)

    def _note(self, message: Message) -> None:
        if "loaded" in message:
            self.loaded = tuple(message["loaded"])

    def _until(
        self,
        wanted: str,
        started: _Started,
        box: Mailbox,
        give_up: Callable[[], bool],
        progress: Progress,
        number: str = "",
    ) -> dict[str, Any]:
        last_message_at = time.monotonic()
        while True:
            if give_up():
                self._stop_run(started, box, number)
                raise Cancelled("the run was cancelled")
            if time.monotonic() - last_message_at > (self.stall_seconds if number else self.start_seconds):
                self._end(started, "another of its songs made no progress")
                raise ChildDied(self._stalled(of_a_run=bool(number)))
            try:
                message = box.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            last_message_at = time.monotonic()
            if message is None:
                with contextlib.suppress(subprocess.TimeoutExpired):  # its exit status is not there at once
                    started.process.wait(STOP_SECONDS)
                self._end(started)
                raise started.error()
            if wanted in message:
                return dict(message[wanted])
            _report(message, progress)

    def _stalled(self, *, of_a_run: bool) -> str:
        if of_a_run:
            seconds = f"{self.stall_seconds:g} seconds (MSAAS_STALL_SECONDS)"
            return f"no progress for {seconds}; the separation process was ended"
        return f"the separation process said nothing for {self.start_seconds:g} seconds while it started, and was ended"

    def _stop_run(self, started: _Started, box: Mailbox, number: str) -> None:
        """Sends a stop first, since a process that stops by itself keeps its model; then kills it."""
        try:
            if not number:
                raise ChildDied("stopped before it was ready")
            started.send(stop_message(number))
            _drain_until_ended(box)
        except (OSError, ValueError, queue.Empty, ChildDied):
            self._end(started, "another of its songs was cancelled and did not stop in time")


class _Started:
    """A process that was started."""

    def __init__(self, command: Sequence[str], on_message: Callable[[Message], object]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**PROCESS_ENVIRONMENT, **interpreter.environment(without_credentials(os.environ))},
        )
        assert self.process.stdout is not None  # noqa: S101 - requested above
        self.gauge = MemoryGauge(self.process.pid)
        self.mailboxes = Mailboxes(self.process.stdout, on_message)
        self._numbers = itertools.count(1)
        self._writing, self._ending = threading.Lock(), threading.Lock()
        self._why = ""  # it was ended

    def next_number(self) -> str:
        return str(next(self._numbers))

    def send(self, message: str) -> None:
        """Raises OSError, or ValueError if the pipe is closed."""
        assert self.process.stdin is not None  # noqa: S101 - requested above
        with self._writing:
            self.process.stdin.write(message)
            self.process.stdin.flush()

    def end(self, why: str) -> None:
        """Kills it, unless it has ended. why: for the runs that did not cause this."""
        with self._ending:
            if self.process.poll() is None:
                self._why = why
            self.gauge.stop()
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def error(self) -> MSaaSError:
        """The error for a run that got no answer from a process that has ended. If the process crashed with little
        memory left, that is taken for the reason: libraries that get no memory do not always report it."""
        if self._why:
            return ChildDied(f"the separation process was ended: {self._why}")
        status = self.process.wait()
        detail = f"the separation process {_how(status)}"
        near_limit = self.gauge.near_limit()
        if near_limit and status not in (0, -signal.SIGKILL):
            return TaskFailed(OutOfMemory.code, f"{detail}; {near_limit}", retry=True)
        return ChildDied(detail)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended in mid-run with exit status {status}"
    hint = " (out of memory, most likely)" if -status == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-status).name}{hint}"


def _drain_until_ended(box: Mailbox) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while True:
        message = box.get(timeout=max(deadline - time.monotonic(), 0.001))
        if message is None:
            raise ChildDied("ended while stopping")
        if "done" in message or "failed" in message:
            return


def _report(message: Message, progress: Progress) -> None:
    if "progress" in message:
        progress(message["progress"]["stage"], message["progress"]["fraction"])
    elif "failed" in message:
        failed = message["failed"]
        raise TaskFailed(failed["code"], failed["detail"], retry=failed["retry"], model=failed["model"])
