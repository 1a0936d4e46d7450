"""Resamples a stream to an exact length, without delay, with swresample. No file access."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil

import av
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

Block = NDArray[np.float32]  # [channels, samples]

PUSH_SAMPLES = 1 << 16  # maximum output of one push

# Four times swresample's default length with a steeper window: flat to 20 kHz from 48 to 44.1 kHz, aliases 134 dB down,
# at a few thousandths of real time (measured; asserted by a test).
_FILTER = {"filter_size": "128", "cutoff": "0.98", "filter_type": "kaiser", "kaiser_beta": "12"}
_LAYOUTS = {1: "mono", 2: "stereo"}


class _Swresample:
    """A section of constant rate, resampled by FFmpeg's aresample filter. PyAV's AudioResampler has no options before
    16."""

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self._rate_in, self._layout, self._pushed = rate_in, _LAYOUTS[channels], 0
        self._graph = av.filter.Graph()
        source = self._graph.add(
            "abuffer",
            sample_rate=str(rate_in),
            sample_fmt="fltp",
            channel_layout=self._layout,
            time_base=f"1/{rate_in}",
        )
        resample = self._graph.add("aresample", sample_rate=str(rate_out), **_FILTER)
        self._graph.link_nodes(source, resample, self._graph.add("abuffersink")).configure()

    def push(self, block: Block) -> Iterator[Block]:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = (
            self._rate_in,
            self._pushed,
            Fraction(1, self._rate_in),
        )
        self._pushed += block.shape[1]
        self._graph.push(frame)
        return self._pull()

    def flush(self) -> Iterator[Block]:
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> Iterator[Block]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, EOFError):
                return
            assert isinstance(frame, AudioFrame)  # noqa: S101 – for the type checker; the graph has one audio sink
            yield np.asarray(frame.to_ndarray(), np.float32)


class Resampler:
    """Takes blocks of any rate and returns blocks at `rate_out`: exactly ceil(seconds · rate_out) samples after
    `finish`.

    A change of rate in mid-song starts a new section at its exact position, so that errors do not add up.
    """

    def __init__(self, rate_out: int, channels: int) -> None:
        self._rate_out, self._channels = rate_out, channels
        self._rate: int | None = None
        self._run: _Swresample | None = None
        self._seconds = Fraction(0)
        self.samples_out = 0

    def push(self, block: Block, rate: int) -> Iterator[Block]:
        """block: [channels, n] at `rate` Hz."""
        if rate != self._rate:
            yield from self.finish()
            self._begin(rate)
        step = max(1, PUSH_SAMPLES * rate // self._rate_out)
        for start in range(0, block.shape[1], step):
            yield from self._push(block[:, start : start + step], rate)

    def finish(self) -> Iterator[Block]:
        """Returns the samples left in the filter, trimmed or padded with silence to the exact length."""
        if self._run is not None:
            for block in self._run.flush():
                yield from self._emit(block)
        self._run = self._rate = None
        missing = self._due()
        if missing > 0:
            yield from self._emit(np.zeros((self._channels, missing), np.float32))

    def _begin(self, rate: int) -> None:
        self._rate = rate
        self._run = None if rate == self._rate_out else _Swresample(rate, self._rate_out, self._channels)

    def _push(self, block: Block, rate: int) -> Iterator[Block]:
        self._seconds += Fraction(block.shape[1], rate)
        for out in [block] if self._run is None else self._run.push(block):
            yield from self._emit(out)

    def _due(self) -> int:
        return ceil(self._seconds * self._rate_out) - self.samples_out

    def _emit(self, block: Block) -> Iterator[Block]:
        kept = block[:, : max(0, self._due())]
        if kept.shape[1]:
            self.samples_out += kept.shape[1]
            yield kept
