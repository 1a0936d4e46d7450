"""Whole-song separation as Music-Source-Separation-Training (MSST) defines it, for tests to compare with.

Written from the definition (utils/model_utils.py, `demix` in generic mode, one chunk at a time; utils/audio_utils.py,
`normalize_audio`), in float64 outside the network, with the song and all sums in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch


def demix(forward: Callable[[torch.Tensor], torch.Tensor], mix: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """The network's outputs [outputs, C, n] for a song [C, n]; forward maps [1, C, chunk] to [1, outputs, C, chunk].

    NaN where no window has any weight.
    """
    chunk, overlaps = config["audio"]["chunk_size"], config["inference"]["num_overlap"]
    mean, deviation = 0.0, 1.0
    if config["inference"].get("normalize"):
        mono = mix.astype(np.float64).mean(0)
        mean, deviation = mono.mean(), mono.std()
    song = (mix.astype(np.float64) - mean) / deviation
    fade, step = chunk // 10, chunk // overlaps
    border, length = chunk - step, song.shape[1]
    extended = length > 2 * border and border > 0
    if extended:
        song = np.pad(song, ((0, 0), (border, border)), mode="reflect")
    total, counter = None, np.zeros(song.shape[1])
    for start in range(0, song.shape[1], step):
        part = song[:, start : start + chunk]
        held = part.shape[1]
        mode = "reflect" if held > chunk // 2 else "constant"
        part = np.pad(part, ((0, 0), (0, chunk - held)), mode=mode)
        with torch.inference_mode():
            output = forward(torch.from_numpy(part.astype(np.float32))[None])[0].double().numpy()
        window = np.ones(chunk)
        window[-fade:], window[:fade] = np.linspace(1, 0, fade), np.linspace(0, 1, fade)
        if start == 0:
            window[:fade] = 1
        elif start + step >= song.shape[1]:
            window[-fade:] = 1
        if total is None:
            total = np.zeros((*output.shape[:-1], song.shape[1]))
        total[..., start : start + held] += (output * window)[..., :held]
        counter[start : start + held] += window[:held]
    assert total is not None
    counter[counter == 0] = np.nan
    result = total / counter
    if extended:
        result = result[..., border:-border]
    return result * deviation + mean
