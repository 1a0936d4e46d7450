"""Rows 1 to 4: workers and reapers that are killed or stalled, at random and at every step."""

from __future__ import annotations

import signal
import time

from msaas.queue import Queue
from tests.chaos.lab.lab import Failed, Lab, Process, RowResult
from tests.chaos.scale import Scale

# What a run passes on its way, in order: each is a moment for it to be killed at.
STEPS = (
    *("claimed", "before-fetch", "after-fetch"),
    *(f"{when}-renew:{n}" for n in range(1, 4) for when in ("before", "after")),
    *(f"{when}-put:{n}" for n in range(1, 5) for when in ("before", "after")),
    *("before-finish", "after-finish", "before-claim", "after-claim"),
)
SHORT_STEPS = ("claimed", "after-fetch", "after-renew:2", "before-put:1", "after-put:2", "before-finish", "after-claim")
REDIS_COMMANDS = 8  # a short run sends about so many


def killed_workers(lab: Lab, scale: Scale) -> RowResult:
    """kill -9 of random workers under load."""
    result = lab.row("1", "kill -9 of random workers")
    # nobody may be given up: each song must come out
    lab.environ |= {"MSAAS_LEASE_SECONDS": "2", "MSAAS_MAX_ATTEMPTS": "20"}
    workers = [lab.worker() for _ in range(scale(3, 4))]
    songs = lab.songs(scale(60, 1000), seconds=0.05)
    lab.await_up(*workers)
    due = time.monotonic()

    def kill_one() -> None:
        nonlocal due
        if time.monotonic() < due or len(lab.kills) >= scale(8, 100):
            return
        victim = lab.random.randrange(len(workers))
        if workers[victim].up:
            workers[victim].kill(alone=lab.random.random() < 0.5)
            workers[victim] = lab.worker()
        due = time.monotonic() + lab.random.uniform(0.1, 0.8)

    result.claim(lab.until_ended(songs, scale(90, 400), kill_one), "songs are left that never ended")
    lab.close_account(result)
    result.claim(result.account.done == len(songs), "not every song was published")
    result.notes.append(f"{len(workers)} workers")
    return result


def kill_at_every_step(lab: Lab, scale: Scale) -> RowResult:
    """A kill at every step of a run: named failpoints, then before every command to Redis."""
    result = lab.row("2", "kill at every step")
    lab.environ |= {"MSAAS_LEASE_SECONDS": "0.5", "MSAAS_HEARTBEAT_SECONDS": "0.1", "MSAAS_MAX_ATTEMPTS": "100"}
    lab.reaper()
    steps = [*scale(SHORT_STEPS, STEPS), *(f"redis-command:{n}" for n in range(1, REDIS_COMMANDS + 1))]
    lab.songs(len(steps) + 4, seconds=0.2)
    _kill_at(lab, result, steps)
    lab.songs(4, "fail once", marker=str(lab.folder / "failed-once"))
    for step in ("before-fail", "after-fail"):
        (lab.folder / "failed-once").unlink(missing_ok=True)
        _kill_at(lab, result, [step])
    for step in ("before-release", "after-release"):
        _kill_at_release(lab, result, step)
    last = lab.worker()
    result.claim(lab.until_ended(lab.wishes, 60), "songs are left that never ended")
    lab.stop(last)
    lab.close_account(result)
    result.claim(result.account.done == len(lab.wishes), "not every song was published")
    result.notes.append(f"{len(steps) + 4} steps")
    return result


def _kill_at(lab: Lab, result: RowResult, steps: list[str], slots: int = 3) -> None:
    """Workers that die at one step each, a few at a time."""
    left, running = list(steps), list[tuple[str, Process]]()
    end = time.monotonic() + 30 + 5 * len(steps)
    while left or running:
        while left and len(running) < slots:
            step = left.pop(0)
            running.append((step, lab.worker(f"{step}=kill", CHAOS_HOUSEKEEPING="0")))
        for step, worker in [one for one in running if not one[1].alive]:
            running.remove((step, worker))
            result.claim(worker.child.process.returncode == -signal.SIGKILL, f"{step}: the worker ended otherwise")
        if time.monotonic() > end:
            raise Failed(f"never reached: {[step for step, _ in running]}")
        time.sleep(0.02)


