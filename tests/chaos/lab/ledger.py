"""What Redis itself wrote down: its append-only file, read as the complete history of every job. Changes nothing.

Events over pub/sub get lost when a server restarts, and a worker that is killed takes its own log's last line with
it. The append-only file has every change in the order in which it happened, and where one script ended and the next
began (MULTI … EXEC). So each state that Redis was ever in between two commands can be checked, not only the last.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WAITING, PROCESSING, LEASES = "toWorkers", "toWorkers:processing", "toWorkers:leases"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Command = list[str]


@dataclass(frozen=True)
class Move:
    """One change of a job's state. `at` is Redis' time in seconds where the record holds one."""

    kind: str  # submitted, claimed, requeued, done, failed, cancelled
    songhash: str
    fence: str = ""
    worker: str = ""
    at: float = 0.0


@dataclass
class Ledger:
    """Every move in order, and every breach of the rule that a job is in exactly the lists its state names."""

    moves: list[Move] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    def of(self, songhash: str) -> list[Move]:
        return [move for move in self.moves if move.songhash == songhash]

    def count(self, kind: str) -> Counter[str]:
        return Counter(move.songhash for move in self.moves if move.kind == kind)


def read_ledger(folder: Path, by_hand: frozenset[str] = frozenset()) -> Ledger:
    """Replays the append-only file of a Valkey's folder. Songs pushed `by_hand` may wait twice."""
    replay = Replay(by_hand)
    for transaction in transactions(folder):
        replay.apply(transaction)
    return replay.ledger


def transactions(folder: Path) -> Iterator[list[Command]]:
    """The commands between MULTI and EXEC together, any other by itself. A file cut short ends where it is whole."""
    batch: list[Command] | None = None
    for command in commands(folder):
        name = command[0].upper()
        if name == "MULTI":
            batch = []
        elif name == "EXEC":
            yield batch or []
            batch = None
        elif batch is not None:
            batch.append(command)
        else:
            yield [command]


def commands(folder: Path) -> Iterator[Command]:
    files = sorted(folder.glob("appendonlydir/*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))
    for path in files:
        yield from _commands(path.read_bytes())


def _commands(data: bytes) -> Iterator[Command]:
    """RESP: `*<words>` then `$<bytes>` before each word."""
    position = 0
    while position < len(data):
        try:
            count, position = _length(data, position, b"*")
            words = []
            for _ in range(count):
                size, position = _length(data, position, b"$")
                words.append(data[position : position + size].decode("utf-8", "replace"))
                position += size + 2
        except ValueError:
            return
        if position <= len(data):
            yield words


def _length(data: bytes, position: int, mark: bytes) -> tuple[int, int]:
    end = data.index(b"\r\n", position)
    if data[position : position + 1] != mark:
        raise ValueError(f"no {mark!r} at byte {position}")
    return int(data[position + 1 : end]), end + 2


class Replay:
    """Redis' state, as far as jobs go, rebuilt command by command."""

    def __init__(self, by_hand: frozenset[str]) -> None:
        self.ledger, self._by_hand = Ledger(), by_hand
        self._records: dict[str, dict[str, str]] = {}
        self._waiting: list[str] = []
        self._processing: Counter[str] = Counter()
        self._leases: set[str] = set()

    def apply(self, transaction: list[Command]) -> None:
        touched: set[str] = set()
        for name, *words in transaction:
            if handle := getattr(self, f"_{name.lower()}", None):
                handle(*words)
            touched |= {match for word in words[:8] for match in _UUID.findall(word.lower())[:1]}
        for songhash in touched:
            self._check(songhash)

    def _check(self, songhash: str) -> None:
        state = self._records.get(songhash, {}).get("state")
        found = (self._waiting.count(songhash), self._processing[songhash], int(songhash in self._leases))
        if state is None or (songhash in self._by_hand and found[1:] == (int(state == "running"),) * 2):
            return
        wanted = {"queued": (1, 0, 0), "running": (0, 1, 1)}.get(state, (0, 0, 0))
        if found != wanted:
            where = f"waiting {found[0]}, processing {found[1]}, leases {found[2]} times"
            self.ledger.breaches.append(f"{songhash} is {state} but stands in {where}")

    # --- one method a command; those that touch no job are left out

    def _hset(self, key: str, *pairs: str) -> None:
        if not key.startswith("job:"):
            return
        songhash, fields = key[4:], dict(zip(pairs[::2], pairs[1::2], strict=False))
        record = self._records.setdefault(songhash, {})
        record.update(fields)
        if "state" in fields:
            self.ledger.moves.append(_move(songhash, fields, record))

    def _hdel(self, key: str, *names: str) -> None:
        for name in names:
            self._records.get(key[4:], {}).pop(name, None)

    def _del(self, *keys: str) -> None:
        for key in keys:
            self._records.pop(key[4:], None)

    def _flushall(self, *_how: str) -> None:
        self._records.clear()
        self._waiting.clear()
        self._processing.clear()
        self._leases.clear()

    def _rpush(self, key: str, *entries: str) -> None:
        if key == WAITING:
            self._waiting.extend(entry.lower() for entry in entries)
        elif key == PROCESSING:
            self._processing.update(entries)

    def _lpush(self, key: str, *entries: str) -> None:
        if key == WAITING:
            self._waiting[:0] = [entry.lower() for entry in reversed(entries)]

    def _linsert(self, key: str, _where: str, pivot: str, entry: str) -> None:
        if key == WAITING and pivot.lower() in self._waiting:
            self._waiting.insert(self._waiting.index(pivot.lower()), entry.lower())

    def _lpop(self, key: str) -> None:
        if key == WAITING and self._waiting:
            self._waiting.pop(0)

    def _lrem(self, key: str, count: str, entry: str) -> None:
        if key == WAITING and count == "1":
            if entry.lower() in self._waiting:
                self._waiting.remove(entry.lower())
        elif key == WAITING:
            self._waiting = [other for other in self._waiting if other != entry]
        elif key == PROCESSING:
            self._processing.pop(entry, None)

    def _zadd(self, key: str, *words: str) -> None:
        if key == LEASES:
            self._leases.add(words[-1])

    def _zrem(self, key: str, *entries: str) -> None:
        if key == LEASES:
            self._leases.difference_update(entries)


def _move(songhash: str, fields: dict[str, str], record: dict[str, str]) -> Move:
    state = fields["state"]
    if state == "running":
        return Move("claimed", songhash, record["fence"], record["worker"], int(record["started_ms"]) / 1000)
    if state == "queued":
        kind = "submitted" if "created_ms" in fields else "requeued"
        return Move(kind, songhash, at=int(fields.get("created_ms", 0)) / 1000)
    return Move(state, songhash, record.get("fence", ""), record.get("worker", ""), _finished(record))


def _finished(record: dict[str, str]) -> float:
    return int(record.get("finished_ms") or 0) / 1000
