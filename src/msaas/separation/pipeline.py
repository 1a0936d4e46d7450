"""Separates one song, from a file to stem files. Independent of jobs and the network.

Two passes over the song: the first measures its length and level, the second decodes, separates and encodes as it
streams. The song is never held as a whole, so three hours take the memory of three minutes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from msaas.audio.decode.decoder import DecodeReport, TrackStats, measure
from msaas.audio.encode.open_writer import open_writer
from msaas.audio.encode.writer import Writer
from msaas.audio.limits import Limits
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.audio.warnings import SongWarning, warnings_of
from msaas.audio.waveform import Waveforms
from msaas.errors import Cancelled, NotAudio
from msaas.formats import format_named
from msaas.options import Options, Output
from msaas.separation import memory
from msaas.separation.engines.engine import Engine, ParallelSegments, cpu_threads, default_batch
from msaas.separation.engines.selection import EngineChoice, choose_engine
from msaas.separation.interrupt import interruptible
from msaas.separation.mixture import Samples
from msaas.separation.model import LoadedModel, Network
from msaas.separation.overlap_add import Span, random_shifts, separate_stream
from msaas.separation.writers import StemWriters

__all__ = ["SeparationResult", "Separator"]

log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
Stop = Callable[[], bool]
ChooseEngine = Callable[[Network, torch.device, str], tuple[Engine, EngineChoice]]


@dataclass(frozen=True)
class SeparationResult:
    """The stems of a song and how they were made."""

    stems: dict[str, Path]
    total_samples: int  # of each stem
    sample_rate: int  # Hz
    duration_seconds: float
    gain: float  # common to all stems; 1.0 unless a fixed-point format would have clipped
    warnings: list[SongWarning]  # for the caller: damage, a downmix, a gain
    report: dict[str, object]  # decoding (DecodeReport), the model, the device, the batch, each network's engine
    timings: dict[str, float]  # seconds: measure, separate (all that streams), model (within separate), encode, total


class Separator:
    """A model on a device, loaded once for many songs. One song at a time."""

    def __init__(
        self,
        model: LoadedModel,
        device: torch.device,
        batch: int = 0,
        *,
        threads: int | None = None,
        precision: str = "auto",
        choose: ChooseEngine = choose_engine,
    ) -> None:
        """batch: segments per forward; 0: the device's default. threads: torch's, process-wide; None: unchanged.
        precision: "fp32" or "auto" (engines.selection.choose_engine)."""
        if threads is not None:
            torch.set_num_threads(threads)
        self.model = model
        self.device = device
        threads = cpu_threads()
        torch.set_num_threads(threads)  # more threads than cores would wait for each other at each step
        self.batch = batch or default_batch(device, threads)
        chosen = [choose(network, device, precision) for network in model.networks]
        self.choices = [choice._asdict() for _, choice in chosen]
        self._engines = [ParallelSegments(engine, threads) if device.type == "cpu" else engine for engine, _ in chosen]
        log.info(
            "engine model=%s batch=%d threads=%d engines=%s", model.name, self.batch, threads, json.dumps(self.choices)
        )

    def separate_song(
        self,
        song: Path,
        out_dir: Path,
        options: Options,
        *,
        seed: str = "",
        limits: Limits | None = None,
        progress: Progress = lambda _stage, _fraction: None,
        stop: Stop = lambda: False,
        on_waveforms: Callable[[Waveforms], None] = lambda _: None,
    ) -> SeparationResult:
        """Writes `<out_dir>/<stem>.<format>` for each stem that `options` ask for.

        seed: of the shifts' random lengths.
        progress(stage, fraction): "decoding", "separating", "encoding" in this order, each rising to 1. The length
        is unknown until the song was decoded once: "decoding" stays at 0, reported again for each minute of audio.
        stop: called for each decoded block and between the network's layers. If the call fails, no stem remains.
        on_waveforms: called with the stems' waveforms whenever they have grown; always with the same object.
        Raises InvalidOption for a stem or format that does not exist, AudioError if the song is the cause, Cancelled
        if stop() returns True, ScratchFull if the disk is full.
        """
        outputs, kind = options.outputs(self.model.sources), format_named(options.format)
        clock = _Clock()
        decoder = IsolatedDecoder(
            song, sample_rate=self.model.sample_rate, channels=self.model.channels, limits=limits or Limits()
        )
        progress("decoding", 0.0)
        with clock.running("measure"):
            stats = self._measure(decoder, stop, lambda: progress("decoding", 0.0))
        report = decoder.report
        if stats.total_samples == 0:
            raise NotAudio("the song has no samples")
        progress("decoding", 1.0)
        out_dir.mkdir(parents=True, exist_ok=True)
        paths = {output.name: out_dir / (output.name + kind.suffix) for output in outputs}
        with memory.heap_trimmed_after(), StemWriters() as stems:
            for stem, path in paths.items():
                stems.add(stem, self._open(path, options, stats))
            with closing(_StoppableDecoder(decoder, stop).blocks()) as blocks:
                for waveforms in self._stream(blocks, stats, options, seed, stems, clock, progress, stop):
                    on_waveforms(waveforms)
            progress("encoding", 0.0)
            with clock.running("encode"):
                gain = stems.close(lambda fraction: progress("encoding", fraction))
        return self._result(paths, stats, gain, report, clock)

    def _measure(self, decoder: IsolatedDecoder, stop: Stop, on_minute: Callable[[], None]) -> TrackStats:
        """The first pass; repeated if the downmix's gain was lowered in mid-song, since earlier samples were too
        loud."""
        stats = measure(_StoppableDecoder(decoder, stop, on_minute))
        return measure(_StoppableDecoder(decoder, stop, on_minute)) if decoder.report.gain_lowered else stats

    def _open(self, path: Path, options: Options, stats: TrackStats) -> Writer:
        return open_writer(
            path,
            options.format,
            sample_rate=self.model.sample_rate,
            channels=self.model.channels,
            total_samples=stats.total_samples,
            bitrate_kbps=options.bitrate,
        )

    def _stream(
        self,
        blocks: Iterator[Samples],
        stats: TrackStats,
        options: Options,
        seed: str,
        stems: StemWriters,
        clock: _Clock,
        progress: Progress,
        stop: Stop,
    ) -> Iterator[Waveforms]:
        """The second pass: writes finished samples to the stems' writers and waveforms."""
        outputs = options.outputs(self.model.sources)
        waveforms = Waveforms([output.name for output in outputs], stats.total_samples, self.model.sample_rate)
        sources = sorted({output.source for output in outputs})
        progress("separating", 0.0)
        with clock.running("separate"):
            spans = separate_stream(
                blocks,
                stats,
                self.model,
                [_TimedEngine(engine, clock, stop) for engine in self._engines],
                batch=self.batch,
                overlap=options.overlap,
                shifts=random_shifts(options.shifts, len(self.model.networks), self.model.sample_rate, seed),
                sources=sources,
                progress=lambda fraction: progress("separating", fraction),
                stop=stop,
            )
            for span in spans:
                for output in outputs:
                    block = _stem_of(span, output, sources)
                    stems.write(output.name, block)
                    waveforms.add(output.name, block)
                yield waveforms

    def _result(
        self, paths: dict[str, Path], stats: TrackStats, gain: float, report: DecodeReport, clock: _Clock
    ) -> SeparationResult:
        seconds = stats.total_samples / self.model.sample_rate
        result = SeparationResult(
            stems=paths,
            total_samples=stats.total_samples,
            sample_rate=self.model.sample_rate,
            duration_seconds=seconds,
            gain=gain,
            warnings=warnings_of(report, gain),
            report={
                **asdict(report),
                "model": self.model.name,
                "device": str(self.device),
                "batch": self.batch,
                "engine": self.choices,
            },
            timings=clock.seconds(),
        )
        log.info("separated stems=%d seconds=%.1f took=%.1f", len(paths), seconds, result.timings["total"])
        return result