def _kill_at_release(lab: Lab, result: RowResult, step: str) -> None:
    """SIGTERM makes a worker give its job back; it is killed while it does."""
    song = lab.songs(1, seconds=1.5)[0]
    worker = lab.worker(f"{step}=kill", CHAOS_HOUSEKEEPING="0")
    end = time.monotonic() + 30
    while not any(line["songhash"] == song and line["pid"] == worker.pid for line in lab.history.read("claim")):
        if time.monotonic() > end:
            raise Failed(f"{song} was never claimed")
        time.sleep(0.02)
    worker.signal(signal.SIGTERM)
    result.claim(worker.gone(10), f"{step}: never reached")


def killed_reaper(lab: Lab, scale: Scale) -> RowResult:
    """kill -9 of the reaper in mid-recovery: dead workers' jobs by the hundred, taken back by reapers that die too."""
    result = lab.row("3", "kill -9 of the reaper in mid-recovery")
    lab.environ |= {"MSAAS_LEASE_SECONDS": "0.5", "MSAAS_HEARTBEAT_SECONDS": "0.1", "MSAAS_MAX_ATTEMPTS": "50"}
    songs = lab.songs(scale(40, 250), seconds=0.02)
    _lease_everything(lab.queue)
    plans = ["before-reap=kill", "after-reap=kill", *(f"redis-command:{n}=kill" for n in range(2, scale(7, 10)))]
    time.sleep(0.6)
    for at in range(0, len(plans), 3):
        reapers = [lab.reaper(plan) for plan in plans[at : at + 3]]
        result.claim(all(reaper.gone(30) for reaper in reapers), "a reaper was never killed")
    for _ in range(scale(1, 5)):
        _lease_everything(lab.queue)
        reaper = lab.reaper()
        lab.await_up(reaper)
        time.sleep(lab.random.uniform(0.3, 0.6))
        reaper.kill()
    workers = [lab.worker() for _ in range(2)]
    result.claim(lab.until_ended(songs, scale(60, 150)), "songs are left that never ended")
    lab.stop(*workers)
    lab.kills.clear()  # no worker was killed here: there is no recovery to time
    result.injected = len(plans) + scale(1, 5)
    lab.close_account(result)
    result.claim(result.account.done == len(songs), "not every song was published")
    return result


def _lease_everything(queue: Queue) -> None:
    """All songs are in the hands of a worker that is gone: only their leases are left of it."""
    while queue.claim("host-0-killed"):
        pass


def worker_stalled_past_its_lease(lab: Lab, scale: Scale) -> RowResult:
    """SIGSTOP past the lease, then SIGCONT while another runs the job: with its old fence it must change nothing."""
    result = lab.row("4", "SIGSTOP past the lease, then SIGCONT")
    lab.environ |= {"MSAAS_LEASE_SECONDS": "1", "MSAAS_HEARTBEAT_SECONDS": "0.1", "MSAAS_MAX_ATTEMPTS": "50"}
    lab.reaper()
    moments = ("before-put:2", "before-finish", "before-renew:3")
    for moment in moments * scale(1, 4):
        _stall(lab, result, moment)
    lab.until_ended(lab.wishes, 60)
    lab.close_account(result)
    result.claim(result.account.done == len(lab.wishes), "not every song was published")
    return result


def _stall(lab: Lab, result: RowResult, moment: str) -> None:
    song = lab.songs(1, seconds=1.2)[0]
    sleeper = lab.worker(f"{moment}=stop", CHAOS_HOUSEKEEPING="0")
    fence = lab.until_state(song, "running", seconds=40).fence
    other = lab.worker(CHAOS_HOUSEKEEPING="0")
    lab.until(lambda: lab.job(song).state == "running" and lab.job(song).fence != fence, 40, f"{song} elsewhere")
    woke = time.time()
    sleeper.signal(signal.SIGCONT)
    lab.until_state(song, "done", seconds=30)
    lab.until(
        lambda: bool(_answers(lab, sleeper, fence, woke)), 10, "the stalled worker never learnt that it lost its job"
    )
    accepted = [line for line in _answers(lab, sleeper, fence, woke) if line["answer"] in (True, "kept")]
    result.claim(not accepted, f"{moment}: an old fence was accepted: {accepted[:2]}")
    result.claim(lab.job(song).fence != fence, f"{moment}: the record names the stalled worker")
    lab.stop(sleeper, other)


def _answers(lab: Lab, worker: Process, fence: int, since: float) -> list[dict[str, object]]:
    """What Redis said to the stalled worker's claim after it woke; renewals that were kept are not written down."""
    moves = [line for line in lab.history.read() if line["pid"] == worker.pid and line.get("fence") == str(fence)]
    return [line for line in moves if line["at"] > since and line["what"] in ("renew", "finish", "fail", "release")]
