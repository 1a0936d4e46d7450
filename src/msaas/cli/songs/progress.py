"""Shows a song's progress: a bar on a terminal, otherwise a line at each change, and why it is held up. Makes no
calls."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import NoReturn, TextIO

from tqdm import tqdm
from tqdm.utils import disp_len, disp_trim

from msaas.client.models import Job
from msaas.client.names import printable

# Shows in a log that a long song is alive, without filling the log.
LINE_SECONDS = 30.0
WAITS = {"no_worker": "waiting for a worker", "model_not_offered": "waiting for a worker with its model"}
COLUMNS = 80  # if the terminal does not report its width
MIN_TITLE, MIN_BAR = 8, 5


class Progress:
    """Call `show` with each view of the job; leaving the context removes the bar."""

    def __init__(self, title: str, out: TextIO | None = None) -> None:
        out = out or sys.stderr
        self._shown: _Bar | _Lines = _Bar(title, out) if out.isatty() else _Lines(title, out)
        self._title, self._out, self._message = title, out, ""

    def show(self, job: Job) -> None:
        self._shown.show(job)
        if job.message not in ("", self._message) and not job.ended and not job.waiting_for:  # `activity` has that
            self._message = job.message
            tqdm.write(printable(f"{self._title}: {job.message}"), file=self._out)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()


class _Bar:
    def __init__(self, title: str, out: TextIO) -> None:
        self._title = printable(title)
        self._bar = tqdm(total=100, leave=False, file=out, dynamic_ncols=True)

    def show(self, job: Job) -> None:
        self._bar.n = 100 if job.done else round(100 * job.progress)
        self._bar.bar_format = bar_format(self._title, activity(job), _columns(self._bar))
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


def _columns(bar: tqdm[NoReturn]) -> int:
    return int(bar.format_dict["ncols"] or COLUMNS)


def bar_format(title: str, activity: str, columns: int) -> str:
    """tqdm's format for one line of `columns` cells: always stage and remaining time; title and bar as space allows.

    `{bar}` takes the remaining cells.
    """
    room = columns - 1 - disp_len(activity) - len(" 100% ")  # the last cell stays free: some terminals wrap there
    activity = activity.replace("{", "{{").replace("}", "}}")
    if room < MIN_TITLE + len(":"):
        return f"{{percentage:3.0f}}% {activity}"
    with_bar = room - MIN_BAR - len(":|| [00:00]")
    if with_bar < MIN_TITLE:
        return f"{_cut(title, room - 1)}: {{percentage:3.0f}}% {activity}"
    return f"{_cut(title, min(with_bar, columns // 3))}: {{percentage:3.0f}}%|{{bar}}| {activity} [{{elapsed}}]"


def _cut(title: str, cells: int) -> str:
    shown = title if disp_len(title) <= cells else disp_trim(title, cells - 1) + "…"
    return shown.replace("{", "{{").replace("}", "}}")


class _Lines:
    def __init__(self, title: str, out: TextIO) -> None:
        self._title, self._out = printable(title), out
        self._last = ("", "", "")
        self._last_at = 0.0

    def show(self, job: Job) -> None:
        now, current = time.monotonic(), (job.state, job.stage, job.waiting_for.code if job.waiting_for else "")
        if current == self._last and now - self._last_at < LINE_SECONDS:
            return
        self._last, self._last_at = current, now
        percent = f" {job.progress:.0%}" if job.progress and not job.ended else ""
        self._out.write(f"{self._title}: {activity(job, percent)}\n")
        self._out.flush()

    def close(self) -> None:
        pass


def activity(job: Job, percent: str = "") -> str:
    """`queued, 2 songs ahead`; `queued, waiting for a worker`; `separating 53%, about 40 s left`."""
    what = (job.stage if job.state == "running" and job.stage else job.state) + percent
    if job.queue_position:
        what += f", {job.queue_position} song{'s' if job.queue_position > 1 else ''} ahead"
    if job.waiting_for:
        what += f", {waiting_text(job)}"
    if job.eta_seconds is not None and not job.ended:
        what += f", about {_span(job.eta_seconds)} left"
    return printable(what)


def waiting_text(job: Job) -> str:
    """What a queued song waits for before any worker can run it; empty if one can."""
    return WAITS.get(job.waiting_for.code, job.waiting_for.detail) if job.waiting_for else ""


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
