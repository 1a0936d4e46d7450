"""Integrated loudness and true peak by EBU R128 (ITU-R BS.1770), measured by FFmpeg's `ebur128`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

INTEGRATED, TRUE_PEAK = "lavfi.r128.I", "lavfi.r128.true_peak"
SILENCE_LUFS = -70.0  # the absolute gate: nothing of a song is louder


@dataclass(frozen=True)
class Loudness:
    """`integrated` in LUFS; `true_peak` in dBTP, of the loudest channel."""

    integrated: float
    true_peak: float


class LoudnessMeter:
    """Measures mono or stereo."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._rate, self._layout = sample_rate, {1: "mono", 2: "stereo"}[channels]
        self._graph = av.filter.Graph()
        form = f"sample_rate={sample_rate}:sample_fmt=flt:channel_layout={self._layout}:time_base=1/{sample_rate}"
        self._source = self._graph.add("abuffer", form)
        meter = self._graph.add("ebur128", "metadata=1:peak=true:framelog=quiet")
        self._sink = self._graph.add("abuffersink")
        self._source.link_to(meter)
        meter.link_to(self._sink)
        self._graph.configure()
        self._samples = 0
        self._last: dict[str, str] = {}

    def add(self, block: NDArray[np.float32]) -> None:
        """block: [channels, n] float32, full scale ±1."""
        if not block.shape[1]:
            return
        interleaved = np.ascontiguousarray(block.T, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += block.shape[1]
        self._source.push(frame)
        self._pull()

    def _pull(self) -> None:
        while True:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            self._last = dict(frame.metadata) or self._last

    def result(self) -> Loudness | None:
        """None for silence, and for less than 0.4 s, the length of a block that is measured."""
        self._source.push(None)
        self._pull()
        integrated, peak = (float(self._last.get(name, "nan")) for name in (INTEGRATED, TRUE_PEAK))
        if not integrated > SILENCE_LUFS or not peak > 0:
            return None
        return Loudness(integrated, 20 * math.log10(peak))
