"""A voice as rows of 5 ms: pitch, spectrum and noise on a coarse grid, with its syllables marked. Plays nothing.

WORLD: Morise et al., IEICE Trans. Inf. & Syst. E99-D(7), 2016."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyworld
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

Floats = NDArray[np.float64]

VOICE_RATE = 24_000  # WORLD's transform is 1024 long here and 2048 above; the air above 12 kHz is added as noise
FRAME_SECONDS = 0.005
BINS = 513
BIN_HERTZ = np.linspace(0, VOICE_RATE / 2, BINS)
GRID_HERTZ = np.concatenate([np.linspace(0, 1200, 25), np.geomspace(1250, VOICE_RATE / 2, 71)])
NOISE_HERTZ = np.array([0.0, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9500, 12_000])
NOT_A_VOICE = "fewer than six syllables"


@dataclass(frozen=True)
class Voice:
    """Speech on a grid. `syllables`: frames (start, vowel, vowel's end, is last of its clip)."""

    hertz: NDArray[np.float16]  # [frames], 0 where unvoiced
    envelope: NDArray[np.float16]  # [frames, grid], log power
    noise: NDArray[np.float16]  # [frames, noise grid], 0 … 1
    syllables: NDArray[np.int32]  # [syllables, 4]
    band_hertz: float  # where the recording's own band ends

    @property
    def natural_hertz(self) -> float:
        return float(np.median(self.hertz[self.hertz > 0].astype(float)))

    def save(self, path: Path) -> None:
        unfinished = path.with_suffix(".part.npz")
        np.savez_compressed(unfinished, **vars(self))
        unfinished.rename(path)

    @classmethod
    def load(cls, path: Path) -> Voice:
        with np.load(path) as rows:
            found = {name: rows[name] for name in ("hertz", "envelope", "noise", "syllables")}
            return cls(**found, band_hertz=float(rows["band_hertz"]))


def joined(clips: list[Voice]) -> Voice:
    """One voice from its clips; raises ValueError for too little speech to sing with."""
    clips = [clip for clip in clips if len(clip.syllables)]
    if sum(len(clip.syllables) for clip in clips) < 6:
        raise ValueError(NOT_A_VOICE)
    starts = np.cumsum([0, *(len(clip.hertz) for clip in clips[:-1])])
    shift = np.array([1, 1, 1, 0])
    syllables = [clip.syllables + start * shift for clip, start in zip(clips, starts, strict=True)]
    return Voice(
        np.concatenate([clip.hertz for clip in clips]),
        np.concatenate([clip.envelope for clip in clips]),
        np.concatenate([clip.noise for clip in clips]),
        np.concatenate(syllables).astype(np.int32),
        clips[0].band_hertz,
    )


def analysed(speech: Floats, band_hertz: float, vowels: list[tuple[float, float]] | None) -> Voice:
    """A clip at VOICE_RATE. `vowels` in seconds where the synthesiser tells them; found by ear otherwise."""
    speech = np.ascontiguousarray(speech / (np.abs(speech).max() + 1e-9) * 0.7)
    speech = speech + np.random.default_rng(0).normal(0, 1e-5, len(speech))  # digital silence upsets WORLD
    rough, times = pyworld.dio(speech, VOICE_RATE, f0_floor=71.0, f0_ceil=600.0, frame_period=FRAME_SECONDS * 1000)
    hertz = pyworld.stonemask(speech, rough, times, VOICE_RATE)
    envelope = np.log(pyworld.cheaptrick(speech, hertz, times, VOICE_RATE) + 1e-12)
    noise = pyworld.d4c(speech, hertz, times, VOICE_RATE)
    grid = envelope @ weights(BIN_HERTZ, GRID_HERTZ)
    marks = nuclei(grid, hertz) if vowels is None else [(round(a / 0.005), round(b / 0.005)) for a, b in vowels]
    marks = [(a, b) for a, b in marks if b - a >= 6 and b < len(hertz) and np.mean(hertz[a:b] > 0) > 0.6]
    return Voice(
        hertz.astype(np.float16),
        grid.astype(np.float16),
        (noise @ weights(BIN_HERTZ, NOISE_HERTZ)).astype(np.float16),
        syllables(marks),
        band_hertz,
    )


def weights(source_hertz: Floats, wanted_hertz: Floats) -> Floats:
    """[source, wanted]: rows times this are the rows read at `wanted_hertz`."""
    place = np.interp(wanted_hertz, source_hertz, np.arange(len(source_hertz)))
    low = np.minimum(place.astype(int), len(source_hertz) - 2)
    matrix = np.zeros((len(source_hertz), len(wanted_hertz)))
    matrix[low, np.arange(len(wanted_hertz))] = 1 - (place - low)
    matrix[low + 1, np.arange(len(wanted_hertz))] += place - low
    return matrix


def loudness(grid: Floats, low_hertz: float, high_hertz: float) -> Floats:
    """Mean log power of each frame within a band."""
    band = (low_hertz <= GRID_HERTZ) & (high_hertz >= GRID_HERTZ)
    return np.asarray(np.log(np.exp(grid[:, band]).mean(axis=1) + 1e-12))


def nuclei(grid: Floats, hertz: Floats) -> list[tuple[int, int]]:
    """Frames of what is probably a vowel: voiced, and a hill of the power between 300 and 3000 Hz."""
    level = np.convolve(loudness(grid, 300, 3000), np.ones(7) / 7, "same")
    floor = np.quantile(level[hertz > 0], 0.9) - 4.0 if np.any(hertz > 0) else 0.0
    middle = level[1:-1]
    peaks = np.flatnonzero((middle >= level[:-2]) & (middle > level[2:]) & (hertz[1:-1] > 0) & (middle > floor)) + 1
    found: list[tuple[int, int]] = []
    for peak in peaks:
        near = (level > level[peak] - 1.2) & (hertz > 0)
        first = peak - int(np.argmin(near[peak::-1])) + 1
        last = peak + (int(np.argmin(near[peak:])) or len(near) - peak) - 1
        if last - first >= 8 and (not found or first > found[-1][1]):
            found.append((first, last))
    return found


def syllables(marks: list[tuple[int, int]]) -> NDArray[np.int32]:
    """Each vowel with the consonants before it; pauses longer than 0.2 s are left out."""
    rows, before = [], 0
    for index, (first, last) in enumerate(marks):
        start = max(before, first - 40)
        rows.append((start, first, last, index == len(marks) - 1))
        before = last
    return np.array(rows, dtype=np.int32).reshape(-1, 4)
