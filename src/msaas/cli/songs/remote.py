"""Separates songs by a service: uploads all, to keep its queue busy, and waits for each in turn."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

from msaas.cli.service import RETRIES as FIRST_RETRIES
from msaas.cli.service import client_of
from msaas.cli.songs.folders import NAMED_SONG, StemFolders, scratch
from msaas.cli.songs.inputs import SongAddress, SongTask, open_song
from msaas.cli.songs.progress import Progress
from msaas.cli.songs.stem_files import SongResult
from msaas.client import Client, Job, Unreachable
from msaas.errors import MSaaSError
from msaas.options import REQUEST_NAMES

# Some five minutes: enough for a restarting service or a laptop that changes networks.
RETRIES = 35
POLL_SECONDS = 0.2


class Stopped(Exception):
    """Ctrl-C, raised in the sending thread."""


def outcomes(tasks: Sequence[SongTask], args: argparse.Namespace) -> Iterator[SongResult]:
    """Raises MSaaSError if the service cannot be reached at the start."""
    with client_of(args, retries=FIRST_RETRIES) as client:
        client.models()  # a call that any key may make
    options = {name: getattr(args, name) for name in (*REQUEST_NAMES, "priority")}
    with RemoteBatch(args, options) as batch:
        yield from batch.separate(tasks)


class RemoteBatch:
    """One thread uploads, this one waits and downloads; each has its own client."""

    def __init__(self, args: argparse.Namespace, options: dict[str, Any]) -> None:
        self._options, self._out, self._folders = options, args.out, StemFolders()
        self._named = args.names == NAMED_SONG
        self._stopping = threading.Event()
        self._sender = client_of(args, retries=RETRIES, sleep=self._sleep)
        self._client = client_of(args, retries=RETRIES, sleep=self._sleep)
        self._unreachable: Unreachable | None = None

    def __enter__(self) -> RemoteBatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._stopping.set()  # the sender is a daemon thread: no need to wait for it
        self._client.close()
        if kind is KeyboardInterrupt:
            sys.stderr.write("stopped; uploaded songs stay in the queue: the same command resumes them\n")

    def separate(self, tasks: Sequence[SongTask]) -> Iterator[SongResult]:
        submissions = [Submission(task.song, self._check) for task in tasks]
        threading.Thread(target=self._send, args=(submissions,), name="sender", daemon=True).start()
        for task, submission in zip(tasks, submissions, strict=True):
            yield self._finish(task, submission)

    def _send(self, submissions: Sequence[Submission]) -> None:
        for submission in submissions:
            try:
                if self._unreachable:
                    raise self._unreachable
                self._check()
                submission.send(self._sender, self._options)
            except BaseException as error:  # re-raised in the waiting thread
                submission.job.set_exception(error)

    def _finish(self, task: SongTask, submission: Submission) -> SongResult:
        songhash = None
        try:
            with Progress(task.song.name) as progress:
                sent = submission.wait(progress)
                songhash = sent.songhash
                job = self._client.wait(sent, on_progress=progress.show)
            return SongResult.done(task, job, self._download(task, job, submission.sha256 or job.songhash))
        except Unreachable as error:
            self._unreachable = error  # the following songs need not retry
            return SongResult.failed(task, error, songhash)
        except (MSaaSError, OSError, ValueError) as error:
            return SongResult.failed(task, error, songhash)

    def _download(self, task: SongTask, job: Job, sha256: str) -> dict[str, Path]:
        """All stems or none: after a broken connection an earlier run's stems stay complete."""
        with scratch(self._out) as part:
            stems = self._client.download(job, part, named=self._named)
            return self._folders.put(stems, task.folder, song=task.song.name, sha256=sha256)

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped


class Submission:
    """The upload of one song. `show` is called by the sending thread, `wait` by the waiting one."""

    def __init__(self, song: Path | SongAddress, check: Callable[[], None]) -> None:
        self.song, self._check = song, check
        self.sha256 = ""  # of its bytes, once it is sent
        self.job: futures.Future[Job] = futures.Future()
        self._view = Job("", "waiting to be sent")

    def send(self, client: Client, options: Mapping[str, Any]) -> None:
        """Raises OSError, and what Client.submit raises."""
        if isinstance(self.song, SongAddress):
            self.job.set_result(client.submit_url(self.song, **options))
            return
        with open_song(self.song) as file, client.opened(file, self.song.name) as song:
            self.sha256 = song.sha256()
            self.job.set_result(client.submit(song, on_upload=self.show, **options))

    def show(self, sent: int, size: int) -> None:
        self._check()
        self._view = Job("", "sending", progress=sent / max(size, 1))

    def wait(self, progress: Progress) -> Job:
        """Raises what sending raised."""
        while not futures.wait([self.job], POLL_SECONDS).done:
            progress.show(self._view)
        return self.job.result()
