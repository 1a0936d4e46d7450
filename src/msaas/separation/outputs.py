"""What a request asks for: which stems, in which order, made of which sources. Refuses stems the model has not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msaas.audio.encode.formats import FORMATS
from msaas.errors import InvalidOption
from msaas.separation.overlap_add import Samples, Span


@dataclass(frozen=True)
class SeparationRequest:
    """How a song is to be separated.

    stems: the stems wanted, all by default. two_stems: one source; the stems are then it and all the rest
    (`vocals` ▸ `vocals`, `no_vocals`). bitrate_kbps counts for MP3 only.
    """

    stems: tuple[str, ...] | None = None
    two_stems: str | None = None
    format: str = "mp3"
    bitrate_kbps: int = 320


@dataclass(frozen=True)
class Output:
    """One stem: a source, or (`rest`) the mix without it."""

    name: str
    source: int  # index into the model's sources
    rest: bool = False


def outputs_of(request: SeparationRequest, sources: Sequence[str]) -> list[Output]:
    """The stems that `request` wants of a model with these sources, in the model's order.

    Raises InvalidOption naming the stem, or the format, that there is not.
    """
    if request.format not in FORMATS:
        raise InvalidOption(f"format {request.format!r} is none of {', '.join(FORMATS)}")
    possible = _possible(request.two_stems, sources)
    if request.stems is None:
        return possible
    names = [output.name for output in possible]
    unknown = [stem for stem in request.stems if stem not in names]
    if unknown:
        raise InvalidOption(f"stem {unknown[0]!r} is none of this model's: {', '.join(names)}")
    if not request.stems:
        raise InvalidOption(f"no stems were asked for; this model's are {', '.join(names)}")
    return [output for output in possible if output.name in request.stems]


def _possible(two_stems: str | None, sources: Sequence[str]) -> list[Output]:
    if two_stems is None:
        return [Output(name, index) for index, name in enumerate(sources)]
    if two_stems not in sources:
        raise InvalidOption(f"two_stems {two_stems!r} is none of this model's sources: {', '.join(sources)}")
    index = list(sources).index(two_stems)
    return [Output(two_stems, index), Output(f"no_{two_stems}", index, rest=True)]


def stem_of(span: Span, output: Output, sources: Sequence[int]) -> Samples:
    """`output`'s samples [C, n] of a span whose stems are those of `sources`."""
    stem: Samples = span.stems[list(sources).index(output.source)]
    return np.subtract(span.mix, stem) if output.rest else stem
