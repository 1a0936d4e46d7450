"""Downmix matrices from any channel layout to one or two channels. No I/O."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from av.audio.layout import AudioLayout
from numpy.typing import NDArray

_HALF_POWER = 0.5**0.5

# Weights to (left, right): ITU-R BS.775 as FFmpeg's swresample applies it (libswresample/rematrix.c), without the
# low-frequency channel. FFmpeg has no weight for height and wide channels; they go to their side at half power.
_WEIGHTS = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "FC": (_HALF_POWER, _HALF_POWER),
    "LFE": (0.0, 0.0),
    "LFE2": (0.0, 0.0),
    "BC": (0.5, 0.5),
    "FLC": (1.0, 0.0),
    "FRC": (0.0, 1.0),
}
_LEFT_AT_HALF_POWER = ("BL", "SL", "TFL", "TBL", "TSL", "WL", "SDL", "BFL", "SSL", "TTL")
_RIGHT_AT_HALF_POWER = ("BR", "SR", "TFR", "TBR", "TSR", "WR", "SDR", "BFR", "SSR", "TTR")
_CENTRE_AT_HALF_POWER = ("TC", "TFC", "TBC", "BFC")

# FFmpeg's default layout for a number of channels (av_channel_layout_default).
_DEFAULT_LAYOUTS = {3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def _weights(name: str) -> tuple[float, float] | None:
    if name in _LEFT_AT_HALF_POWER:
        return (_HALF_POWER, 0.0)
    if name in _RIGHT_AT_HALF_POWER:
        return (0.0, _HALF_POWER)
    if name in _CENTRE_AT_HALF_POWER:
        return (0.5, 0.5)
    return _WEIGHTS.get(name)


@lru_cache(maxsize=64)
def headroom(names: tuple[str, ...]) -> float:
    """The gain, at most 1, at which a full-scale input of this layout cannot exceed full scale."""
    if len(names) <= 2:
        return 1.0
    return 1.0 / max(1.0, float(_stereo(names).sum(axis=1).max()))


@lru_cache(maxsize=64)
def matrix(names: tuple[str, ...], channels: int, gain: float = 1.0) -> NDArray[np.float32]:
    """The downmix weights [channels, len(names)] for a layout, times the smaller of `gain` and the layout's headroom.

    Mono goes to every channel at full level (as in Demucs; FFmpeg would lower it by 3 dB). Two channels are unchanged.
    More channels use FFmpeg's stereo downmix, scaled so that a full-scale input cannot clip: 5.1 comes out 7.7 dB
    lower, with the centre (a film's dialogue) on both sides. A mono downmix is the mean of that stereo signal, as in
    Demucs. An unknown layout becomes the mean of its channels, on both sides.
    """
    weights = _weights_of(names, channels)
    return np.asarray(weights * min(gain, headroom(names)), np.float32)


def _weights_of(names: tuple[str, ...], channels: int) -> NDArray[np.float64]:
    if len(names) == 1:
        return np.ones((channels, 1))
    stereo = _stereo(names)
    return stereo if channels == 2 else stereo.mean(axis=0, keepdims=True)


def _stereo(names: tuple[str, ...]) -> NDArray[np.float64]:
    if len(names) == 2:
        return np.eye(2)
    known = [_weights(name) for name in _named(names)]
    mean = np.full((2, len(names)), 1 / len(names))
    if any(weight is None for weight in known):
        return mean
    weights = np.array(known, np.float64).T
    return weights if weights.any() else mean


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    if any(_weights(name) is not None for name in names) or len(names) not in _DEFAULT_LAYOUTS:
        return names
    return tuple(channel.name for channel in AudioLayout(_DEFAULT_LAYOUTS[len(names)]).channels)
