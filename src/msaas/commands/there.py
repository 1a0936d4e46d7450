"""Songs separated by a service: all are sent, so that its queue stays busy, and waited for in turn."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

from msaas.client import Job, Unreachable
from msaas.commands.outcome import Outcome, Task
from msaas.commands.progress import Progress
from msaas.commands.service import client_of
from msaas.errors import MSaaSError

# Some five minutes: a service that is being replaced, a laptop between two networks.
RETRIES = 35
FIRST_RETRIES = 2  # whether anybody is there at all is soon known
LOOK_SECONDS = 0.2


class Stopped(Exception):
    """Ctrl-C, as the thread that sends hears of it."""


def outcomes(tasks: Sequence[Task], args: argparse.Namespace) -> Iterator[Outcome]:
    """Raises MSaaSError where the service is not there to begin with."""
    with client_of(args, retries=FIRST_RETRIES) as client:
        client.models()  # a call that any key may make
    options = {name: getattr(args, name) for name in ("model", "stems", "two_stems", "format", "bitrate")}
    with Batch(args, options) as batch:
        yield from batch.separate(tasks)


class Batch:
    """One thread sends, this one waits and downloads; each with a client of its own."""

    def __init__(self, args: argparse.Namespace, options: dict[str, Any]) -> None:
        self._options = options
        self._stopping = threading.Event()
        self._sender = client_of(args, retries=RETRIES, sleep=self._sleep)
        self._client = client_of(args, retries=RETRIES, sleep=self._sleep)
        self._gone: Unreachable | None = None

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._stopping.set()  # the sender is a daemon: nobody waits for it
        self._client.close()
        if kind is KeyboardInterrupt:
            sys.stderr.write("stopped; songs that were sent stay in the queue: the same command goes on with them\n")

    def separate(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        sendings = [Sending(task.song, self._check) for task in tasks]
        threading.Thread(target=self._send, args=(sendings,), name="sender", daemon=True).start()
        for task, sending in zip(tasks, sendings, strict=True):
            yield self._see_through(task, sending)

    def _send(self, sendings: Sequence[Sending]) -> None:
        for sending in sendings:
            try:
                if self._gone:
                    raise self._gone
                self._check()
                sending.job.set_result(self._sender.submit(sending.song, on_upload=sending.show, **self._options))
            except BaseException as error:  # carried over to the thread that waits
                sending.job.set_exception(error)

    def _see_through(self, task: Task, sending: Sending) -> Outcome:
        songhash = None
        try:
            with Progress(task.song.name) as progress:
                songhash = sending.wait(progress).songhash
                job = self._client.wait(songhash, on_progress=progress.show)
            return Outcome.done(task, job, self._client.download(job, task.folder))
        except Unreachable as error:
            self._gone = error  # the songs after this one need not find out anew
            return Outcome.failed(task, error, songhash)
        except (MSaaSError, OSError, ValueError) as error:
            return Outcome.failed(task, error, songhash)

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped


class Sending:
    """A song on its way to the service. `show` is called by the thread that sends, `wait` by the one that waits."""

    def __init__(self, song: Path, check: Callable[[], None]) -> None:
        self.song, self._check = song, check
        self.job: futures.Future[Job] = futures.Future()
        self._view = Job("", "waiting to be sent")

    def show(self, sent: int, size: int) -> None:
        self._check()
        self._view = Job("", "sending", progress=sent / max(size, 1))

    def wait(self, progress: Progress) -> Job:
        """Raises what sending raised."""
        while not futures.wait([self.job], LOOK_SECONDS).done:
            progress.show(self._view)
        return self.job.result()
