"""A writer whose samples come at another rate, or in more channels, than they are saved in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from msaas.audio.decode.resample import Resampler
from msaas.audio.encode.writer import Block, Writer


@dataclass(frozen=True)
class Sound:
    """What a stem is made or saved as. `sample_rate` in Hz."""

    sample_rate: int
    channels: int
    total_samples: int


class ConvertedWriter(Writer):
    """Takes blocks of `made` and passes on what `target` was opened for.

    The last block brings all that is left in the resampler, so that the peak is known before `close`. Samples beyond
    the target's length are dropped: a song's own rate, back from the model's, gives up to one more than the song had.
    """

    def __init__(self, target: Writer, made: Sound) -> None:
        super().__init__(
            target.path, sample_rate=made.sample_rate, channels=made.channels, total_samples=made.total_samples
        )
        self.needs_gain, self.lossy = target.needs_gain, target.lossy
        self._target = target
        self._resampler = Resampler(target.sample_rate, target.channels)
        self._mix: Callable[[Block], Block] = _as_it_is if target.channels == made.channels else _mean

    def _write(self, block: Block) -> None:
        for part in self._resampler.push(self._mix(block), self.sample_rate):
            self._pass_on(part)
        if self.written_samples == self.total_samples:
            for part in self._resampler.finish():
                self._pass_on(part)
        self.peak = self._target.peak

    def _pass_on(self, part: Block) -> None:
        room = self._target.total_samples - self._target.written_samples
        self._target.write(part[:, :room])

    def _finish(self, gain: float, /) -> None:
        self._target.close(gain)

    def _drop(self) -> None:
        self._target.abort()


def _as_it_is(block: Block) -> Block:
    return block


def _mean(block: Block) -> Block:
    return np.asarray(block.mean(axis=0, keepdims=True), np.float32)
