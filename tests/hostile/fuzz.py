"""Real songs of every format, damaged at random, through the fenced probe and the fenced decoder.

    python -m tests.hostile.fuzz --seconds 600 --seed 1 --save fuzz-found

Any end is fine but an answer that is none of ours: an error outside of AudioError, samples past the limit, a sound
that is no number. A decoder that crashed behind its fence is told and saved too, since it is FFmpeg's to mend; it is
no failure here. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.audio.sandbox.probe import probe_isolated
from msaas.errors import AudioError, MSaaSError
from tests.support.audio import hostile_files as files

LIMITS = Limits(max_duration_seconds=30, max_decoded_bytes=100_000_000, memory_bytes=500_000_000)
SEED_SECONDS = 0.3
KINDS: dict[str, Callable[[], bytes]] = {
    f"{container}-{codec}": lambda codec=codec, container=container: files.encoded(  # type: ignore[misc]
        codec, container, seconds=SEED_SECONDS
    )
    for codec, container in (
        ("libmp3lame", "mp3"),
        ("mp2", "mp2"),
        ("flac", "flac"),
        ("flac", "ogg"),
        ("vorbis", "ogg"),
        ("pcm_s16le", "wav"),
        ("adpcm_ms", "wav"),
        ("pcm_f32le", "w64"),
        ("pcm_s16be", "aiff"),
        ("pcm_s16be", "caf"),
        ("pcm_mulaw", "au"),
        ("aac", "adts"),
        ("aac", "ipod"),
        ("alac", "ipod"),
        ("aac", "mpegts"),
        ("mp2", "mpeg"),
        ("flac", "matroska"),
        ("pcm_s24le", "matroska"),
        ("wavpack", "wv"),
        ("tta", "tta"),
        ("ac3", "ac3"),
        ("eac3", "eac3"),
        ("pcm_s16le", "avi"),
        ("libmp3lame", "flv"),
        ("pcm_s16le", "nut"),
    )
}
EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff" * 8)


def damaged(rng: random.Random, songs: dict[str, bytes], kind: str) -> bytes:
    data = bytearray(songs[kind])
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        rng.choice(DAMAGES)(rng, data, songs)
    return bytes(data)


def _place(rng: random.Random, data: bytearray) -> int:
    """Half of the time in the first half kilobyte, where the headers are."""
    return rng.randrange(min(len(data), 512) if rng.random() < 0.5 else len(data)) if data else 0


def flip(rng: random.Random, data: bytearray, _songs: dict[str, bytes]) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, data: bytearray, _songs: dict[str, bytes]) -> None:
    at, value = _place(rng, data), rng.choice(EXTREMES)
    data[at : at + len(value)] = value


def cut(rng: random.Random, data: bytearray, _songs: dict[str, bytes]) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 4, 100, 5_000))]


def end(rng: random.Random, data: bytearray, _songs: dict[str, bytes]) -> None:
    del data[_place(rng, data) :]


def repeat(rng: random.Random, data: bytearray, _songs: dict[str, bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = data[at : at + rng.choice((4, 100, 5_000))] * rng.choice((1, 2, 20))


def insert(rng: random.Random, data: bytearray, _songs: dict[str, bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = rng.randbytes(rng.choice((1, 4, 300)))


def splice(rng: random.Random, data: bytearray, songs: dict[str, bytes]) -> None:
    other = songs[rng.choice(sorted(songs))]
    at, since = _place(rng, data), rng.randrange(len(other))
    data[at:at] = other[since : since + rng.choice((16, 400, 20_000))]


DAMAGES: tuple[Callable[[random.Random, bytearray, dict[str, bytes]], None], ...]
DAMAGES = (flip, flip, overwrite, overwrite, overwrite, cut, end, repeat, insert, splice)


@dataclass
class Found:
    files: int = 0
    slowest_seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)  # behind the fence
    failures: list[str] = field(default_factory=list)


def ending(path: Path) -> str:
    """How reading this file ends. Raises what is not of the file's making."""
    try:
        probe_isolated(path, LIMITS, 20)
        samples = 0
        for block in IsolatedDecoder(path, sample_rate=44_100, channels=2, limits=LIMITS).blocks():
            samples += block.shape[1]
            if not np.isfinite(block).all():
                raise ArithmeticError("samples that are not finite")
        if samples > 44_100 * (LIMITS.max_duration_seconds + 1):
            raise ArithmeticError(f"{samples} samples are more than the limit")
        return "sound"
    except AudioError as error:
        broke = "crashed the decoder" in error.detail or "within" in error.detail or "computing" in error.detail
        return f"crash: {error.detail}" if broke else error.code


def run(seconds: float, seed: int, save: Path | None = None) -> Found:
    songs = dict(_songs())
    found, until = Found(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song"
        while time.monotonic() < until:
            name = f"{seed}-{found.files}"
            rng = random.Random(name)
            kind = rng.choice(sorted(songs))
            path.write_bytes(damaged(rng, songs, kind))
            _note(found, path, f"{name}-{kind}", save)
    return found


def _songs() -> Iterator[tuple[str, bytes]]:
    yield "opus", files.silent_opus(0.001)
    for kind, make in KINDS.items():
        try:
            yield kind, make()
        except (ValueError, OSError) as error:  # this FFmpeg has no such encoder
            sys.stderr.write(f"left out {kind}: {error}\n")


def _note(found: Found, path: Path, name: str, save: Path | None) -> None:
    began = time.monotonic()
    try:
        end_ = ending(path)
    except (MSaaSError, ArithmeticError, OSError, ValueError) as error:
        end_ = f"failure: {type(error).__name__}: {error}"
    found.files += 1
    found.slowest_seconds = max(found.slowest_seconds, time.monotonic() - began)
    found.ends[end_.partition(":")[0]] += 1
    kept = {"crash": found.crashes, "failure": found.failures}.get(end_.partition(":")[0])
    if kept is None:
        return
    kept.append(f"{name} {end_}")
    if save:
        save.mkdir(parents=True, exist_ok=True)
        (save / name).write_bytes(path.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, default=Path("fuzz-found"))
    args = parser.parse_args()
    found = run(args.seconds, args.seed, args.save)
    launcher.stop()
    ends = ", ".join(f"{end_} {count}" for end_, count in found.ends.most_common())
    sys.stdout.write(f"{found.files} files, seed {args.seed}: {ends}; slowest {found.slowest_seconds:.1f} s\n")
    for line in (*found.crashes, *found.failures):
        sys.stdout.write(f"  {line}\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
