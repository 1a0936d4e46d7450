"""The streaming passes over a song, from blocks of samples to stem files: by its model, then by each model that refines
a stem."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from msaas.audio.analysis.song import SongAnalyser
from msaas.audio.decode.decoder import TrackStats, measure
from msaas.audio.encode.converted import Sound
from msaas.audio.encode.open_writer import open_writer
from msaas.audio.encode.stems_file import mix_tags, write_stems_file
from msaas.audio.tags import SongTags, stem_tags
from msaas.audio.waveform import Waveforms
from msaas.errors import Cancelled, InvalidOption
from msaas.formats import MIX, STEMS_FILE, format_named
from msaas.options import Options, Output, parts_of
from msaas.separation.concurrency.stages import Behind, ReadAhead
from msaas.separation.kept_stem import KeptStem
from msaas.separation.mixture import Samples
from msaas.separation.model import LoadedModel
from msaas.separation.overlap_add import Span
from msaas.separation.timing import Clock
from msaas.separation.writers import StemWriters

Progress = Callable[[str, float], None]
Stop = Callable[[], bool]

BLOCKS_AHEAD = 16  # read before the network needs them
SPANS_BEHIND = 1  # of which the samples are still to be kept; a span is as long as a batch of segments


class SongSeparator(Protocol):
    """A Separator, as far as the passes need it."""

    model: LoadedModel
    in_stages: bool  # whether reading, the network and keeping are in a thread each

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
    ) -> Generator[Span]: ...

    def report(self) -> dict[str, object]: ...


@dataclass
class SongPasses:
    """The streaming passes over a song: by its model, then by each model that refines a stem."""

    out_dir: Path
    options: Options
    tags: SongTags
    saved: Sound  # what each stem is saved as
    seed: str
    stems: StemWriters
    waveforms: Waveforms
    clock: Clock
    progress: Progress
    stop: Stop
    on_waveforms: Callable[[Waveforms], None]
    analyser: SongAnalyser | None = None
    kept: dict[str, KeptStem] = field(default_factory=dict)  # the stems that are refined
    paths: dict[str, Path] = field(default_factory=dict)
    refined: dict[str, dict[str, object]] = field(default_factory=dict)  # stem ▸ Separator.report
    finished: int = 0  # passes

    def separate(self, separator: SongSeparator, audio: Audio, stats: TrackStats, outputs: Sequence[Output]) -> None:
        """Writes the samples of the outputs to their writers and waveforms."""
        self._open(separator.model, outputs, stats)
        sources = sorted({source for output in outputs for source in output.sources})
        names = [separator.model.sources[source] for source in sources]
        self._show(0.0)
        with self.clock.running("separate"), ExitStack() as stages:
            blocks: Iterator[Samples] = stages.enter_context(closing(StoppableAudio(audio, self.stop).blocks()))
            keep: Callable[[Span], object] = partial(self._keep, outputs, sources, names)
            if separator.in_stages:
                blocks = stages.enter_context(ReadAhead(blocks, BLOCKS_AHEAD))
                keep = stages.enter_context(Behind(keep, SPANS_BEHIND))
            spans = separator.spans(
                blocks,
                stats,
                self.options,
                sources=sources,
                seed=self.seed,
                clock=self.clock,
                progress=self._show,
                stop=self.stop,
            )
            with closing(spans):
                for span in spans:
                    keep(span)
        self.finished += 1

    def _keep(self, outputs: Sequence[Output], sources: Sequence[int], names: Sequence[str], span: Span) -> None:
        """Writes and analyses a span. names: of the sources."""
        for output in outputs:
            if self.stop():  # a span of a card is a minute long
                raise Cancelled("stopped on request")
            self._write(output.name, _stem_of(span, output, sources))
        if self.is_one_file:
            self._write(MIX, span.mix)
        if self.analyser and not self.finished:  # not the stems of a stem
            self.analyser.add(span.mix, dict(zip(names, span.stems, strict=True)))
        self.on_waveforms(self.waveforms)

    def refine(self, stem: str, separator: SongSeparator) -> dict[str, object]:
        """Separates a stem further, into parts that add up to it; returns the description of the model that did."""
        model, kept = separator.model, self.kept[stem]
        parts = refined_parts(stem, model, by=(self.options.model, kept.sample_rate, kept.channels))
        with self.clock.running("measure"):
            stats = measure(StoppableAudio(kept, self.stop))
        self.separate(separator, kept, stats, parts)
        self.refined[stem] = separator.report()
        return model.describe()

    def _open(self, model: LoadedModel, outputs: Sequence[Output], stats: TrackStats) -> None:
        names = [output.name for output in outputs] + ([MIX] if self.is_one_file else [])
        suffix = ".m4a" if self.is_one_file else format_named(self.options.format).suffix
        for name in names:
            path = self.paths[name] = self.out_dir / (name + suffix)
            writer = open_writer(
                path,
                self.options.format,
                sample_rate=self.saved.sample_rate,
                channels=self.saved.channels,
                total_samples=self.saved.total_samples,
                made=Sound(model.sample_rate, model.channels, stats.total_samples),
                bitrate_kbps=self.options.bitrate,
                bit_depth=self.options.bit_depth,
                tags=None if self.is_one_file else stem_tags(self.tags, name, model.name),
            )
            self.stems.add(name, writer)
        self.waveforms.begin([MIX] if self.is_one_file else names)

    @property
    def is_one_file(self) -> bool:
        return self.options.format == STEMS_FILE

    def close(self) -> float:
        """Finishes all files. Returns the gain that they have in common."""
        self.progress("encoding", 0.0)
        with self.clock.running("encode"):
            gain = self.stems.close(lambda fraction: self.progress("encoding", fraction))
            if self.is_one_file:
                self._join()
        return gain

    def _join(self) -> None:
        """Replaces the files of mix and stems by one file with all of them."""
        path = self.out_dir / f"{MIX}.{STEMS_FILE}"
        stems = {name: file for name, file in self.paths.items() if name != MIX}
        tags = mix_tags(stem_tags(self.tags, MIX, self.options.model), self.tags.texts.get("title"))
        write_stems_file(path, self.paths[MIX], stems, tags)
        for file in self.paths.values():
            file.unlink()
        self.paths = {MIX: path}

    def _write(self, stem: str, block: Samples) -> None:
        self.stems.write(stem, block)
        if stem == MIX or not self.is_one_file:
            self.waveforms.add(stem, block)
        if stem in self.kept:
            self.kept[stem].write(block)

    def _show(self, fraction: float) -> None:
        """The passes count alike, whatever their models take."""
        self.progress("separating", (self.finished + fraction) / (1 + len(self.options.refine)))


def refined_parts(stem: str, model: LoadedModel, *, by: tuple[str, int, int]) -> tuple[Output, ...]:
    """The parts that a model makes of a stem. by: name, rate and channels of the model that made the stem.

    Raises InvalidOption if it cannot.
    """
    name, rate, channels = by
    if (model.sample_rate, model.channels) != (rate, channels):
        raise InvalidOption(
            f"{model.name} cannot refine {stem}: it needs {model.sample_rate} Hz and {model.channels} channels, "
            f"but {name} makes {rate} Hz and {channels}"
        )
    return parts_of(stem, model.sources, complete=model.complete)


def _stem_of(span: Span, output: Output, sources: Sequence[int]) -> Samples:
    """The samples [C, n] of `output` in a span whose stems are those of `sources`."""
    first, *others = (span.stems[list(sources).index(source)] for source in output.sources)
    stem: Samples = sum(others, start=first)
    return np.subtract(span.mix, stem) if output.rest else stem


class Audio(Protocol):
    """A decoder, or a stem that is kept."""

    sample_rate: int  # Hz

    def blocks(self) -> Iterator[Samples]: ...


class StoppableAudio:
    """Audio whose blocks raise Cancelled once stop() returns True. on_minute: called each minute of audio."""

    def __init__(self, audio: Audio, stop: Stop, on_minute: Callable[[], None] = lambda: None) -> None:
        self._audio, self._stop, self._on_minute = audio, stop, on_minute

    def blocks(self) -> Generator[Samples]:
        minute = 60 * self._audio.sample_rate
        samples = 0
        for block in self._audio.blocks():
            if self._stop():
                raise Cancelled("stopped on request")
            before, samples = samples, samples + block.shape[1]
            if samples // minute > before // minute:
                self._on_minute()
            yield block
