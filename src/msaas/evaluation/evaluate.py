"""Separates songs whose stems are known, as a worker does, and compares the stems with the known ones."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msaas.evaluation import GLOBAL
from msaas.evaluation.metrics import Samples, frame_sdr, global_sdr, median
from msaas.evaluation.references import ReferenceSong, decoded, fitted, known_stem
from msaas.options import Options

if TYPE_CHECKING:
    from msaas.separation.pipeline import Separator


@dataclass(frozen=True)
class SongScore:
    """A song's ratios in dB, by metric and stem; a stem without a known one is missing."""

    name: str
    seconds: float
    sdr: dict[str, dict[str, float]]


class Evaluation:
    """A loaded model, the options to run it with, and the metrics to compute."""

    def __init__(self, separator: Separator, options: Options, metrics: Iterable[str], scratch_dir: Path) -> None:
        self.separator, self.options, self.metrics = separator, options, tuple(metrics)
        self.scratch_dir = scratch_dir

    def score(self, song: ReferenceSong) -> SongScore:
        """Raises what Separator.separate_song raises, AudioError for a known stem that cannot be read."""
        model = self.separator.model
        shape = {"sample_rate": model.sample_rate, "channels": model.channels}
        with tempfile.TemporaryDirectory(dir=self.scratch_dir) as folder:
            result = self.separator.separate_song(song.mixture, Path(folder), self.options, seed=song.name)
            pairs: dict[str, tuple[Samples, Samples]] = {}
            for stem, path in result.stems.items():
                known = known_stem(song, stem, model.sources, **shape)
                if known is not None:
                    estimate = decoded(path, **shape)
                    pairs[stem] = known, fitted(estimate, known.shape[1])
        return SongScore(song.name, result.duration_seconds, {one: self._by_stem(one, pairs) for one in self.metrics})

    def _by_stem(self, metric: str, pairs: dict[str, tuple[Samples, Samples]]) -> dict[str, float]:
        if metric == GLOBAL:
            return {stem: global_sdr(known, estimate) for stem, (known, estimate) in pairs.items()}
        if not pairs:
            return {}
        known, estimates = zip(*pairs.values(), strict=True)
        return dict(zip(pairs, frame_sdr(known, estimates, self.separator.model.sample_rate), strict=True))


def averages(scores: Sequence[SongScore], metric: str) -> dict[str, float]:
    """The median of each stem over the songs, and `mean`, the mean of these medians."""
    stems = dict.fromkeys(stem for score in scores for stem in score.sdr[metric])
    medians = {stem: median([score.sdr[metric].get(stem, math.nan) for score in scores]) for stem in stems}
    known = [value for value in medians.values() if not math.isnan(value)]
    return medians | ({"mean": sum(known) / len(known)} if known else {})
