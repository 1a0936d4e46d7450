"""The key of a song, from the pitches of what is neither drums nor voice.

A histogram of pitch classes, corrected for the tuning, is correlated with the 24 profiles of Albrecht and Shanahan
("The Use of Large Corpora to Train a New Type of Key-Finding Algorithm", Music Perception 31, 2013); the best is the
key. How often it is right: `python -m bench.separation.analysis`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas.audio.analysis.frames import Frames, Mono

FRAME = 16_384
HOP = 8192
LOWEST_HZ, HIGHEST_HZ = 55.0, 1760.0
STEPS = 10  # of a semitone
A4_HZ, A = 440.0, 9
NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)
MIN_CORRELATION = 0.5
MIN_CONFIDENCE = 0.15
FULL_CONFIDENCE = 0.25  # the distance of the best two correlations that counts as certain
QUIET = 1e-4  # magnitude, of a full-scale sine 1


@dataclass(frozen=True)
class Key:
    """`name` as in "F# minor". `confidence`, 0 to 1: how far the next likely key is. `tuning`: cents from 440 Hz."""

    name: str
    confidence: float
    tuning: float


class KeyMeter:
    """Collects a histogram of pitch classes."""

    def __init__(self, sample_rate: int) -> None:
        self._frames = Frames(FRAME, HOP)
        self._window = np.hanning(FRAME).astype(np.float32) * (4 / FRAME)
        hertz = np.fft.rfftfreq(FRAME, 1 / sample_rate)
        self._bins = slice(int(np.searchsorted(hertz, LOWEST_HZ)), int(np.searchsorted(hertz, HIGHEST_HZ)))
        self._bin_hertz = sample_rate / FRAME
        self._histogram = np.zeros(12 * STEPS)

    def add(self, block: Mono) -> None:
        for frames in self._frames.of(block):
            magnitudes = np.abs(np.fft.rfft(frames * self._window, axis=1))
            self._count(magnitudes[:, self._bins])

    def _count(self, magnitudes: NDArray[np.float32]) -> None:
        """Adds the spectral peaks, each at its interpolated frequency, with the root of its magnitude."""
        before, at, after = magnitudes[:, :-2], magnitudes[:, 1:-1], magnitudes[:, 2:]
        frame, index = np.nonzero((at > before) & (at >= after) & (at > QUIET))
        left, peak, right = (np.log(part[frame, index] + 1e-12) for part in (before, at, after))
        offset = 0.5 * (left - right) / np.minimum(left - 2 * peak + right, -1e-9)
        hertz = (self._bins.start + 1 + index + np.clip(offset, -0.5, 0.5)) * self._bin_hertz
        steps = np.rint((12 * np.log2(hertz / A4_HZ) + A) * STEPS).astype(np.int64) % (12 * STEPS)
        self._histogram += np.bincount(steps, np.sqrt(at[frame, index]), 12 * STEPS)

    def result(self) -> Key | None:
        """None without pitches, or if no key is clearly the best."""
        if not self._histogram.any():
            return None
        tuning = self._tuning()
        classes = np.roll(self._histogram, STEPS // 2 - tuning).reshape(12, STEPS).sum(axis=1)
        scores = _correlations(classes)
        second, best = np.sort(scores)[-2:]
        confidence = float(np.clip((best - second) / FULL_CONFIDENCE, 0, 1))
        if best < MIN_CORRELATION or confidence < MIN_CONFIDENCE:
            return None
        mode, tonic = divmod(int(scores.argmax()), 12)
        return Key(f"{NAMES[tonic]} {('major', 'minor')[mode]}", confidence, tuning * 100 / STEPS)

    def _tuning(self) -> int:
        """In steps: the circular mean of how far the pitches are from semitones."""
        angles = np.exp(2j * np.pi * np.arange(STEPS) / STEPS)
        return int(np.rint(np.angle((self._histogram.reshape(12, STEPS) @ angles).sum()) / (2 * np.pi) * STEPS))


def _correlations(classes: NDArray[np.float64]) -> NDArray[np.float64]:
    """With the 12 major, then the 12 minor keys, by tonic."""
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    correlations: NDArray[np.float64] = np.corrcoef(np.vstack([classes, profiles]))[0, 1:]
    return correlations
