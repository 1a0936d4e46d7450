"""Rows 20 and 21: workers with two songs at a time: what ends one of them must not end, charge or double the other."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import psutil

from tests.chaos.lab.lab import Lab, Process, RowResult
from tests.chaos.scale import Scale

TWO = {"MSAAS_SONGS_IN_FLIGHT": "2"}


def killed_beside_another(lab: Lab, scale: Scale) -> RowResult:
    """kill -9 of workers, of their separation processes, and SIGTERM, each with two songs in flight."""
    result = lab.row("20", "two songs in flight: kill -9 of workers and of separation processes, SIGTERM")
    lab.environ |= TWO | {"MSAAS_LEASE_SECONDS": "2", "MSAAS_MAX_ATTEMPTS": "20"}
    workers = [lab.worker() for _ in range(scale(2, 3))]
    songs = lab.songs(scale(60, 600), seconds=0.2)
    lab.await_up(*workers)
    due, faults, most = time.monotonic(), 0, 0

    def disturb() -> None:
        nonlocal due, faults, most
        most = max(most, len(lab.queue.in_work()))
        if time.monotonic() < due or faults >= scale(9, 60):
            return
        at = lab.random.randrange(len(workers))
        if workers[at].up:
            workers[at] = _disturbed(lab, workers[at], faults % 3)
            faults += 1
        due = time.monotonic() + lab.random.uniform(0.1, 0.8)

    result.claim(lab.until_ended(songs, scale(90, 400), disturb), "songs are left that never ended")
    lab.kills.clear()  # a song whose process was killed while it was alone goes to the tail: no recovery to time
    lab.close_account(result)
    result.claim(result.account.done == len(songs), "not every song was published")
    result.claim(most > len(workers), f"never more than {most} songs ran at a time")
    result.injected = faults
    result.notes.append(f"{len(workers)} workers, up to {most} songs at a time")
    return result


def _disturbed(lab: Lab, worker: Process, kind: int) -> Process:
    """The worker that goes on in its place."""
    if kind == 0:
        kill_separation(lab, worker)
        return worker
    if kind == 1:
        worker.kill(alone=lab.random.random() < 0.5)
    else:
        worker.signal(signal.SIGTERM)
    return lab.worker()


def kill_separation(lab: Lab, worker: Process) -> None:
    with suppress(psutil.Error):
        for child in psutil.Process(worker.pid).children():
            lab.history.note("kill", victim=child.pid, of=worker.pid)
            child.kill()


def poison_beside_another(lab: Lab, scale: Scale) -> RowResult:
    """Songs that end the process, run out of memory, or hang until they are cancelled, beside harmless ones."""
    result = lab.row("21", "two songs in flight: poison songs and cancels beside harmless songs")
    lab.environ |= TWO | {"MSAAS_HEARTBEAT_SECONDS": "0.1"}
    worker = lab.worker()
    lab.await_up(worker)
    harmless, poison = list[str](), list[str]()
    for _ in range(scale(2, 12)):
        harmless += lab.songs(2, seconds=0.3)
        poison += lab.songs(1, "die") + lab.songs(1, "starve")
        hanging = lab.songs(1, "hang")[0]
        harmless += lab.songs(1, seconds=0.3)
        lab.until_state(hanging, "running", seconds=60)
        lab.queue.cancel(hanging)
    result.claim(lab.until_ended([*harmless, *poison], scale(90, 300)), "songs are left that never ended")
    runs = lab.ledger().count("claimed")
    result.claim({runs[song] for song in poison} == {3}, "a poison song did not run three times")
    charged = [song for song in harmless if runs[song] != 1 or lab.job(song).attempts != 1]
    result.claim(not charged, f"charged for their neighbours: {charged[:3]}")
    result.claim(worker.alive, "the worker did not live through it")
    result.injected = 3 * len(poison) + scale(2, 12)
    lab.close_account(result)
    ends = (result.account.done, result.account.dead, result.account.cancelled)
    result.claim(ends == (len(harmless), len(poison), scale(2, 12)), f"wrong ends: {ends}")
    return result
