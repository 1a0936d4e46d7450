"""Writes the songs of tests/e2e/gate in MUSDB18-HQ's layout: `python -m tests.support.audio.gate_songs FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.support.audio.sounds import RATE, decode_with_av

GATE = Path(__file__).parents[2] / "e2e" / "gate"


def write_songs(folder: Path, seconds: float | None = None) -> list[Path]:
    """The songs' folders; `seconds` cuts each song."""
    end = None if seconds is None else int(seconds * RATE)
    return [_write(song, folder / song.name, end) for song in sorted(GATE.iterdir()) if song.is_dir()]


def _write(song: Path, folder: Path, end: int | None) -> Path:
    folder.mkdir(parents=True)
    stems = {file.stem: decode_with_av(file.read_bytes())[:, :end] for file in sorted(song.glob("*.mp3"))}
    for name, samples in (stems | {"mixture": np.sum(list(stems.values()), axis=0)}).items():
        soundfile.write(folder / f"{name}.wav", samples.T, RATE, subtype="FLOAT")
    return folder


if __name__ == "__main__":
    write_songs(Path(sys.argv[1]))
