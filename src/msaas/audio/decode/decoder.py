"""Decodes a song to samples at the model's rate and channels, in bounded memory. Raises NotAudio or a limit's error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame

from msaas.audio.decode.container import frames, nothing_decodes, open_song
from msaas.audio.decode.downmix import headroom, matrix
from msaas.audio.decode.resample import Block, Resampler
from msaas.audio.decode.stats import TrackStats, measure
from msaas.audio.limits import Limits
from msaas.audio.part import Part
from msaas.audio.source.findings import Findings
from msaas.errors import AudioTooLong, DecodedTooLarge, NotAudio

__all__ = ["DecodeReport", "Decoder", "TrackStats", "measure"]

WHOLE = Part()
BATCH_SAMPLES = 1 << 14  # small codec frames are gathered to this: one filter call each costs more than decoding
LOUDEST = 2.0**31  # times full scale: integers of 32 bits that were written as floats
SLICE_SAMPLES = 1 << 16  # large frames are split, which keeps copies small


@dataclass
class DecodeReport(Findings):
    """The result of one pass over a song. Filled while iterating; rate and channels are those of the first frame."""

    samples_in: int = 0
    part_samples: int = 0  # those that belong to the part: all, if the whole song is asked for
    sample_rate_in: int = 0
    channels_in: int = 0
    max_channels: int = 0
    non_finite_samples: int = 0
    gain: float = 1.0  # of the downmix, which keeps it from clipping
    gain_lowered: bool = False  # the gain was lowered in mid-song: earlier samples have a higher gain than later ones


class Decoder:
    """A song as blocks of [channels, n] float32 at `sample_rate`; each call of `blocks` starts from the beginning.

    `part`: only these samples of the song. `skipping` is called for each frame outside of it. `gain` is the maximum
    gain of the downmix. A pass lowers it to what the song's layouts need, and the next pass starts with that value: one
    gain for the whole song, even if stereo becomes 5.1 in mid-song (`report.gain_fell`).
    """

    def __init__(
        self,
        path: Path,
        *,
        sample_rate: int,
        channels: int,
        limits: Limits | None = None,
        gain: float = 1.0,
        part: Part = WHOLE,
        skipping: Callable[[], None] = lambda: None,
    ) -> None:
        if channels not in (1, 2):
            raise ValueError(f"{channels} channels; a song is decoded to one or two")
        self.path, self.sample_rate, self.channels = path, sample_rate, channels
        self.limits = limits or Limits()
        self.gain, self.part, self._skipping = gain, part, skipping
        self.report = DecodeReport()

    def blocks(self) -> Iterator[Block]:
        """Yields exactly ceil(n · sample_rate / rate_in) samples in total, where n samples of the part decode.

        Raises NotAudio if nothing decodes or no sample is finite; AudioTooLong and DecodedTooLarge as soon as a limit
        is exceeded.
        """
        self.report = report = DecodeReport()
        resampler = Resampler(self.sample_rate, self.channels)
        for block, rate in _batches(self._mixed(report)):
            yield from resampler.push(block, rate)
        yield from resampler.finish()

    def _mixed(self, report: DecodeReport) -> Iterator[tuple[Block, int]]:
        """Slices of [self.channels, n] at the song's rate, finite and within the limits."""
        meter, convert = _Meter(self.limits, report), _ToFloat()
        with open_song(self.path) as song:
            for frame in frames(song, report):
                samples = convert(frame)
                if samples is None:
                    report.skip(frame.samples / frame.sample_rate)
                    continue
                before = meter.seconds
                meter.count(frame)
                weights = self._weights(frame, report)
                inside = samples[:, self.part.within(before, frame.sample_rate, samples.shape[1])]
                if not inside.shape[1]:
                    self._skipping()
                meter.keep(inside)
                for block in _slices(inside):
                    yield weights @ _finite(block, report), frame.sample_rate
                if self.part.is_over(meter.seconds):
                    break
            if not report.samples_in:
                raise nothing_decodes(song)
        if meter.kept_values and report.non_finite_samples == meter.kept_values:
            raise NotAudio(f"none of the song's {meter.kept_values} samples is a number")

    def _weights(self, frame: AudioFrame, report: DecodeReport) -> Block:
        names = tuple(channel.name for channel in frame.layout.channels)
        needed = headroom(names)
        if needed < self.gain:
            report.gain_lowered |= report.samples_in > frame.samples
            self.gain = needed
        report.gain = self.gain
        return matrix(names, self.channels, self.gain)


