"""The tempo of a song, from the onsets of its drums.

The method is that of Ellis, "Beat Tracking by Dynamic Programming" (2007), as in librosa's beat tracker: the onset
strength is how much a mel spectrogram in decibels grows from frame to frame. Its autocorrelation at a lag and at half
of it, under a prior around 120 beats a minute, gives the period. Dynamic programming finds the beats; their mean
distance is about the tempo. Then the onset strengths are folded at periods near it: the one whose fold has the highest
peak is the tempo, and the peak is where the beats are. If the fold is nearly as high between the beats, or has no clear
peak, the beats' times are left open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msaas.audio.analysis.frames import Frames, Mono

FRAME = 2048
HOP = 512
BANDS = 40
LOWEST_HZ, HIGHEST_HZ = 30.0, 11_000.0
MIN_BPM, MAX_BPM = 40.0, 240.0
PRIOR_BPM, PRIOR_OCTAVES = 120.0, 0.7  # centre and standard deviation
TIGHTNESS = 100.0  # how strongly beats keep their distance
MIN_BEATS = 8
MIN_SECONDS = 4
MIN_CONFIDENCE = 0.2
FOLD_RANGE = 0.015  # how far from the beats' mean distance a steady period may be
MAX_FOLD_SECONDS = 300  # of a song, from its middle, are folded
PEAK_FRAMES = 2.5  # standard deviation of the smoothing of a fold
MAX_HALFWAY = 0.75  # of the peak, halfway between two beats
MIN_PEAK = 2.6  # relative to the mean of the strengths
FLOOR = 1e-5  # power, of a full-scale sine about 1: quieter bands do not count

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Tempo:
    """`confidence` from 0 to 1: how periodic the onsets are. `first_beat`: in seconds from the song's start; None if it
    is not clear which onsets are the beats."""

    bpm: float
    confidence: float
    first_beat: float | None


class TempoMeter:
    """Collects onset strengths; 86 numbers a second."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._frames = Frames(FRAME, HOP)
        self._window = np.hanning(FRAME).astype(np.float32) * (2 / FRAME)
        self._bands = mel_bands(sample_rate)
        self._last: NDArray[np.float32] | None = None
        self._strengths: list[NDArray[np.float32]] = []

    def add(self, block: Mono) -> None:
        for frames in self._frames.of(block):
            power = np.abs(np.fft.rfft(frames * self._window, axis=1)) ** 2
            levels = np.log10(FLOOR + power @ self._bands).astype(np.float32)
            before = levels[:1] if self._last is None else self._last
            rise = np.diff(levels, axis=0, prepend=before)
            self._strengths.append(np.maximum(rise, 0).mean(axis=1))
            self._last = levels[-1:]

    def result(self) -> Tempo | None:
        """None for a song without a steady beat, or too short for one."""
        if not self._strengths:
            return None
        per_second = self._rate / HOP
        strengths = _evened(np.concatenate(self._strengths).astype(np.float64), per_second)
        if strengths is None or not (found := period(strengths, per_second)):
            return None
        beats = track_beats(strengths, found[0])
        if len(beats) < MIN_BEATS or found[1] < MIN_CONFIDENCE:
            return None
        fold = best_fold(strengths, float(np.polyfit(np.arange(len(beats)), beats, 1)[0]), per_second)
        first = fold.beat / per_second + FRAME / 2 / self._rate  # an onset is in the middle of its frame
        seconds_a_beat = fold.period / per_second
        return Tempo(60 / seconds_a_beat, found[1], first % seconds_a_beat if fold.is_clear else None)


