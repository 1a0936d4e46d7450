"""What went into a soak and what came out of it: songs, stems, callbacks, answers that nobody expected."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import soundfile

from bench.soak.songs import Tune
from tests.chaos.lab.ledger import Ledger

SHOWN = 5


@dataclass
class Account:
    """Shared by all clients. `accepted` counts each time that a song was queued, which is a run to be ended."""

    accepted: Counter[str] = field(default_factory=Counter)  # songhash
    ended: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)  # done, cancelled, failed (code)
    calls: Counter[str] = field(default_factory=Counter)  # what was asked
    refused: Counter[str] = field(default_factory=Counter)  # code of damaged uploads
    stems: int = 0  # compared
    unlike: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    callbacks_due: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[tuple[int, str, str], str] = field(default_factory=dict)

    def accept(self, songhash: str) -> None:
        with self._lock:
            self.accepted[songhash] += 1

    def end(self, songhash: str, outcome: str) -> None:
        with self._lock:
            self.ended[songhash] += 1
            self.outcomes[outcome] += 1

    def call(self, what: str) -> None:
        with self._lock:
            self.calls[what] += 1

    def refuse(self, code: str) -> None:
        with self._lock:
            self.refused[code] += 1

    def note_odd(self, what: str) -> None:
        with self._lock:
            self.odd.append(what)

    def due(self, callback: str) -> None:
        with self._lock:
            self.callbacks_due.add(callback)

    def compare(self, tune: Tune, options: str, stem: str, data: bytes) -> None:
        """The first of a tune, its options and a stem is decoded and has to be as long as the tune; later ones have to
        be the same bytes, whoever posted the song and whichever worker ran it."""
        digest, key = hashlib.sha256(data).hexdigest(), (tune.number, options, stem)
        with self._lock:
            self.stems += 1
            known = self._known.setdefault(key, digest)
            first = known == digest
        if not first:
            self._note_unlike(f"tune {key} is not what it was")
        elif (samples := soundfile.read(io.BytesIO(data))[0].shape[0]) != tune.samples:
            self._note_unlike(f"tune {key} has {samples} samples, not {tune.samples}")

    def _note_unlike(self, what: str) -> None:
        with self._lock:
            self.unlike.append(what)

    @property
    def lost(self) -> list[str]:
        return sorted((self.accepted - self.ended).elements())


def doubled(ledger: Ledger) -> list[str]:
    """Songs that were published more often than they were queued, as Valkey's own log has it."""
    queued, published = ledger.count("submitted"), ledger.count("done")
    return [name for name, times in published.items() if times > queued[name]]


@dataclass(frozen=True)
class Deliveries:
    """Callbacks as their receiver counts them."""

    delivered: int
    twice: int
    refused: int  # answered with an error, or not at all, on purpose
    forged: int  # with a wrong signature


def lines(account: Account, ledger: Ledger, deliveries: Deliveries) -> Iterator[str]:
    """The account as a table."""
    yield "| what | count |"
    yield "|---|---|"
    yield f"| songs accepted | {account.accepted.total()} |"
    for outcome, count in sorted(account.outcomes.items()):
        yield f"| … {outcome} | {count} |"
    yield f"| … **lost** | {len(account.lost)} |"
    yield f"| … **doubled** | {len(doubled(ledger))} |"
    breaches = f"{len(ledger.breaches)} with a job in the wrong lists"
    yield f"| changes of state in Valkey's log | {len(ledger.moves)}, {breaches} |"
    yield f"| stems compared | {account.stems}, {len(account.unlike)} unlike |"
    yield f"| callbacks due | {len(account.callbacks_due)} |"
    attempts = f"after {deliveries.refused} attempts that the receiver refused"
    yield f"| … delivered | {deliveries.delivered} {attempts}, {deliveries.twice} of them twice |"
    refused = ", ".join(f"{code} {count}" for code, count in sorted(account.refused.items()))
    yield f"| damaged uploads refused | {account.refused.total()} ({refused}) |"
    calls = ", ".join(f"{what} {count}" for what, count in account.calls.most_common())
    yield f"| calls | {account.calls.total()} ({calls}) |"
    yield f"| answers that nobody expects | {len(account.odd)} |"


def faults(account: Account, ledger: Ledger, deliveries: Deliveries) -> Iterator[str]:
    """Why the account does not balance."""
    found = {
        "lost": account.lost,
        "doubled": doubled(ledger),
        "in the wrong lists": ledger.breaches,
        "stems unlike": account.unlike,
        "unexpected answers": account.odd,
    }
    for name, cases in found.items():
        if cases:
            yield f"{name}: {len(cases)}: {'; '.join(cases[:SHOWN])}"
    if missing := len(account.callbacks_due) - deliveries.delivered:
        yield f"callbacks: {missing} not delivered"
    if deliveries.forged:
        yield f"callbacks: {deliveries.forged} with a wrong signature"
