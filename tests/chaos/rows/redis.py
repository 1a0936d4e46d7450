"""Rows 5 and 11: the queue's server killed under load, and the time it takes to recover from a worker's death."""

from __future__ import annotations

import threading
import time

from tests.chaos.lab.account import p99, recoveries
from tests.chaos.lab.lab import Lab, Process, RowResult
from tests.chaos.scale import Scale

RESUME_SECONDS = 5  # from Valkey being ready to the first claim
IDLE_CPU_SHARE = 0.08  # of one core, for a worker with nothing to do; one that spins takes what it can get


class Client(threading.Thread):
    """Posts songs one after the other, each until it is acknowledged, at a pace of its own."""

    def __init__(self, lab: Lab, songs: list[str], pause_seconds: float) -> None:
        super().__init__(daemon=True)
        self.lab, self.songs, self.pause_seconds = lab, songs, pause_seconds

    def run(self) -> None:
        queue = self.lab.queue
        for songhash in self.songs:
            self.lab.submit(songhash, queue)
            time.sleep(self.pause_seconds)


def killed_valkey(lab: Lab, scale: Scale) -> RowResult:
    """Valkey kill -9 under load, with its append-only file written through at every command."""
    result = lab.row("5", "Valkey kill -9 under load")
    lab.environ |= {"MSAAS_LEASE_SECONDS": "3", "MSAAS_MAX_ATTEMPTS": "50"}
    workers = [lab.worker() for _ in range(scale(2, 3))]
    lab.await_up(*workers)
    songs = [lab.new_song(seconds=0.1) for _ in range(scale(60, 600))]
    client = Client(lab, songs, scale(0.05, 0.08))
    client.start()
    kills, resumed = scale(3, 20), []
    for _ in range(kills):
        time.sleep(lab.random.uniform(0.5, 1.5))
        lab.kill_valkey()
        time.sleep(lab.random.uniform(0.0, 0.5))
        lab.start_valkey()
        resumed.append(_first_claim_after(lab, time.time()))
    client.join(scale(60, 240))
    result.claim(lab.until_ended(songs, scale(60, 180)), "songs are left that never ended")
    result.claim(not client.is_alive(), "the client was never acknowledged")
    _watch_idle(lab, workers, result, scale(3, 10))
    result.injected = kills + 1
    lab.close_account(result)
    result.claim(result.account.done == len(songs), "not every song was published")
    result.claim(max(resumed) < scale.on_busy(RESUME_SECONDS), f"workers took {max(resumed):.1f} s to resume")
    result.notes.insert(0, f"resumed within {max(resumed):.1f} s")
    return result


def _first_claim_after(lab: Lab, at: float) -> float:
    def seconds() -> float | None:
        return next((line["at"] - at for line in lab.history.read("claim") if line["at"] > at), None)

    lab.until(lambda: seconds() is not None, 20, "no claim after Valkey came back")
    return seconds() or 0.0


def _watch_idle(lab: Lab, workers: list[Process], result: RowResult, watch_seconds: float) -> None:
    """CPU time of workers with nothing to do, with Redis and without."""
    shares = {}
    for name in ("idle", "without Redis"):
        if name == "without Redis":
            lab.kill_valkey()
            time.sleep(0.5)
        before = [worker.cpu_seconds() for worker in workers]
        time.sleep(watch_seconds)
        used = sum(worker.cpu_seconds() for worker in workers) - sum(before)
        shares[name] = used / watch_seconds / len(workers)
    lab.start_valkey()
    result.notes.append("CPU of a worker " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    result.claim(max(shares.values()) < IDLE_CPU_SHARE, f"workers spin: {shares}")
    result.claim(all(worker.alive for worker in workers), "a worker did not live through the outages")


def time_to_recovery(lab: Lab, scale: Scale) -> RowResult:
    """Time from a worker's death to its job's next start, while another worker is idle."""
    lease = 2
    result = lab.row("11", "time to recovery after a kill")
    lab.environ |= {"MSAAS_LEASE_SECONDS": str(lease), "MSAAS_MAX_ATTEMPTS": "100"}
    workers = [lab.worker() for _ in range(3)]
    lab.await_up(*workers)
    song = lab.songs(1, seconds=3600)[0]
    for _ in range(scale(4, 30)):
        job = lab.until_state(song, "running", seconds=30)
        time.sleep(lab.random.uniform(0.1, 0.7))
        victim = next(at for at, worker in enumerate(workers) if f"-{worker.pid}-" in job.worker)
        workers[victim].kill()
        workers[victim] = lab.worker()
        lab.until(lambda fence=job.fence: lab.job(song).fence != fence, 30, "the job started again")  # type: ignore[misc]
        lab.await_up(*workers)
    lab.queue.cancel(song)
    lab.until_ended([song], 10)
    time.sleep(1)  # the worker notices
    found = recoveries(lab.ledger(), lab.kills)
    lab.close_account(result)
    result.claim(len(found) == len(lab.kills), f"{len(found)} recoveries of {len(lab.kills)} kills")
    result.claim((p99(found) or 99) < lease + scale.on_busy(1), f"p99 {p99(found)} s; the lease is {lease} s")
    result.notes.append(f"lease {lease} s, median {sorted(found)[len(found) // 2]:.2f} s" if found else "")
    return result
