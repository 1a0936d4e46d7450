"""Rows 8, 9, 10 and 14: what a job and its owner may do to the service: poison, stop orders, long runs, cancels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msaas.maintenance import dead_letters
from tests.chaos.lab.lab import Lab, RowResult
from tests.chaos.scale import Scale

# Each is a moment of a run at which the worker itself sees the job cancelled.
CANCEL_STEPS = (
    *("claimed", "before-fetch", "after-fetch", "before-renew:2", "after-renew:3"),
    *("before-put:1", "after-put:1", "before-put:3", "after-put:4", "before-finish", "after-finish"),
)


def poison_songs(lab: Lab, scale: Scale) -> RowResult:
    """Poison songs: the separation process kills itself, or runs out of memory under a limit."""
    result = lab.row("8", "poison songs")
    worker = lab.worker()
    poison = lab.songs(scale(1, 5), "die") + lab.songs(scale(1, 5), "starve")
    others = lab.songs(scale(6, 60))
    result.claim(lab.until_ended([*poison, *others], scale(60, 180)), "songs are left that never ended")
    runs = lab.ledger().count("claimed")
    for song in poison:
        job = lab.job(song)
        result.claim(runs[song] == 3, f"{song} ran {runs[song]} times")
        result.claim(job.state == "failed" and bool(job.error), f"{song} is {job.state} without a reason")
    result.claim(worker.alive, "the worker did not live through it")
    _replay(lab, result, poison)
    result.injected = sum(runs[song] for song in poison)
    lab.close_account(result)
    result.claim((result.account.done, result.account.dead) == (len(others) + 1, len(poison) - 1), "wrong ends")
    return result


def _replay(lab: Lab, result: RowResult, poison: list[str]) -> None:
    """The dead are listed and shown; one whose cause was mended is replayed and comes out."""
    listed = {letter.entry for letter in dead_letters.list_all(lab.queue)}
    result.claim(set(poison) == listed, "the dead letters are not the poison songs")
    repaired = poison[0]
    result.claim("worker_child_died" in dead_letters.shown(lab.queue, repaired), "the reason is not shown")
    lab.repair(repaired)
    dead_letters.replay(lab.queue, lab.storage, repaired)
    lab.until_state(repaired, "done")


def worker_stopped_during_a_job(lab: Lab, scale: Scale) -> RowResult:
    """SIGTERM in mid-job with a grace too short to finish in."""
    result = lab.row("9", "SIGTERM in mid-job")
    lab.environ |= {"MSAAS_GRACE_SECONDS": "0.2", "MSAAS_LEASE_SECONDS": "30"}
    starts = []
    for _ in range(scale(1, 6)):
        first = lab.worker()
        lab.await_up(first)
        song, *others = [*lab.songs(1, seconds=1.5), *lab.songs(2, seconds=0.1)]
        lab.until_stage(song, "separating")
        first.signal(signal.SIGTERM)
        result.claim(first.gone(10), "the worker did not stop")
        result.claim(lab.job(song).attempts == 0, "the attempt was charged")
        waiting = lab.queue.waiting()
        result.claim(waiting[:1] == [song] and set(waiting) == {song, *others}, "the job is not back at the head")
        starts.append(_hand_over(lab, result, [song, *others]))
    result.injected = 2 * len(starts)
    lab.close_account(result)
    result.claim(result.account.done == len(lab.wishes), "not every song was published")
    result.claim(max(starts) < scale.on_busy(2) + 0.2, f"the next start came {max(starts):.1f} s after SIGTERM")
    result.notes.append(f"next start within {max(starts):.1f} s of SIGTERM, grace 0.2 s")
    return result


def _hand_over(lab: Lab, result: RowResult, songs: list[str]) -> float:
    """Seconds from SIGTERM to the job's start at a worker that was idle."""
    pair = [lab.worker(), lab.worker()]
    lab.await_up(*pair)
    lab.until_ended(songs, 40)
    song = lab.songs(1, seconds=3)[0]
    lab.until_stage(song, "separating")
    before = lab.job(song)
    stopped = time.time()
    next(worker for worker in pair if f"-{worker.pid}-" in before.worker).signal(signal.SIGTERM)
    lab.until(lambda: lab.job(song).fence != before.fence, 20, "no other worker started the job")
    job = lab.job(song)
    result.claim(job.attempts == 1, "the attempt was charged")
    lab.until_ended([song], 20)
    lab.stop(*pair)
    return (job.started_at or 0) - stopped


def long_jobs_on_a_busy_machine(lab: Lab, scale: Scale) -> RowResult:
    """A healthy job of twenty lease lengths while every core is taken by something else."""
    lease, lengths = 2, scale(4, 20)
    result = lab.row("10", f"{lengths} lease lengths with the CPU saturated")
    lab.environ |= {"MSAAS_LEASE_SECONDS": str(lease), "MSAAS_HEARTBEAT_SECONDS": "0.2"}
    workers = [lab.worker() for _ in range(2)]
    lab.await_up(*workers)
    with burning(2 * (os.cpu_count() or 1)) as burners:
        song = lab.songs(1, seconds=lease * lengths)[0]
        lab.until_ended([song], lease * lengths + 30)
    result.injected = burners
    lab.close_account(result)
    runs = lab.ledger().count("claimed")[song]
    result.claim(runs == 1, f"it ran {runs} times")
    result.claim(lab.job(song).state == "done", "it was not published")
    return result


@contextmanager
def burning(count: int) -> Iterator[int]:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield count
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def cancel_at_every_moment(lab: Lab, scale: Scale) -> RowResult:
    """Cancelled at every step of a run, while waiting, and at any moment."""
    result = lab.row("14", "cancel at every moment")
    lab.environ |= {"MSAAS_LEASE_SECONDS": "5", "MSAAS_HEARTBEAT_SECONDS": "0.1"}
    plan = CANCEL_STEPS * scale(1, 3)
    songs = lab.songs(len(plan), seconds=0.2)
    waiting = lab.songs(3)
    for song in waiting:
        lab.queue.cancel(song)
    worker = lab.worker(",".join([*(f"{step}=cancel" for step in plan), "-"]))
    result.claim(lab.until_ended(songs, scale(60, 120)), "songs are left that never ended")
    # in the order in which they were claimed: one whose model is loaded may overtake another
    claimed = sorted(songs, key=lambda song: lab.job(song).fence)
    for step, song in zip(plan, claimed, strict=True):
        wanted = "done" if step == "after-finish" else "cancelled"
        result.claim(lab.job(song).state == wanted, f"{step}: the job is {lab.job(song).state}")
    at_random = _cancel_at_random(lab, scale)
    hanging = lab.songs(1, "hang")[0]
    lab.until_state(hanging, "running")
    time.sleep(0.3)
    lab.queue.cancel(hanging)
    after = lab.songs(1)[0]
    result.claim(lab.until_ended([*at_random, after], 30), "a worker is stuck")
    time.sleep(1)  # the last run notices, and tidies up
    result.claim(worker.alive, "the worker did not live through it")
    result.injected = len(plan) + len(waiting) + len(at_random) + 1
    lab.close_account(result)
    return result


def _cancel_at_random(lab: Lab, scale: Scale) -> list[str]:
    """Cancels that come about when their songs' turn comes: before it, in mid-run, after it."""
    songs = lab.songs(scale(10, 100), seconds=0.1)
    queue = lab.queue
    timers = [
        threading.Timer(lab.random.uniform(0.7, 1.3) * at * 0.15, queue.cancel, [song]) for at, song in enumerate(songs)
    ]
    for timer in timers:
        timer.start()
    for timer in timers:
        timer.join()
    return songs
