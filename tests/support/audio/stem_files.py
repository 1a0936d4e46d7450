"""The samples of stem files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from msaas.separation.pipeline import SeparationResult


def samples_of(path: Path) -> np.ndarray:
    """[C, n] float32."""
    samples: np.ndarray = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    return samples


def stems_of(result: SeparationResult) -> dict[str, np.ndarray]:
    return {stem: samples_of(path) for stem, path in result.stems.items()}
