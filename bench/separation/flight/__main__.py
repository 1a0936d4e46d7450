"""How busy a card would be: whole jobs with a stand-in for the network, for 1, 2, 3 … songs in flight.

    python -m bench.separation.flight [--milliseconds 7] [--minutes 3] [--songs 6] [--in-flight 1 2 3] [--format flac]
                                      [--one-thread]

The stand-in takes 7 ms a segment, what a card takes at batch 8, and no processor time; decoding, overlap-add,
waveforms, analysis and encoding are the real ones. The second table says which core-seconds a song takes for them, and
how many cores would keep the card busy.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import psutil

from bench.separation import results
from bench.separation.flight.stand_in import StandIn, stand_in_separator
from bench.separation.memory import make_song
from msaas.audio.analysis.song import SongAnalyser
from msaas.audio.sandbox import launcher
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.audio.waveform import Waveforms
from msaas.options import Options
from msaas.separation import memory, pipeline, writers
from msaas.separation.engines.turns import song_in_turn
from msaas.separation.overlap_add import NetworkPass
from msaas.separation.pipeline import Separator, separate_song

DECODERS = "decoding, in its processes"


class CoreSeconds:
    """Processor seconds of the calling thread in functions that are counted; of nested ones, each its own."""

    def __init__(self) -> None:
        self.by_part: dict[str, float] = defaultdict(float)
        self._inner = threading.local()

    def counted(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.of(part):
                return function(*args, **kwargs)

        return run

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        outer, self._inner.seconds = getattr(self._inner, "seconds", 0.0), 0.0
        began = time.thread_time()
        try:
            yield
        finally:
            took = time.thread_time() - began
            self.by_part[part] += took - self._inner.seconds
            self._inner.seconds = outer + took

    def generator(self, part: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = function(*args, **kwargs)
            while True:
                with self.of(part):
                    item = next(items, None)
                if item is None:
                    return
                yield item

        return run


def count_parts() -> CoreSeconds:
    """Replaces the functions of a job's parts by counted ones."""
    found = CoreSeconds()
    parts: list[tuple[str, Any, str]] = [
        ("overlap-add, segments", NetworkPass, "advance"),
        ("overlap-add, level", NetworkPass, "take"),
        ("waveforms", Waveforms, "add"),
        ("tempo, key, loudness", SongAnalyser, "add"),
        ("tempo, key, loudness", SongAnalyser, "result"),
        ("measuring", pipeline, "measure"),
        ("encoding, streaming", writers._StemEncoder, "_write"),
        ("encoding, closing", writers._StemEncoder, "close"),
    ]
    for part, owner, name in parts:
        setattr(owner, name, found.counted(part, getattr(owner, name)))
    reading = found.generator("reading from the decoder", IsolatedDecoder.blocks)
    IsolatedDecoder.blocks = reading  # type: ignore[method-assign]
    return found


def process_seconds() -> float:
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def decoder_seconds() -> float:
    """Of the sandbox's processes that have ended."""
    pid = launcher.current().pid
    times = psutil.Process(pid).cpu_times() if pid else None
    return times.children_user + times.children_system + times.user + times.system if times else 0.0


def run_songs(separator: Separator, song: Path, songs: int, in_flight: int, form: str) -> float:
    """Seconds for all songs."""

    def one(_number: int) -> None:
        with tempfile.TemporaryDirectory() as out, song_in_turn():
            options = Options.parse({"format": form}, default_model="stand-in", allowed=("stand-in",))
            separate_song(lambda _model: separator, song, Path(out), options, analyse=True)

    began = time.monotonic()
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(one, range(songs)))
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milliseconds", type=float, default=7.0, help="of the stand-in, a segment")
    parser.add_argument("--minutes", type=float, default=3.0, help="of a song")
    parser.add_argument("--songs", type=int, default=6, help="for each row")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--format", default="flac", help="of the stems")
    parser.add_argument("--one-thread", action="store_true", help="each song's stages in one thread, as on a CPU")
    options = parser.parse_args()
    memory.keep_freed()
    counted, rows = count_parts(), {}
    with tempfile.TemporaryDirectory() as folder:
        song = make_song(Path(folder), options.minutes)
        engine = StandIn(options.milliseconds / 1000)
        separator = stand_in_separator(engine)
        separator.in_stages = not options.one_thread
        run_songs(separator, song, 1, 1, options.format)
        for in_flight in options.in_flight:
            engine.busy_seconds, own, decoders = 0.0, process_seconds(), decoder_seconds()
            counted.by_part.clear()
            took = run_songs(separator, song, options.songs, in_flight, options.format)
            parts = {DECODERS: decoder_seconds() - decoders, **counted.by_part}
            parts["other"] = process_seconds() - own - sum(counted.by_part.values())
            rows[str(in_flight)] = {
                "song_seconds": took / options.songs,
                "busy": engine.busy_seconds / took,
                "realtime": 60 * options.minutes * options.songs / took,
                "core_seconds": {part: seconds / options.songs for part, seconds in parts.items()},
            }
            tell(in_flight, rows[str(in_flight)])
    tell_parts(rows)
    print(results.write("flight", rows, vars(options)))


def tell(in_flight: int, row: dict[str, Any]) -> None:
    print(f"{in_flight} in flight: {row['song_seconds']:.2f} s a song, card busy {row['busy']:.0%}", flush=True)


def tell_parts(rows: dict[str, dict[str, Any]]) -> None:
    print(f"\n{len(os.sched_getaffinity(0))} cores\n")
    print("| songs in flight | s a song | × real time | card busy | core-seconds a song |\n|---|---|---|---|---|")
    for in_flight, row in rows.items():
        total = sum(row["core_seconds"].values())
        print(f"| {in_flight} | {row['song_seconds']:.2f} | {row['realtime']:.0f} | {row['busy']:.0%} | {total:.2f} |")
    row = list(rows.values())[-1]
    last = row["core_seconds"]
    card_seconds = row["busy"] * row["song_seconds"]
    cores = sum(last.values()) / card_seconds
    print(f"\n{cores:.0f} cores would keep the card busy: a song takes {card_seconds:.2f} s of it")
    print("\n| part | core-seconds a song |\n|---|---|")
    for part, seconds in sorted(last.items(), key=lambda item: -item[1]):
        print(f"| {part} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
