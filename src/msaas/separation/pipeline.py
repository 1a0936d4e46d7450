"""Separates one song, from a file to stem files. Independent of jobs and the network.

Two passes over the song: the first measures its length and level, the second decodes, separates and encodes as it
streams. A stem that another model refines is kept on disk, and that model passes over it. Nothing is held in memory as
a whole, so three hours take the memory of three minutes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from msaas.audio.analysis.song import SongAnalyser
from msaas.audio.decode.decoder import TrackStats, measure
from msaas.audio.encode.converted import Sound
from msaas.audio.encode.writer import lossy_gain
from msaas.audio.limits import Limits
from msaas.audio.part import Part
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.audio.sandbox.tags import tags_isolated
from msaas.audio.warnings import SongWarning, warnings_of
from msaas.audio.waveform import Waveforms
from msaas.errors import InvalidOption, NotAudio
from msaas.options import Options
from msaas.separation import memory
from msaas.separation.engines.engine import Engine, cpu_threads, default_batch
from msaas.separation.engines.parallel import MAX_PARALLEL, ParallelSegments, default_parallel, segment_pool
from msaas.separation.engines.selection import EngineChoice, choose_engine
from msaas.separation.engines.turns import DeviceTurns
from msaas.separation.engines.verdicts import RememberedChoice
from msaas.separation.interrupt import interruptible
from msaas.separation.kept_stem import KeptStem
from msaas.separation.mixture import Samples
from msaas.separation.model import LoadedModel, Network
from msaas.separation.overlap_add import Span, random_shifts, separate_stream
from msaas.separation.passes import SongPasses, StoppableAudio
from msaas.separation.timing import Clock, timed
from msaas.separation.writers import StemWriters, saved_sound

__all__ = ["SeparationResult", "Separator", "separate_song"]

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
    analysis: dict[str, Any] | None  # loudness, tempo and key, as in a job's `analysis`; None if not asked for
    gain: float  # common to all stems; 1.0 unless a fixed-point format would have clipped
    warnings: list[SongWarning]  # for the caller: damage, a downmix, a gain
    model: dict[str, object]  # LoadedModel.describe
    refining: list[dict[str, object]]  # the same of the models that refined stems
    report: dict[str, object]  # decoding (DecodeReport), the model, the device, the batch, each network's engine
    timings: dict[str, float]  # seconds: measure, separate (all that streams), model (within separate), encode, total


class Separator:
    """A model on a device, loaded once for many songs. Several threads may separate a song each."""

    def __init__(
        self,
        model: LoadedModel,
        device: torch.device,
        batch: int = 0,
        *,
        parallel: int = 0,
        threads: int | None = None,
        precision: str = "auto",
        choose: ChooseEngine = choose_engine,
        release: bool = False,
        turns: DeviceTurns | None = None,
    ) -> None:
        """batch: segments per forward, on a CPU at a time; 0: the device's default. threads: torch's, process-wide;
        None: unchanged. parallel: segments at a time on a CPU, instead of `batch`; 0: one a thread, at most 4.
        precision: "fp32" or "auto" (engines.selection.choose_engine). release: drops the weights of `model` that the
        engines have copies of. turns: of the device, if other models use it at the same time.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self.model = model
        self.device = device
        threads = cpu_threads()
        torch.set_num_threads(threads)  # more threads than cores would wait for each other at each step
        self.batch = batch or default_batch(device)
        self.parallel = min(parallel or min(batch, MAX_PARALLEL), threads) or default_parallel(threads)
        self._threads, self._precision = threads, precision
        self._turns = turns or DeviceTurns()
        self._pool = segment_pool(self.parallel) if device.type == "cpu" else None
        self.in_stages = self._pool is None and threads > 2  # beside a card; two cores gain nothing by it
        self._use([choose(network, device, precision) for network in model.networks])
        for network, choice in zip(model.networks, self.choices, strict=True):
            if release and choice["layout"] == "channels_last":
                model.release(network)

    def confirm(self, remembered: RememberedChoice, load: Callable[[], LoadedModel], stop: Stop) -> None:
        """Checks engines that were chosen by earlier verdicts, and uses what the check chooses.

        load: the model anew, since its weights may have been released. Raises Cancelled if stop() returns True.
        """
        networks = load().networks
        where = self.device, self._precision
        if any(remembered.unconfirmed(network, *where) for network in networks):
            with interruptible(stop):
                self._use([remembered.confirm(network, *where) for network in networks])

    def _use(self, chosen: Sequence[tuple[Engine, EngineChoice]]) -> None:
        self.choices = [choice.as_report() for _, choice in chosen]
        self._engines: list[Engine] = [
            engine if self._pool is None else ParallelSegments(engine, self._threads, self.parallel, self._pool)
            for engine, _ in chosen
        ]
        log.info(
            "engine model=%s batch=%d lanes=%d threads=%d engines=%s",
            self.model.name,
            self.batch,
            self.parallel,
            self._threads,
            json.dumps(self.choices),
        )

    def separate_song(self, song: Path, out_dir: Path, options: Options, **more: Any) -> SeparationResult:
        """The function `separate_song` with this model, for options that refine no stem."""
        if options.refine:
            raise InvalidOption("one model cannot refine its own stems")
        return separate_song(lambda _model: self, song, out_dir, options, **more)

    def spans(
        self,
        blocks: Iterable[Samples],
        stats: TrackStats,
        options: Options,
        *,
        sources: Sequence[int],
        seed: str,
        clock: Clock,
        progress: Callable[[float], None],
        stop: Stop,
    ) -> Generator[Span]:
        """overlap_add.separate_stream with this model's engines, batch, and the overlap and shifts of the options."""
        return separate_stream(
            blocks,
            stats,
            self.model,
            [timed(engine, clock, stop, self._turns) for engine in self._engines],
            batch=self.batch,
            overlap=options.overlap,
            shifts=random_shifts(options.shifts, len(self.model.networks), self.model.sample_rate, seed),
            sources=sources,
            progress=progress,
            stop=stop,
        )

    def report(self) -> dict[str, object]:
        return {
            "model": self.model.name,
            "device": str(self.device),
            "batch": self.batch,
            "lanes": self.parallel,
            "engine": self.choices,
        }