class _Meter:
    """Checks what was decoded against the limits, independent of the header."""

    def __init__(self, limits: Limits, report: DecodeReport) -> None:
        self._limits, self._report = limits, report
        self.seconds = Fraction(0)
        self.values = 0  # samples times channels
        self.kept_values = 0  # the same within the part

    def count(self, frame: AudioFrame) -> None:
        samples, channels = frame.samples, frame.layout.nb_channels
        if not self._report.samples_in:
            self._report.sample_rate_in, self._report.channels_in = frame.sample_rate, channels
        self._report.samples_in += samples
        self.seconds += Fraction(samples, frame.sample_rate)
        self._report.max_channels = max(self._report.max_channels, channels)
        self.values += samples * channels
        if self.seconds > self._limits.max_duration_seconds:
            raise AudioTooLong(
                f"more than {float(self.seconds):.0f} seconds; the limit is {self._limits.max_duration_seconds:g}"
            )
        decoded_bytes = self.values * 4
        if decoded_bytes > self._limits.max_decoded_bytes:
            raise DecodedTooLarge(
                f"more than {decoded_bytes} decoded bytes; the limit is {self._limits.max_decoded_bytes}"
            )

    def keep(self, samples: Block) -> None:
        self._report.part_samples += samples.shape[1]
        self.kept_values += samples.size


class _ToFloat:
    """Converts frames of any sample format to [channels, n] float32 with swresample's scaling (s16 / 32768, …).

    It converts to interleaved floats: reading the planes of a planar frame with eight or more channels overruns
    FFmpeg's pointer array in PyAV.
    """

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._resampler = av.AudioResampler()

    def __call__(self, frame: AudioFrame) -> Block | None:
        """Returns None if FFmpeg cannot convert the frame."""
        try:
            packed = self._pack(frame)
        except (av.FFmpegError, ValueError):
            return None
        channels = frame.layout.nb_channels
        flat = [np.frombuffer(memoryview(part.planes[0]), np.float32, part.samples * channels) for part in packed]
        return np.concatenate(flat).reshape(-1, channels).T

    def _pack(self, frame: AudioFrame) -> list[AudioFrame]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
            self._kind = kind
        return self._resampler.resample(frame)


def _slices(samples: Block) -> Iterator[Block]:
    for start in range(0, samples.shape[1], SLICE_SAMPLES):
        yield samples[:, start : start + SLICE_SAMPLES]


def _finite(samples: Block, report: DecodeReport) -> Block:
    """Replaces NaN, infinities and what is beyond LOUDEST by silence: normalisation would spread one NaN over the whole
    song, and networks overflow."""
    good = np.abs(samples) <= LOUDEST  # not true for NaN
    bad = samples.size - int(np.count_nonzero(good))
    if not bad:
        return samples
    report.non_finite_samples += bad
    return np.where(good, samples, np.float32(0))


def _batches(parts: Iterable[tuple[Block, int]]) -> Iterator[tuple[Block, int]]:
    """Joins consecutive blocks of one rate to at least BATCH_SAMPLES."""
    held: list[Block] = []
    held_samples, held_rate = 0, 0
    for block, rate in parts:
        if held and (rate != held_rate or held_samples >= BATCH_SAMPLES):
            yield np.concatenate(held, axis=1), held_rate
            held, held_samples = [], 0
        held.append(block)
        held_samples, held_rate = held_samples + block.shape[1], rate
    if held:
        yield np.concatenate(held, axis=1), held_rate
