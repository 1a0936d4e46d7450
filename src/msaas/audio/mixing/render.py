"""Renders a mix: stems are decoded side by side, summed block by block, and encoded, in memory that does not grow with
the song.

Levels beyond full scale are kept in 32-bit float WAV. Other formats get one gain for the whole mix, so that its true
peak (ITU-R BS.1770) is at most 0 dBTP for fixed-point samples, and -1 dBTP for lossy formats, whose decoders overshoot.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log10
from pathlib import Path

import numpy as np

from msaas.audio.analysis.loudness import LoudnessMeter
from msaas.audio.encode.converted import Sound
from msaas.audio.encode.open_writer import open_writer
from msaas.audio.encode.writer import Block, Writer
from msaas.audio.limits import Limits
from msaas.audio.mixing.pan import CHANNELS, placed
from msaas.audio.part import Part
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.audio.tags import StemTags
from msaas.formats import Format

LOSSY_CEILING_DBTP = -1.0  # EBU R 128 s1 and AES TD1004
BLOCK_SAMPLES = 1 << 16

Progress = Callable[[float], object]


@dataclass(frozen=True)
class PlacedStem:
    """One stem's file, and where it stands in the mix: `gain` a factor, `pan` -1 to 1."""

    path: Path
    gain: float
    pan: float


@dataclass(frozen=True)
class Encoding:
    """How the mix is saved. `saved`: its rate, channels and length."""

    format: Format
    saved: Sound
    bitrate_kbps: int | None
    bit_depth: str | None
    tags: StemTags


@dataclass(frozen=True)
class Rendered:
    """`gain_db`: of the whole mix, 0 unless it would have clipped. `true_peak_dbtp`: before that gain; None for silence
    and for less than 0.4 s, which are not measured."""

    gain_db: float
    true_peak_dbtp: float | None


class Mix:
    """The stems of a song as one stream of blocks, which can be read several times.

    made: rate and channels of the stems' files, and how many samples each has.
    """

    def __init__(self, stems: Sequence[PlacedStem], made: Sound, part: Part, limits: Limits) -> None:
        self._stems, self._made, self._part, self._limits = stems, made, part, limits
        inside = part.within(Fraction(0), made.sample_rate, made.total_samples)
        self.sound = Sound(made.sample_rate, CHANNELS, inside.stop - inside.start)

    def blocks(self, progress: Progress) -> Iterator[Block]:
        """[2, n] float32, `sound.total_samples` in all: a shorter stem ends in silence, the rest of a longer one is
        dropped. Raises what IsolatedDecoder.blocks and `progress` raise."""
        streams = [self._placed(stem) for stem in self._stems]
        done, total = 0, self.sound.total_samples
        try:
            for parts in zip(*(_pieces(stream, total) for stream in streams), strict=True):
                progress(done / total)
                done += parts[0].shape[1]
                yield _sum(parts)
        finally:
            for stream in streams:
                stream.close()

    def _placed(self, stem: PlacedStem) -> Generator[Block]:
        decoder = IsolatedDecoder(
            stem.path,
            sample_rate=self._made.sample_rate,
            channels=self._made.channels,
            limits=self._limits,
            part=self._part,
        )
        for block in decoder.blocks():
            yield placed(block, stem.gain, stem.pan)


def _pieces(blocks: Iterable[Block], total: int) -> Iterator[Block]:
    """Blocks of any lengths as pieces of BLOCK_SAMPLES, `total` samples in all."""
    piece, filled = _empty(total), 0
    for block in blocks:
        while block.shape[1] and total:
            taken = min(block.shape[1], piece.shape[1] - filled)
            piece[:, filled : filled + taken] = block[:, :taken]
            block, filled = block[:, taken:], filled + taken
            if filled == piece.shape[1]:
                yield piece
                total -= filled
                piece, filled = _empty(total), 0
    while total:
        yield piece
        total -= piece.shape[1]
        piece = _empty(total)


def _empty(total: int) -> Block:
    return np.zeros((CHANNELS, min(total, BLOCK_SAMPLES)), np.float32)


def _sum(parts: Sequence[Block]) -> Block:
    mixed = parts[0]
    for part in parts[1:]:
        mixed += part
    return mixed


def render(mix: Mix, path: Path, how: Encoding, progress: Progress = lambda _: None) -> Rendered:
    """Writes the mix to `path`. progress: called for each block with the fraction that is done; it may raise to stop.

    Raises ScratchFull, and what `Mix.blocks` raises; then there is no file.
    """
    return _in_two_passes(mix, path, how, progress) if how.format.bitrates else _in_one_pass(mix, path, how, progress)


def _in_two_passes(mix: Mix, path: Path, how: Encoding, progress: Progress) -> Rendered:
    """For encoders that take no gain at the end. Decoding twice is cheap, and needs no space on disk."""
    meter = _meter(mix)
    for block in mix.blocks(lambda fraction: progress(fraction / 2)):
        meter.add(block)
    peak = _true_peak(meter)
    gain = _gain(peak, LOSSY_CEILING_DBTP)
    with _writer(mix, path, how) as writer:
        for block in mix.blocks(lambda fraction: progress((1 + fraction) / 2)):
            writer.write(block * np.float32(gain) if gain != 1.0 else block)
    return Rendered(_decibels(gain), peak)


def _in_one_pass(mix: Mix, path: Path, how: Encoding, progress: Progress) -> Rendered:
    """For float samples, which need no gain, and for fixed-point ones, whose writer gets it at the end."""
    meter = _meter(mix)
    with _writer(mix, path, how) as writer:
        for block in mix.blocks(progress):
            meter.add(block)
            writer.write(block)
        peak, gain = _true_peak(meter), 1.0
        if writer.needs_gain:
            # a sample may be above the measured true peak, which is an estimate, and is rounded up to full scale
            gain = min(_gain(peak, 0.0), 1 / writer.peak if writer.peak > 1 else 1.0)
        writer.close(gain)
    return Rendered(_decibels(gain), peak)


def _writer(mix: Mix, path: Path, how: Encoding) -> Writer:
    return open_writer(
        path,
        how.format.name,
        sample_rate=how.saved.sample_rate,
        channels=how.saved.channels,
        total_samples=how.saved.total_samples,
        bitrate_kbps=how.bitrate_kbps,
        bit_depth=how.bit_depth,
        tags=how.tags,
        made=mix.sound,
    )


def _meter(mix: Mix) -> LoudnessMeter:
    return LoudnessMeter(mix.sound.sample_rate, CHANNELS)


def _true_peak(meter: LoudnessMeter) -> float | None:
    found = meter.result()
    return found.true_peak if found else None


def _gain(peak_dbtp: float | None, ceiling_dbtp: float) -> float:
    return 1.0 if peak_dbtp is None or peak_dbtp <= ceiling_dbtp else float(10 ** ((ceiling_dbtp - peak_dbtp) / 20))


def _decibels(gain: float) -> float:
    return round(20 * log10(gain), 4) if gain != 1.0 else 0.0
