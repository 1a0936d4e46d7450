"""What went in must come out, once: the account of one row, in the manner of Jepsen's total-queue checker.

Went in: every song whose submission was acknowledged. Came out: `done` with stems of the right bytes in storage,
`failed` with a reason and an entry among the dead, or `cancelled` with no stems. A submission without an answer may
count as either (Jepsen: recovered), but must not be left half in.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msaas.jobs import Job, State
from msaas.queue import Queue
from msaas.storage import OUTPUTS, Storage
from tests.chaos.lab.ledger import Ledger, Move
from tests.worker.stub_child import STEMS, stem_bytes


@dataclass
class Account:
    accepted: int = 0
    done: int = 0
    dead: int = 0
    cancelled: int = 0
    unanswered: int = 0  # submissions that were never acknowledged and never came in
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)  # done, but a stem is missing or has other bytes
    stray: list[str] = field(default_factory=list)  # ended without stems, but some are there
    breaches: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Why this account does not balance; empty where it does."""
        named = {"lost": self.lost, "doubled": self.doubled, "torn": self.torn, "strays": self.stray}
        named["breaches"] = self.breaches
        return [f"{name}: {len(found)} ({'; '.join(found[:3])})" for name, found in named.items() if found]


def etags(wish: Mapping[str, Any]) -> dict[str, str]:
    """Stem ▸ MD5 of its known bytes, which is the ETag of an object put in one piece."""
    if "etags" in wish:
        return dict(wish["etags"])
    return {stem: hashlib.md5(stem_bytes(stem, wish)).hexdigest() for stem in STEMS}  # noqa: S324


def take_account(
    ledger: Ledger, wishes: Mapping[str, Mapping[str, Any]], accepted: set[str], queue: Queue, storage: Storage
) -> Account:
    account = Account(accepted=len(accepted), breaches=list(ledger.breaches))
    stored = stems_in(storage)
    dead = set(queue.dead(100_000))
    submitted, published = ledger.count("submitted"), ledger.count("done")
    for songhash, wish in wishes.items():
        job = queue.get(songhash)
        if job is None and songhash not in accepted:
            account.unanswered += 1
            continue
        _enter(account, songhash, job, songhash in dead, stored.get(songhash, {}), etags(wish))
        if published[songhash] > max(submitted[songhash], 1):
            account.doubled.append(f"{songhash} was published {published[songhash]} times")
    return account


def _enter(
    account: Account, songhash: str, job: Job | None, among_dead: bool, stems: dict[str, str], wanted: dict[str, str]
) -> None:
    match job.state if job else None:
        case State.DONE:
            account.done += 1
            if stems != wanted:
                account.torn.append(f"{songhash} has {sorted(stems)}")
            return
        case State.FAILED if among_dead and job and job.error and job.error.get("detail"):
            account.dead += 1
        case State.CANCELLED:
            account.cancelled += 1
        case state:
            account.lost.append(f"{songhash} ended as {state}")
    if stems:
        account.stray.append(f"{songhash} {sorted(stems)}")


def stems_in(storage: Storage) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for item in storage.names(OUTPUTS):
        songhash, stem = item.name[:36], item.name[37:].removesuffix(".mp3")
        found[songhash][stem] = item.etag
    return found


def recoveries(ledger: Ledger, kills: list[tuple[int, float]]) -> list[float]:
    """Seconds from each kill (pid, time) that hit a job in work to that job's next start, or its end."""
    by_song: dict[str, list[Move]] = defaultdict(list)
    for move in ledger.moves:
        by_song[move.songhash].append(move)
    killed = dict(kills)
    return [seconds for moves in by_song.values() for seconds in _recoveries_of(moves, killed)]


def _recoveries_of(moves: list[Move], killed: Mapping[int, float]) -> Iterator[float]:
    """A claim that was followed by a requeue and then by anything with a time of its own."""
    for claim, requeue, then in zip(moves, moves[1:], moves[2:], strict=False):
        if claim.kind == "claimed" and requeue.kind == "requeued" and then.at:
            pid = int(claim.worker.split("-")[-2])
            if pid in killed:
                yield then.at - killed[pid]


def p99(values: list[float]) -> float | None:
    """The 99th percentile, by nearest rank: of fewer than a hundred values, the largest."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * 99 // 100) - 1] if ordered else None
