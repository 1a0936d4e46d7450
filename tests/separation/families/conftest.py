"""A song separated at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from msaas.separation.engines.engine import TorchEngine
from msaas.separation.overlap_add import separate_stream


@pytest.fixture
def stream(kit) -> Callable[..., np.ndarray]:
    """Separates [C, n] at once: the stems, [S, C, n]."""

    def separate(model, wav, engines=None, block=9973, **how):
        engines = engines or [TorchEngine(network.module, torch.device("cpu")) for network in model.networks]
        spans = list(separate_stream(kit.blocks_of(wav, block), kit.stats_of(wav), model, engines, **how))
        assert np.array_equal(np.concatenate([span.mix for span in spans], -1), wav)
        return np.concatenate([span.stems for span in spans], -1)

    return separate