def mel_bands(sample_rate: int) -> NDArray[np.float32]:
    """Triangular bands, equally spaced in mel (O'Shaughnessy's formula): [FRAME / 2 + 1, BANDS]."""
    top = min(HIGHEST_HZ, sample_rate / 2)
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, top))
    mels = np.linspace(lowest, highest, BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hertz = np.fft.rfftfreq(FRAME, 1 / sample_rate)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    bands: NDArray[np.float32] = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return bands


def _evened(strengths: Values, per_second: float) -> Values | None:
    """Without the slow changes of loudness; standard deviation 1. None for silence."""
    width = int(per_second) | 1
    if len(strengths) < MIN_SECONDS * per_second:
        return None
    average = np.convolve(np.pad(strengths, width // 2, mode="edge"), np.ones(width) / width, "valid")
    even: Values = strengths - average
    deviation = even.std()
    return even / deviation if deviation > 1e-4 else None


def period(strengths: Values, per_second: float) -> tuple[float, float] | None:
    """The beat's period in frames, and its confidence."""
    lags = np.arange(int(60 * per_second / MAX_BPM), int(60 * per_second / MIN_BPM) + 1)
    correlation = _autocorrelation(strengths, int(lags[-1]))
    comb = correlation[lags] + correlation[lags // 2] / 2  # most beats are divided in two
    prior = np.exp(-0.5 * (np.log2(60 * per_second / lags / PRIOR_BPM) / PRIOR_OCTAVES) ** 2)
    scores = np.maximum(comb, 0) * prior
    best = int(scores.argmax())
    if scores[best] <= 0:
        return None
    return float(lags[best]), float(np.clip(correlation[lags[best]], 0, 1))


def _autocorrelation(values: Values, lags: int) -> Values:
    """Of lags 0 to `lags`, relative to lag 0; 0 where the values are too short."""
    size = 1 << (len(values) + lags).bit_length()
    power = np.abs(np.fft.rfft(values, size)) ** 2
    correlation = np.fft.irfft(power)[: lags + 1]
    relative: Values = correlation / correlation[0]
    return relative


def track_beats(strengths: Values, frames_a_beat: float) -> NDArray[np.int64]:
    """The frames of the beats: those of the best sum of strengths, with a penalty for uneven distances."""
    smooth = np.convolve(strengths, np.exp(-0.5 * (np.arange(-8, 9) * 8 / frames_a_beat) ** 2), "same")
    back = np.arange(-round(2 * frames_a_beat), -round(frames_a_beat / 2))
    penalty = -TIGHTNESS * np.log(-back / frames_a_beat) ** 2
    total: Values = smooth.copy()
    came_from = np.full(len(smooth), -1, np.int64)
    for frame in range(-back[0], len(smooth)):
        candidates = total[frame + back] + penalty
        best = int(candidates.argmax())
        total[frame] += candidates[best]
        came_from[frame] = frame + back[best]
    beats = [int(total[-int(frames_a_beat) :].argmax()) + len(total) - int(frames_a_beat)]
    while came_from[beats[-1]] >= 0:
        beats.append(int(came_from[beats[-1]]))
    return np.array(beats[::-1])


@dataclass(frozen=True)
class Fold:
    """Onset strengths averaged at equal places of a period, in frames. `beat`: where the highest is, below `period`."""

    period: float
    beat: float
    peak: float
    halfway: float  # of the peak
    mean: float

    @property
    def is_clear(self) -> bool:
        return self.halfway <= MAX_HALFWAY * self.peak and self.peak >= MIN_PEAK * self.mean


def best_fold(strengths: Values, frames_a_beat: float, per_second: float) -> Fold:
    """The fold with the highest peak at a period near `frames_a_beat`."""
    skipped = max(0, len(strengths) - int(MAX_FOLD_SECONDS * per_second)) // 2
    kept = np.maximum(strengths[skipped : len(strengths) - skipped], 0)
    # the last beats of two neighbouring periods are a frame apart
    steps = max(8, math.ceil(len(kept) * FOLD_RANGE))
    periods = frames_a_beat * (1 + FOLD_RANGE * np.arange(-steps, steps + 1) / steps)
    return max((fold_at(kept, float(period), skipped) for period in periods), key=lambda fold: fold.peak)


def fold_at(strengths: Values, period: float, first_frame: int = 0) -> Fold:
    """Of non-negative strengths, the first of them at `first_frame`."""
    bins = max(4, round(period))
    places = ((np.arange(len(strengths)) + first_frame) / period) % 1
    indices = (places * bins).astype(np.int64) % bins
    folded = np.bincount(indices, strengths, bins) / np.maximum(np.bincount(indices, minlength=bins), 1)
    away = np.minimum(np.arange(bins), bins - np.arange(bins))
    kernel = np.exp(-0.5 * (away / PEAK_FRAMES) ** 2)
    smooth = np.fft.irfft(np.fft.rfft(folded) * np.fft.rfft(kernel / kernel.sum()), bins)
    best = int(smooth.argmax())
    beat = (best + 0.5) / bins * period  # a bin is as wide as a frame, nearly
    return Fold(period, beat, float(smooth[best]), float(smooth[(best + bins // 2) % bins]), float(strengths.mean()))
