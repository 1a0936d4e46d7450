"""A song's progress for people: a bar on a terminal, elsewhere a line at each change. Asks nobody."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

from msaas.client.models import Job

# A log shows that a long song is alive, and is not filled by it.
LINE_SECONDS = 30.0
WAITS = {"no_worker": "waits for a worker", "model_not_offered": "waits for a worker that offers its model"}


class Progress:
    """`show` each view of the job; `with` closes the bar, which leaves nothing behind."""

    def __init__(self, title: str, out: TextIO | None = None) -> None:
        out = out or sys.stderr
        self._shown: _Bar | _Lines = _Bar(title, out) if out.isatty() else _Lines(title, out)

    def show(self, job: Job) -> None:
        self._shown.show(job)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()


class _Bar:
    def __init__(self, title: str, out: TextIO) -> None:
        layout = "{desc}: {percentage:3.0f}%|{bar:30}| {postfix}[{elapsed}]"
        self._bar = tqdm(total=100, desc=title, bar_format=layout, leave=False, file=out)

    def show(self, job: Job) -> None:
        self._bar.n = 100 if job.done else round(100 * job.progress)
        self._bar.set_postfix_str(doing(job) + " ", refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


class _Lines:
    def __init__(self, title: str, out: TextIO) -> None:
        self._title, self._out = title, out
        self._told = ("", "", "")
        self._told_at = 0.0

    def show(self, job: Job) -> None:
        now, news = time.monotonic(), (job.state, job.stage, job.waiting_for.code if job.waiting_for else "")
        if news == self._told and now - self._told_at < LINE_SECONDS:
            return
        self._told, self._told_at = news, now
        percent = f" {job.progress:.0%}" if job.progress and not job.ended else ""
        self._out.write(f"{self._title}: {doing(job)}{percent}\n")
        self._out.flush()

    def close(self) -> None:
        pass


def doing(job: Job) -> str:
    """`queued, 2 songs ahead`; `queued, waits for a worker`; `separating, about 40 s left`."""
    what = job.stage if job.state == "running" and job.stage else job.state
    if job.queue_position:
        what += f", {job.queue_position} song{'s' if job.queue_position > 1 else ''} ahead"
    if job.waiting_for:
        what += f", {WAITS.get(job.waiting_for.code, job.waiting_for.detail)}"
    if job.eta_seconds is not None and not job.ended:
        what += f", about {job.eta_seconds:.0f} s left"
    return what