def _stem_of(span: Span, output: Output, sources: Sequence[int]) -> Samples:
    """The samples [C, n] of `output` in a span whose stems are those of `sources`."""
    stem: Samples = span.stems[list(sources).index(output.source)]
    return np.subtract(span.mix, stem) if output.rest else stem


class _Clock:
    """Adds up the seconds of named phases."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._seconds: dict[str, float] = {"measure": 0.0, "separate": 0.0, "model": 0.0, "encode": 0.0}

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] += time.monotonic() - start

    def seconds(self) -> dict[str, float]:
        return {**self._seconds, "total": time.monotonic() - self._start}


class _TimedEngine:
    """An engine whose time counts as the model's, and whose forward is interrupted if stop() returns True."""

    def __init__(self, engine: Engine, clock: _Clock, stop: Stop) -> None:
        self._engine, self._clock, self._stop = engine, clock, stop

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        with self._clock.running("model"), interruptible(self._stop):
            return self._engine.forward(batch)


class _StoppableDecoder:
    """A decoder whose blocks raise Cancelled once stop() returns True. on_minute: called each minute of audio."""

    def __init__(self, decoder: IsolatedDecoder, stop: Stop, on_minute: Callable[[], None] = lambda: None) -> None:
        self._decoder, self._stop, self._on_minute = decoder, stop, on_minute

    def blocks(self) -> Generator[Samples]:
        minute = 60 * self._decoder.sample_rate
        samples = 0
        for block in self._decoder.blocks():
            if self._stop():
                raise Cancelled("stopped on request")
            before, samples = samples, samples + block.shape[1]
            if samples // minute > before // minute:
                self._on_minute()
            yield block
