"""`msaas demo`: sends one song through the whole service. Uses the folder's running stack, or starts one on a free
port.

Deletes nothing: stems of an earlier song are overwritten by name, each once its replacement is complete.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from msaas.cli.paths import output_folder
from msaas.cli.songs.folders import stems_in
from msaas.cli.songs.inputs import STANDARD_INPUT, open_song, song_argument
from msaas.cli.songs.progress import Progress
from msaas.client import Client, Job
from msaas.client.names import printable
from msaas.errors import MSaaSError
from msaas.local.folder import Folder, LiveStack
from msaas.local.plan import Plan
from msaas.local.processes.child import Interrupted
from msaas.local.processes.stack import POLL_SECONDS, StopSignals, wait_for
from msaas.local.shipped import shipped_folders
from msaas.local.stream import framed
from msaas.local.up import local_stack
from msaas.settings import Settings

SAMPLE = "harbour-lights.mp3"  # in data/
STEMS = Path("stems")
LOG = "demo.log"
LIVE_LIMIT_SECONDS = 900.0  # for a stack that another command is starting
INTERRUPTED_STATUS = 130  # a shell's status for Ctrl-C

Report = Callable[[str], None]


class SongMissing(MSaaSError):
    """The input file does not exist."""

    code = "song_missing"


class SongFailed(MSaaSError):
    """The service accepted the song but made no stems."""

    code = "song_failed"


@dataclass(frozen=True)
class DemoStack:
    """The stack that the demo uses, and a function that supervises it until `done()`."""

    url: str
    warning: tuple[str, ...]
    supervise: Callable[[Callable[[], bool]], None]


def find_song(given: str | None) -> Path:
    """The given song, or the sample in data/. Raises SongMissing."""
    if given:
        song = Path(os.path.expanduser(song_argument(given)))  # noqa: PTH111 (pathlib raises for a missing home)
        if song != STANDARD_INPUT and (wrong := _why_unreadable(song)):
            raise SongMissing(f"{printable(song)} {wrong}; give the path of a song")
        return song
    for base in shipped_folders():
        if (sample := base / "data" / SAMPLE).is_file():
            return sample
    raise SongMissing(f"data/{SAMPLE} is missing; give a song: make demo SONG=path")


def _why_unreadable(song: Path) -> str:
    if os.path.isdir(song):  # noqa: PTH112 (pathlib raises for some paths)
        return "is a folder"
    if not os.path.lexists(song):
        return "does not exist"
    return "" if os.access(song, os.R_OK) else "cannot be read"


def demo(plan: Plan, song: str | None, stems: Path = STEMS, report: Report = print) -> int:
    """Raises MSaaSError on failure; returns 130 after Ctrl-C or SIGTERM."""
    path = find_song(song)
    stopping = StopSignals().install()
    try:
        with output_folder(stems), _stack(plan, lambda: bool(stopping), report) as stack:
            _SongRun(stack, path, stems, lambda: bool(stopping), report).run()
    except Interrupted:
        report("stopped")
        return INTERRUPTED_STATUS
    return 0


@contextmanager
def _stack(plan: Plan, stopping: Callable[[], bool], report: Report) -> Iterator[DemoStack]:
    folder = Folder(plan.folder.resolve())
    if folder.live() is not None:
        yield _live_stack(folder, stopping, report)
        return
    Settings.from_env(plan.environ)  # reports invalid settings before anything is created
    with output_folder(folder.path):
        log = folder.path / LOG
        log.touch()
    report(f"starting Valkey, S3, the API and a worker (their log: {printable(log)})")
    began = time.monotonic()
    with (
        log.open("w", encoding="utf-8", errors="backslashreplace") as out,
        local_stack(replace(plan, any_port=True), out, sys.stderr, stopping) as running,
    ):
        report(f"ready in {time.monotonic() - began:.1f} s: {running.url}, model {running.model.name}")
        yield DemoStack(running.url, running.model.warning, running.stack.supervise)


def _live_stack(folder: Folder, stopping: Callable[[], bool], report: Report) -> DemoStack:
    def answers() -> bool:
        found = folder.live()
        return found is None or bool(found.url)

    if not wait_for(answers, LIVE_LIMIT_SECONDS, stopping):
        raise MSaaSError(f"the stack in {folder.path} is not ready after {LIVE_LIMIT_SECONDS:g} seconds")
    live = folder.live()
    if live is None:
        raise MSaaSError(f"the stack in {folder.path} ended while it was starting; retry")
    report(f"using the running stack: {live.url}, model {live.model}")
    return _demo_stack(live, stopping)


def _demo_stack(live: LiveStack, stopping: Callable[[], bool]) -> DemoStack:
    def supervise(until: Callable[[], bool]) -> None:
        while not until() and not stopping():
            time.sleep(POLL_SECONDS)

    return DemoStack(live.url, live.warning, supervise)


class _SongRun:
    """Runs the song through the API in a thread; the main thread supervises the stack."""

    def __init__(self, stack: DemoStack, song: Path, stems: Path, stopping: Callable[[], bool], report: Report) -> None:
        self.stack, self.song, self.stems, self.report = stack, song, stems, report
        self._stopping = stopping
        self._client = Client(stack.url, sleep=self._sleep)
        self._error: BaseException | None = None

    def run(self) -> None:
        thread = threading.Thread(target=self._run, name="demo", daemon=True)
        thread.start()
        self.stack.supervise(lambda: not thread.is_alive())
        if thread.is_alive():
            raise Interrupted("stopped while the song was being separated")
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            began = time.monotonic()
            job = self._separate()
            self._fetch(job)
            self._report(job, time.monotonic() - began)
        except BaseException as error:  # re-raised in the main thread
            self._error = error

    def _separate(self) -> Job:
        with open_song(self.song) as file, self._client.opened(file, self.song.name) as song:
            songhash = self._client.submit(song).songhash
        with Progress(self.song.name) as progress:
            job = self._client.wait(songhash, on_progress=progress.show)
        if not job.done:
            reason = job.error.detail if job.error else "no reason given"
            raise SongFailed(f"{printable(self.song.name)} {job.state}: {reason}")
        return job

    def _fetch(self, job: Job) -> None:
        stems = self._client.download(job, self.stems).values()
        for path in stems:
            self.report(f"{printable(path)}  {path.stat().st_size / 1e6:.1f} MB")
        if others := sorted(other.name for other in stems_in(self.stems) if other not in stems):
            self.report(f"{printable(self.stems)}/ has {', '.join(map(printable, others))} from an earlier run")

    def _sleep(self, seconds: float) -> None:
        if self._stopping():
            raise Interrupted("stopped")
        time.sleep(seconds)

    def _report(self, job: Job, seconds: float) -> None:
        if self.stack.warning:
            self.report(framed(self.stack.warning))
        music = f", {job.duration_seconds:.1f} s of music," if job.duration_seconds is not None else ""
        self.report(
            f"{len(job.stems)} stems of {printable(self.song.name)}{music} are in {printable(self.stems)}/,"
            f" made by {job.model} in {seconds:.1f} s"
        )
