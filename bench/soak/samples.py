"""What each process of a soak takes, read from /proc, and whether it grows. Starts and ends nothing."""

from __future__ import annotations

import csv
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

MIB = 2**20
WARM_UP = 0.5  # of the time: caches and freed memory that the allocator keeps reach their level, retention too
BLOCKS = 16  # means of so many stretches are fitted: neighbouring samples are not independent
T_95 = 2.145  # Student's t for 14 degrees of freedom, two-sided
SHORTEST_JUDGED_SECONDS = 1200.0  # a slope per hour says nothing about a few minutes
EDGE = 6  # samples whose median is the start, and the end

MEASURES = ("rss", "pss", "descriptors", "threads")


@dataclass(frozen=True)
class Sample:
    """MiB, MiB, counts."""

    at: float
    rss: float
    pss: float
    descriptors: float
    threads: float


def look(pid: int) -> Sample | None:
    """None where the process is gone."""
    folder = Path(f"/proc/{pid}")
    with suppress(OSError, ValueError, KeyError):
        rollup = dict(line.split()[:2] for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
        threads = sum(1 for _ in (folder / "task").iterdir())
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
        rss, pss = (int(rollup[name]) / 1024 for name in ("Rss:", "Pss:"))
        return Sample(time.monotonic(), rss, pss, descriptors, threads)
    return None


@dataclass(frozen=True)
class Slope:
    """By the hour, and half the width of its 95 % interval."""

    value: float
    margin: float

    @property
    def surely(self) -> float:
        """What it is at least."""
        return self.value - self.margin


@dataclass
class Series:
    """Samples of one kind of process; `steady` where the same process ran all the time."""

    samples: list[Sample] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)

    def of(self, measure: str) -> list[float]:
        return [getattr(sample, measure) for sample in self.samples]

    def start(self, measure: str) -> float:
        return statistics.median(self.of(measure)[:EDGE])

    def end(self, measure: str) -> float:
        return statistics.median(self.of(measure)[-EDGE:])

    def peak(self, measure: str) -> float:
        return max(self.of(measure))

    @property
    def warm(self) -> list[Sample]:
        first, last = self.samples[0].at, self.samples[-1].at
        return [sample for sample in self.samples if sample.at >= first + WARM_UP * (last - first)]

    @property
    def judged(self) -> bool:
        warm = self.warm
        return len(self.pids) == 1 and len(warm) >= 4 * BLOCKS and warm[-1].at - warm[0].at >= SHORTEST_JUDGED_SECONDS

    def slope(self, measure: str) -> Slope | None:
        """Least squares over the means of stretches; None where there is too little, or several processes."""
        warm = self.warm
        if len(self.pids) != 1 or len(warm) < 2 * BLOCKS:
            return None
        blocks = np.array_split(np.array([(sample.at, getattr(sample, measure)) for sample in warm]), BLOCKS)
        hours, values = np.array([block.mean(axis=0) for block in blocks]).T
        return fit((hours - hours[0]) / 3600, values)


def fit(x: np.ndarray, y: np.ndarray) -> Slope:
    """The line through (x, y)."""
    spread = ((x - x.mean()) ** 2).sum()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
    residuals = y - y.mean() - slope * (x - x.mean())
    error = float(np.sqrt((residuals**2).sum() / (len(x) - 2) / spread))
    return Slope(slope, T_95 * error)


class Sampling:
    """`kinds` says which processes there are now: name ▸ pids. Short-lived ones are summed under their name."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = defaultdict(Series)
        self.cpu_seconds: dict[int, float] = {}

    def take(self, kinds: Sequence[tuple[str, int]]) -> None:
        for name, pid in kinds:
            if found := look(pid):
                self.series[name].samples.append(found)
                self.series[name].pids.add(pid)
                self._note_cpu(pid)

    def write(self, path: Path) -> None:
        """Every sample as CSV: seconds since the first, process, and the measures."""
        began = min(sample.at for series in self.series.values() for sample in series.samples)
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("seconds", "process", *MEASURES))
            for name, series in self.series.items():
                for one in series.samples:
                    rows.writerow((round(one.at - began, 1), name, *(getattr(one, measure) for measure in MEASURES)))

    def _note_cpu(self, pid: int) -> None:
        """With its ended children, which is where decoders end up."""
        with suppress(psutil.Error):
            self.cpu_seconds[pid] = sum(psutil.Process(pid).cpu_times()[:4])

    @property
    def cpu(self) -> float:
        """Seconds of all processes together; what a killed one took after its last sample is missing."""
        return sum(self.cpu_seconds.values())


# Allowed growth in an hour: the larger of a fixed amount and a fraction of the process's size.
GROWTH = {"rss": (6.0, 0.04), "pss": (6.0, 0.04), "descriptors": (2.0, 0.0), "threads": (2.0, 0.0)}
# Valkey keeps each callback's record for 30 days, the store its index and Go's garbage.
GROWTH_OF = {"valkey": {"rss": (12.0, 0.0), "pss": (12.0, 0.0)}, "store": {"rss": (40.0, 0.0), "pss": (40.0, 0.0)}}

# No more descriptors than this. The API: a connection to Redis and one to the store for each thread that handles
# requests (32 and 4) or works in the background (6), three for each client of the soak (12), and 40 files.
MAX_DESCRIPTORS = {"API": 2 * (32 + 4 + 6) + 3 * 12 + 40}


def limit(name: str, series: Series, measure: str) -> float:
    fixed, part = GROWTH_OF.get(name, {}).get(measure, GROWTH[measure])
    return max(fixed, part * series.start(measure))


def crowded(all_series: dict[str, Series]) -> Iterator[str]:
    """Which processes had more descriptors than their pools and clients explain."""
    for name, most in MAX_DESCRIPTORS.items():
        if name in all_series and (peak := all_series[name].peak("descriptors")) > most:
            yield f"{name}: {peak:.0f} descriptors, the limit is {most}"


def growing(all_series: dict[str, Series]) -> Iterator[str]:
    """Which slopes are positive beyond their limit, surely."""
    for name, series in all_series.items():
        for measure in MEASURES if series.judged else ():
            slope, most = series.slope(measure), limit(name, series, measure)
            if slope and slope.surely > most:
                yield f"{name}: {measure} {slope.value:+.1f} ± {slope.margin:.1f} an hour, the limit is {most:.1f}"


def table(all_series: dict[str, Series]) -> Iterator[str]:
    heads = ("process", "RSS, MiB", "PSS, MiB", "descriptors", "threads")
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for name, series in all_series.items():
        several = f", {len(series.pids)} one after the other" if len(series.pids) > 1 else ""
        yield f"| {name}{several} | {' | '.join(_cell(series, measure) for measure in MEASURES)} |"


def _cell(series: Series, measure: str) -> str:
    slope = series.slope(measure)
    text = f"{series.start(measure):.0f} to {series.end(measure):.0f}, peak {series.peak(measure):.0f}"
    return text + (f"; {slope.value:+.1f} ± {slope.margin:.1f} an hour" if slope else "")
