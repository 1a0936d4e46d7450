"""Gain and pan of a stem, as Web Audio computes them: a mix sounds as it did on the page."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from msaas.audio.encode.writer import Block

CHANNELS = 2


def placed(block: Block, gain: float, pan: float) -> Block:
    """block: [1 or 2, n]; returns [2, n]. `gain` is a factor, `pan` is -1 (left) to 1 (right).

    StereoPannerNode, https://webaudio.github.io/web-audio-api/#stereopanner-algorithm: equal power. A mono stem in the
    middle has 3 dB less in each channel; a stereo stem in the middle is unchanged.
    """
    if block.shape[0] == 1:
        angle = (pan + 1) / 2 * pi / 2
        return np.concatenate([block * np.float32(gain * cos(angle)), block * np.float32(gain * sin(angle))])
    angle = (pan + 1 if pan <= 0 else pan) * pi / 2
    own, moved = (sin(angle), cos(angle)) if pan <= 0 else (cos(angle), sin(angle))
    kept = block * np.float32(gain)
    left, right = kept
    if pan <= 0:
        return np.stack([left + right * np.float32(moved), right * np.float32(own)])
    return np.stack([left * np.float32(own), right + left * np.float32(moved)])


def amplitude(gain_db: float) -> float:
    return float(10 ** (gain_db / 20))
