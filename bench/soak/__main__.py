"""A soak: the whole service under a mixed load of short songs, for an hour, with kills; what it takes and the account.

    python -m bench.soak [--minutes 60] [--songs-per-minute 30] [--kill-every 180] [--seed 1]

A real Valkey, a real S3 server, the API and three workers with htdemucs_mini, in a temporary folder. Four tenants
post songs of 0.5 to 6 seconds in each form, follow them by polling or events, and fetch, resume, cancel, remove and
post them again; callbacks go to a receiver that fails now and then. From time to time a separation process or a worker
is killed. At the end it waits until retention has deleted every job. Exits 1 where something was lost, doubled or
unlike, and where a process surely grows beyond its limit.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from bench.soak.account import Account, Deliveries, faults, lines
from bench.soak.clients import Crowd, Visit
from bench.soak.pools import fill_pools
from bench.soak.receiver import Received, receiver
from bench.soak.samples import Sampling, crowded, growing, table
from bench.soak.songs import Songs
from bench.soak.stack import KILLED, LOG, ORPHANED, Service, service
from msaas.settings.callback_secrets import Secret
from msaas.storage import INPUTS, OUTPUTS, WAVEFORMS
from tests.chaos.lab.ledger import read_ledger

CLIENTS = 12
SAMPLE_SECONDS = 5.0
REPORT_SECONDS = 60.0
TICK_SECONDS = 0.1
RETENTION_SHARE = 1 / 12  # of the minutes; a minute at least
DRAIN_SECONDS = 420.0
DELIVERY_SECONDS = 180.0


def main() -> int:
    options = _options()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before the run", flush=True)
    retention_minutes = max(options.minutes * RETENTION_SHARE, 1.0)
    with service(retention_minutes) as stack:
        received = Received(Secret.parse(stack.secret), options.seed)
        with receiver(received) as hook:
            pids = dict(stack.kinds())
            fill_pools(stack.settings.port, stack.keys, pids)
            soak = Soak(stack, received, hook, options)
            soak.run()
            soak.settle()
            stored = soak.stored()
            return soak.report(stored, soak.age_out(retention_minutes * 60))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="of load; what follows takes a sixth more")
    parser.add_argument("--songs-per-minute", type=float, default=30, help="visits, of which most post a song or two")
    parser.add_argument("--kill-every", type=float, default=180, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


@dataclass(frozen=True)
class Stored:
    """Keys in Redis and objects in the store, by their kind."""

    keys: Counter[str]
    objects: Counter[str]

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted((self.keys + self.objects).items())) or "nothing"


class Soak:
    """The load, the kills and the samples, all by one clock."""

    def __init__(self, stack: Service, received: Received, hook: str, options: argparse.Namespace) -> None:
        self.stack, self.received, self.options = stack, received, options
        self.account, self.sampling = Account(), Sampling()
        visit = partial(Visit, stack, Songs(options.seed), self.account, hook)
        self.crowd = Crowd(visit, self.account, size=CLIENTS, seed=options.seed)
        self.began = time.monotonic()
        self._sampled = self._reported_at = self.began
        self._visits, self._loading = 0, True
        self._cpu = 0.0

    def run(self) -> None:
        seconds, kills = self.options.minutes * 60, 0
        while (passed := time.monotonic() - self.began) < seconds:
            self._turn()
            while self._visits < passed * self.options.songs_per_minute / 60 and self.crowd.waiting < CLIENTS:
                self.crowd.let_in(self._visits)
                self._visits += 1
            if passed > (kills + 1) * self.options.kill_every:
                self.stack.kill_soon(KILLED if kills % 2 else ORPHANED)
                kills += 1
        self.loaded_seconds = time.monotonic() - self.began
        self._cpu_loaded, self._loading = self.sampling.cpu, False

    def _turn(self) -> None:
        now = time.monotonic()
        self.stack.look_after()
        if self._loading and now - self._sampled >= SAMPLE_SECONDS:
            self._sampled = now
            self.sampling.take(self.stack.kinds())
        if now - self._reported_at >= REPORT_SECONDS:
            self._tell(now)
        time.sleep(TICK_SECONDS)

    def _tell(self, now: float) -> None:
        cpu, waiting = self.sampling.cpu, self.stack.queue.counts().waiting
        share, self._cpu = (cpu - self._cpu) / (now - self._reported_at), cpu
        self._reported_at = now
        outcomes = ", ".join(f"{name} {count}" for name, count in sorted(self.account.outcomes.items()))
        print(
            f"{(now - self.began) / 60:5.1f} min: accepted {self.account.accepted.total()}, {outcomes}; "
            f"waiting {waiting}; {share:.2f} cores; odd {len(self.account.odd)}, kills {self.stack.kills.total()}",
            flush=True,
        )

    def settle(self) -> None:
        """Until every visit is over and every callback delivered, or it is too late for that."""
        give_up_at = time.monotonic() + DRAIN_SECONDS
        while not self.crowd.leave(0) and time.monotonic() < give_up_at:
            self._turn()
        give_up_at = time.monotonic() + DELIVERY_SECONDS
        while len(self.received.taken) < len(self.account.callbacks_due) and time.monotonic() < give_up_at:
            self._turn()

    def stored(self) -> Stored:
        keys: Counter[str] = Counter()
        for key in self.stack.queue.redis.scan_iter(count=1000):
            keys[key.partition(":")[0] + (":" if ":" in key else "")] += 1
        objects = Counter(
            {name: sum(1 for _ in self.stack.storage.names(name)) for name in (INPUTS, OUTPUTS, WAVEFORMS)}
        )
        return Stored(keys, objects)

    def age_out(self, retention_seconds: float) -> Stored:
        """What is left once holds and retention have run out and a sweep has come: in twice the retention and a half
        at most."""
        give_up_at = time.monotonic() + 2.5 * retention_seconds + 30
        while any(_left(left := self.stored())) and time.monotonic() < give_up_at:
            self._turn_for(SAMPLE_SECONDS)
        return left

    def _turn_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._turn()

    def report(self, before: Stored, after: Stored) -> int:
        """Prints the tables and what is wrong; the exit status."""
        self.sampling.write(LOG.with_name("samples.csv"))
        ledger = read_ledger(self.stack.valkey.folder)
        deliveries = self._deliveries()
        self._print_head()
        rows = [*table(self.sampling.series), "", *lines(self.account, ledger, deliveries)]
        rows += [f"| keys and objects when the load ended | {before} |", f"| … after retention | {after} |"]
        wrong = [
            *faults(self.account, ledger, deliveries),
            *_left(after),
            *(f"ended by itself: {name}" for name in self.stack.unasked),
            *(f"logged a traceback: {line}" for line in self.stack.tracebacks),
            *growing(self.sampling.series),
            *crowded(self.sampling.series),
        ]
        rows += ["", *(f"WRONG: {one}" for one in wrong)] if wrong else ["", "nothing is wrong"]
        print("\n".join(rows), flush=True)
        return 1 if wrong else 0

    def _print_head(self) -> None:
        minutes, cores = self.loaded_seconds / 60, self._cpu_loaded / self.loaded_seconds
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.stack.kills.items()))
        print(f"\n{minutes:.0f} minutes of load, {self._visits} visits, {cores:.2f} cores; kills: {kills or 'none'}\n")

    def _deliveries(self) -> Deliveries:
        due = self.account.callbacks_due
        taken = {name: times for name, times in self.received.taken.items() if name in due}
        refused = self.received.refused.total()
        return Deliveries(len(taken), sum(times > 1 for times in taken.values()), refused, self.received.forged)


def _left(after: Stored) -> Iterator[str]:
    """What retention should have deleted."""
    for name in ("job:", "held:", "retiring:", INPUTS, OUTPUTS, WAVEFORMS):
        if count := (after.keys + after.objects)[name]:
            yield f"left after retention: {count} of {name}"


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
