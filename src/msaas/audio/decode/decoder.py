"""A song's samples as the model wants them, streamed in bounded memory. Refuses what holds no sound, or too much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame

from msaas.audio.decode.container import frames, nothing_decodes, open_song
from msaas.audio.decode.downmix import headroom, matrix
from msaas.audio.decode.resample import Block, Resampler
from msaas.audio.decode.stats import TrackStats, measure
from msaas.audio.limits import Limits
from msaas.audio.source.findings import Findings
from msaas.errors import AudioTooLong, DecodedTooLarge, NotAudio

__all__ = ["DecodeReport", "Decoder", "TrackStats", "measure"]

BATCH_SAMPLES = 1 << 14  # small codec frames are gathered to this: a filter call each would cost more than decoding
SLICE_SAMPLES = 1 << 16  # and large ones are cut, so that copies stay small


@dataclass
class DecodeReport(Findings):
    """What one pass over a song met. Filled while iterating; rate and channels are the first frame's."""

    samples_in: int = 0
    sample_rate_in: int = 0
    channels_in: int = 0
    most_channels: int = 0
    non_finite_samples: int = 0
    gain: float = 1.0  # of the downmix, so that it does not clip
    gain_fell: bool = False  # in mid-song: what came before was louder than what came after


class Decoder:
    """A song as blocks of [channels, n] float32 at `sample_rate`; each call of `blocks` starts anew.

    `gain` is the downmix's at most. A pass lowers it to what the song's layouts need, and the next one begins with
    that: one gain for the whole song, also where stereo becomes 5.1 in mid-stream (`report.gain_fell` tells).
    """

    def __init__(
        self, path: Path, *, sample_rate: int, channels: int, limits: Limits | None = None, gain: float = 1.0
    ) -> None:
        if channels not in (1, 2):
            raise ValueError(f"{channels} channels; a song is decoded to one or two")
        self.path, self.sample_rate, self.channels = path, sample_rate, channels
        self.limits = limits or Limits()
        self.gain = gain
        self.report = DecodeReport()

    def blocks(self) -> Iterator[Block]:
        """Yields exactly ceil(n · sample_rate / rate_in) samples in all, for the n samples that decode.

        Raises NotAudio where nothing decodes, or to no number; AudioTooLong and DecodedTooLarge as soon as a limit is
        passed.
        """
        self.report = report = DecodeReport()
        resampler = Resampler(self.sample_rate, self.channels)
        for block, rate in _batches(self._mixed(report)):
            yield from resampler.push(block, rate)
        yield from resampler.finish()

    def _mixed(self, report: DecodeReport) -> Iterator[tuple[Block, int]]:
        """Slices of [self.channels, n] at the song's own rate, finite and within the limits."""
        meter, convert = _Meter(self.limits, report), _ToFloat()
        with open_song(self.path) as song:
            for frame in frames(song, report):
                samples = convert(frame)
                if samples is None:
                    report.skip(frame.samples / frame.sample_rate)
                    continue
                meter.count(frame)
                weights = self._weights(frame, report)
                for part in _slices(samples):
                    yield weights @ _finite(part, report), frame.sample_rate
            if not report.samples_in:
                raise nothing_decodes(song)
        if report.non_finite_samples == meter.values:
            raise NotAudio(f"none of the song's {meter.values} samples is a number")

    def _weights(self, frame: AudioFrame, report: DecodeReport) -> Block:
        names = tuple(channel.name for channel in frame.layout.channels)
        needed = headroom(names)
        if needed < self.gain:
            report.gain_fell |= report.samples_in > frame.samples
            self.gain = needed
        report.gain = self.gain
        return matrix(names, self.channels, self.gain)


class _Meter:
    """Counts what was decoded against the limits, whatever the header said."""

    def __init__(self, limits: Limits, report: DecodeReport) -> None:
        self._limits, self._report = limits, report
        self._seconds = 0.0
        self.values = 0  # numbers: samples times channels

    def count(self, frame: AudioFrame) -> None:
        samples, channels = frame.samples, frame.layout.nb_channels
        if not self._report.samples_in:
            self._report.sample_rate_in, self._report.channels_in = frame.sample_rate, channels
        self._report.samples_in += samples
        self._seconds += samples / frame.sample_rate
        self._report.most_channels = max(self._report.most_channels, channels)
        self.values += samples * channels
        if self._seconds > self._limits.max_duration_seconds:
            raise AudioTooLong(
                f"more than {self._seconds:.0f} seconds; the limit is {self._limits.max_duration_seconds:g}"
            )
        decoded_bytes = self.values * 4
        if decoded_bytes > self._limits.max_decoded_bytes:
            raise DecodedTooLarge(
                f"more than {decoded_bytes} decoded bytes; the limit is {self._limits.max_decoded_bytes}"
            )


class _ToFloat:
    """Frames of any sample format to [channels, n] float32, by swresample's own scaling (s16 / 32768, …).

    Through interleaved floats: reading the planes of a planar frame of eight channels or more passes the end of
    FFmpeg's pointer array in PyAV.
    """

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._resampler = av.AudioResampler()

    def __call__(self, frame: AudioFrame) -> Block | None:
        """None where FFmpeg cannot convert the frame."""
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
    """One NaN would spread over the whole song through the normalisation: silence in its place."""
    bad = samples.size - int(np.count_nonzero(np.isfinite(samples)))
    if not bad:
        return samples
    report.non_finite_samples += bad
    return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def _batches(parts: Iterable[tuple[Block, int]]) -> Iterator[tuple[Block, int]]:
    """Gathers neighbours of one rate to at least BATCH_SAMPLES."""
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
