"""The supervisor's handle on the separation process: starts it, sends it songs, stops it. Independent of jobs.

A run is ended if it reports no progress for the stall limit, however long it takes in total.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from msaas import interpreter
from msaas.errors import Cancelled, ChildDied, MSaaSError, OutOfMemory
from msaas.separation import PROCESS_ENVIRONMENT
from msaas.settings.credentials import without_credentials
from msaas.worker.memory import MemoryGauge
from msaas.worker.protocol import Task, line

log = logging.getLogger(__name__)

COMMAND = interpreter.command("-m", "msaas.worker.child")
# How long a cancelled run may take to stop before it is killed: with the heartbeat's second, cancelling takes at most
# two.
STOP_SECONDS = 0.8
POLL_SECONDS = 0.1


class TaskFailed(MSaaSError):
    """The process reported a failed run; `retry`: whether another run may succeed. `model`: as in
    protocol.failure."""

    def __init__(self, code: str, detail: str, *, retry: bool, model: str = "") -> None:
        super().__init__(detail)
        self.code, self.retry, self.model = code, retry, model


class SeparationProcess:
    """One process at a time, started when needed. It exits once the supervisor closes its input."""

    def __init__(self, *, stall_seconds: float, command: Sequence[str] = COMMAND) -> None:
        self.command, self.stall_seconds = tuple(command), stall_seconds
        self.ready: dict[str, Any] | None = None
        self.not_ready_reason = "the separation process has not started yet"
        self.loaded: tuple[str, ...] = ()  # the models that it has in memory
        self.permanent_failure = False  # the process reported that a restart will not help
        self._process: subprocess.Popen[str] | None = None
        self.gauge: MemoryGauge | None = None
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ensure_ready(self, give_up: Callable[[], bool]) -> bool:
        """Starts the process if necessary and waits until its model is loaded. On failure it returns False, with
        `not_ready_reason` set."""
        if self.alive and self.ready is not None:
            return True
        self._start()
        try:
            self.ready = self._until("ready", give_up, lambda _stage, _fraction: None)
            self.not_ready_reason = ""
        except MSaaSError as error:
            self.not_ready_reason = f"{error.code}: {error}"
            self.permanent_failure = isinstance(error, TaskFailed) and not error.retry
            self.kill()
        return self.ready is not None

    def separate(
        self, task: Task, give_up: Callable[[], bool], progress: Callable[[str, float], None]
    ) -> dict[str, Any]:
        """Runs one task and returns the process's report.

        Raises TaskFailed if the process reports a failure or crashed for lack of memory, ChildDied if it ended
        otherwise or stalled, Cancelled once `give_up()` returns True.
        """
        process = self._process
        if process is None or process.stdin is None:
            raise ChildDied("the separation process is not running")
        try:
            process.stdin.write(task.to_message())
            process.stdin.flush()
        except OSError as error:
            self.kill()
            raise ChildDied(f"the separation process accepts no commands: {error}") from error
        try:
            return self._until("done", give_up, progress)
        except TaskFailed as error:
            if error.code == OutOfMemory.code:  # after running out of memory, little is left for the next song
                self.kill()
            raise

    def kill(self) -> None:
        """Kills the process."""
        process, self._process, self.ready = self._process, None, None
        self.loaded = ()
        if self.gauge is not None:
            self.gauge.stop()
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self) -> None:
        self.kill()
        self._messages = queue.SimpleQueue()
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**PROCESS_ENVIRONMENT, **interpreter.environment(without_credentials(os.environ))},
        )
        assert self._process.stdout is not None  # noqa: S101 - requested above
        self.gauge = MemoryGauge(self._process.pid)
        threading.Thread(
            target=_read, args=(self._process.stdout, self._messages), name="separation-output", daemon=True
        ).start()

    def _until(
        self, wanted: str, give_up: Callable[[], bool], progress: Callable[[str, float], None]
    ) -> dict[str, Any]:
        last_message_at = time.monotonic()
        while True:
            if give_up():
                self._stop_run()
                raise Cancelled("the run was cancelled")
            if time.monotonic() - last_message_at > self.stall_seconds:
                self.kill()
                raise ChildDied(f"no progress for {self.stall_seconds:g} seconds; the separation process was ended")
            try:
                message = self._next_message(POLL_SECONDS)
            except queue.Empty:
                continue
            last_message_at = time.monotonic()
            if message is None:
                raise self._ended()
            if wanted in message:
                return dict(message[wanted])
            _report(message, progress)

    def _next_message(self, timeout_seconds: float) -> dict[str, Any] | None:
        """None: the process has ended. Raises queue.Empty."""
        message = self._messages.get(timeout=timeout_seconds)
        if message and "loaded" in message:
            self.loaded = tuple(message["loaded"])
        return message

    def _stop_run(self) -> None:
        """Sends a stop first, since a process that stops by itself keeps its model; then kills it."""
        if self._process is None or self._process.stdin is None or self.ready is None:
            self.kill()
            return
        try:
            self._process.stdin.write(line({"stop": True}))
            self._process.stdin.flush()
            self._drain_until_ended()
        except (OSError, queue.Empty, ChildDied):
            self.kill()

    def _drain_until_ended(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while True:
            message = self._next_message(max(deadline - time.monotonic(), 0.001))
            if message is None:
                raise ChildDied("ended while stopping")
            if "done" in message or "failed" in message:
                return

    def _ended(self) -> MSaaSError:
        """The error for a process that ended without an answer. If it crashed with little memory left, that is taken
        for the reason: libraries that get no memory do not always report it."""
        process, gauge = self._process, self.gauge
        status = process.wait() if process else None
        self.kill()
        detail = f"the separation process {_how(status)}"
        near_limit = gauge.near_limit() if gauge else ""
        if near_limit and status not in (0, -signal.SIGKILL):
            return TaskFailed(OutOfMemory.code, f"{detail}; {near_limit}", retry=True)
        return ChildDied(detail)


def _how(status: int | None) -> str:
    if status is None or status >= 0:
        return f"ended in mid-run with exit status {status}"
    hint = " (out of memory, most likely)" if -status == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-status).name}{hint}"


def _report(message: dict[str, Any], progress: Callable[[str, float], None]) -> None:
    if "progress" in message:
        progress(message["progress"]["stage"], message["progress"]["fraction"])
    elif "failed" in message:
        failed = message["failed"]
        raise TaskFailed(failed["code"], failed["detail"], retry=failed["retry"], model=failed["model"])


def _read(pipe: IO[str], messages: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    with contextlib.suppress(ValueError, OSError):  # the pipe was closed, or ended within a line
        for text in pipe:
            messages.put(json.loads(text))
    messages.put(None)
