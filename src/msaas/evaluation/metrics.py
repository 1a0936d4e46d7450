"""Signal-to-distortion ratios in dB: the global one, and BSS Eval's by museval.

`global_sdr` is that of the Music Demixing Challenge 2021 and of MVSEP's tables: one ratio over the whole song
(Mitsufuji et al., Music Demixing Challenge 2021, equation 1). `frame_sdr` is that of SiSEC 2018: museval (BSS Eval v4)
in frames of a second, of which a song has the median (Stöter, Liutkus, Ito 2018).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from msaas.errors import MSaaSError

Samples = npt.NDArray[np.float32]

SILENCE = 1e-7  # added to both energies, as the challenge does
NEEDS = "BSS Eval needs the package museval: `pip install '.[evaluate]'` in a clone of MSaaS, or use --metric global"


class MissingMetric(MSaaSError):
    code = "invalid_option"


def global_sdr(reference: Samples, estimate: Samples) -> float:
    """10·log10(Σ reference² / Σ (reference − estimate)²) over all channels and samples, [C, n] each.

    nan for a silent reference, for which no estimate has a ratio.
    """
    energy = float(np.square(reference, dtype=np.float64).sum())
    if energy <= SILENCE:
        return math.nan
    error = float(np.square(reference.astype(np.float64) - estimate).sum())
    return 10 * math.log10((energy + SILENCE) / (error + SILENCE))


def frame_sdr(references: Sequence[Samples], estimates: Sequence[Samples], sample_rate: int) -> list[float]:
    """museval's SDR of each stem: the median over the song's frames of a second; nan if no frame has one.

    references, estimates: the stems in the same order, [C, n] each. Raises MissingMetric without museval.
    """
    bss_eval = museval_metrics().bss_eval
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about silent frames, which are nan
        sdr, *_ = bss_eval(
            np.stack([one.T for one in references]).astype(np.float64),
            np.stack([one.T for one in estimates]).astype(np.float64),
            window=sample_rate,
            hop=sample_rate,
            compute_permutation=False,
            framewise_filters=False,
            bsseval_sources_version=False,
        )
    return [median(frames) for frames in sdr]


@cache
def museval_metrics() -> Any:
    """museval's module `metrics` alone: the package imports readers of files, which need FFmpeg's programs.

    Raises MissingMetric without museval.
    """
    package = find_spec("museval")
    spec = package and PathFinder.find_spec("metrics", package.submodule_search_locations)
    if spec is None or spec.loader is None:
        raise MissingMetric(NEEDS)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def median(values: Sequence[float]) -> float:
    """Of the values that are numbers; nan without any."""
    numbers = [value for value in values if not math.isnan(value)]
    return float(np.median(numbers)) if numbers else math.nan
