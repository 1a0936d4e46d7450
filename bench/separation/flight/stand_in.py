"""A model whose network takes the time of a card and almost no processor time, to see the rest of a job."""

from __future__ import annotations

import threading
import time
from typing import Any

import torch
from torch import Tensor, nn

from msaas.separation.engines.engine import Engine
from msaas.separation.engines.selection import EngineChoice
from msaas.separation.model import LoadedModel, Network
from msaas.separation.pipeline import Separator

SOURCES = ("drums", "bass", "other", "vocals")
RATE, CHANNELS = 44_100, 2
SEGMENT_SAMPLES = 343_980  # htdemucs'


class StandIn:
    """An engine that sleeps for `seconds` a segment, as its caller does while a card works."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self.busy_seconds = 0.0
        generator = torch.Generator().manual_seed(0)
        self._output = 0.1 * torch.randn(1, len(SOURCES), CHANNELS, SEGMENT_SAMPLES, generator=generator)

    def forward(self, batch: Tensor) -> Tensor:
        with self._lock:  # one card
            began = time.monotonic()
            time.sleep(self._seconds * len(batch))
            self.busy_seconds += time.monotonic() - began
        return self._output.expand(len(batch), -1, -1, -1)[..., : batch.shape[-1]]


def stand_in_separator(engine: Engine, batch: int = 8) -> Separator:
    """A separator that takes the way of a card: no lanes, several segments per forward."""

    class Module(nn.Module):
        samplerate, audio_channels = RATE, CHANNELS

    network = Network(Module(), SEGMENT_SAMPLES, (1.0,) * len(SOURCES))
    model = LoadedModel("stand-in", SOURCES, RATE, CHANNELS, SEGMENT_SAMPLES, (network,))

    def choose(*_: Any) -> tuple[Engine, EngineChoice]:
        return engine, EngineChoice("module", "fp32", None)

    return Separator(model, torch.device("cuda"), batch, choose=choose)