def separate_song(
    load: Callable[[str], Separator],
    song: Path,
    out_dir: Path,
    options: Options,
    *,
    seed: str = "",
    analyse: bool = False,
    limits: Limits | None = None,
    progress: Progress = lambda _stage, _fraction: None,
    stop: Stop = lambda: False,
    on_waveforms: Callable[[Waveforms], None] = lambda _: None,
) -> SeparationResult:
    """Writes `<out_dir>/<stem>.<format>` for each stem that `options` ask for, and for each part of a refined stem.

    load: returns the separator of a model; each is asked for when its pass begins, and not held after it.
    seed: of the shifts' random lengths.
    analyse: whether to measure the song's loudness, tempo and key.
    progress(stage, fraction): "decoding", "separating", "encoding" in this order, each rising to 1. The length
    is unknown until the song was decoded once: "decoding" stays at 0, reported again for each minute of audio.
    stop: called for each decoded block and between the network's layers. If the call fails, no stem remains.
    on_waveforms: called with the stems' waveforms whenever they have grown; always with the same object.
    Raises InvalidOption for a stem or format that does not exist and for a model that cannot refine a stem, AudioError
    if the song is the cause, Cancelled if stop() returns True, ScratchFull if the disk is full, and what `load` raises.
    """
    clock = Clock()
    separator = load(options.model)
    model, report = separator.model.describe(), separator.report()
    outputs = options.outputs(separator.model.sources)
    rate, channels = separator.model.sample_rate, separator.model.channels
    part = Part(options.start or 0.0, options.end)
    decoder = IsolatedDecoder(song, sample_rate=rate, channels=channels, limits=limits or Limits(), part=part)
    with clock.running("measure"):
        stats = _measured(decoder, options.start, progress, stop)
    decoding = decoder.report
    tags = tags_isolated(song)
    saved = saved_sound(options, Sound(rate, channels, stats.total_samples), decoding)
    out_dir.mkdir(parents=True, exist_ok=True)
    with memory.heap_trimmed_after(), ExitStack() as files:
        stems = files.enter_context(StemWriters(lossy_gain(stats.peak)))
        waveforms = Waveforms([], stats.total_samples, rate)
        analyser = SongAnalyser(rate, channels) if analyse else None
        run = SongPasses(
            out_dir, options, tags, saved, seed, stems, waveforms, clock, progress, stop, on_waveforms, analyser
        )
        for stem, _ in options.refine:
            path = out_dir / f"{stem}.kept"
            run.kept[stem] = files.enter_context(KeptStem(path, sample_rate=rate, channels=channels))
        run.separate(separator, decoder, stats, outputs)
        with clock.running("separate"):
            analysis = analyser.result() if analyser else None
        del separator  # so that it may be dropped for a model that refines
        refining = [run.refine(stem, load(refiner)) for stem, refiner in options.refine]
        gain = run.close()
    result = SeparationResult(
        stems=run.paths,
        total_samples=saved.total_samples,
        sample_rate=saved.sample_rate,
        duration_seconds=stats.total_samples / rate,
        analysis=analysis,
        gain=gain,
        warnings=warnings_of(decoding, gain),
        model=model,
        refining=refining,
        report=asdict(decoding) | report | ({"refined": run.refined} if run.refined else {}),
        timings=clock.seconds(),
    )
    log.info(
        "separated stems=%d seconds=%.1f took=%.1f", len(run.paths), result.duration_seconds, result.timings["total"]
    )
    return result


def _measured(decoder: IsolatedDecoder, start: float | None, progress: Progress, stop: Stop) -> TrackStats:
    """The first pass; repeated if the downmix's gain was lowered in mid-song, since earlier samples were too loud.

    Raises NotAudio without a sample, InvalidOption if the song ends before `start`.
    """
    audio = StoppableAudio(decoder, stop, lambda: progress("decoding", 0.0))
    progress("decoding", 0.0)
    stats = measure(audio)
    if decoder.report.gain_lowered:
        stats = measure(audio)
    if stats.total_samples == 0 and start and decoder.report.samples_in:
        seconds = decoder.report.samples_in / decoder.report.sample_rate_in
        raise InvalidOption(f"start {start:g}: the song ends after {seconds:.3f} seconds")
    if stats.total_samples == 0:
        raise NotAudio("the song has no samples")
    progress("decoding", 1.0)
    return stats
