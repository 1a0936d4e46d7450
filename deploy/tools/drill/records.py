"""What a drill is asked to do, and what it found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


class DrillError(Exception):
    """The drill cannot go on; says what failed."""


@dataclass(frozen=True)
class Plan:
    """What to do, from the command line."""

    context: str = ""
    namespace: str = "msaas"
    url: str = ""
    key: str = ""
    songs: int = 6
    every_seconds: float = 4.0
    song_seconds: int = 15
    long_seconds: int = 60
    limit_seconds: float = 900.0
    power_off: str = ""
    power_on: str = ""
    power_seconds: float = 40.0
    faults: tuple[str, ...] = ()


@dataclass
class Song:
    """One song of a row, and what has become of it. One thread writes it."""

    seed: int
    length: int  # seconds of audio
    songhash: str = ""
    state: str = ""
    attempts: int = 0
    starts: set[str] = field(default_factory=set)  # when its runs began
    seconds: float = 0.0
    lost: str = ""  # why, or nothing

    @property
    def given_back(self) -> int:
        """Runs that ended without a result and were not charged: a worker that stops returns its song to the queue."""
        return max(0, len(self.starts) - self.attempts)


@dataclass
class Row:
    """One fault: its songs, and how each call to the API ended."""

    what: str
    songs: list[Song] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> list[str]:
        return [song.lost for song in self.songs if song.lost]


HEAD = (
    "| what was done while songs ran | songs | whole | attempts | given back "
    "| calls refused | no answer | longest song |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def table_line(row: Row) -> str:
    attempts = sum(song.attempts for song in row.songs)
    given_back = sum(song.given_back for song in row.songs)
    longest = max(song.seconds for song in row.songs)
    return (
        f"| {row.what} | {len(row.songs)} | {len(row.songs) - len(row.lost)} | {attempts} | {given_back} "
        f"| {refusals(row)} | {row.calls['no answer']} | {longest:.0f} s |\n"
    )


def refusals(row: Row) -> str:
    """`12: 503 queue_unavailable`, each reason by itself; 0 without any."""
    found = {how.partition(": ")[2]: count for how, count in sorted(row.calls.items()) if how.startswith("refused")}
    return ", ".join(f"{count}: {reason}" for reason, count in found.items()) or "0"
