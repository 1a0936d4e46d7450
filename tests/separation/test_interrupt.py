"""A run that is given up ends between two layers, and between two pieces of a stem: the process need not be killed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from msaas.audio.encode.open_writer import open_writer
from msaas.errors import Cancelled, SeparationError
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.engines.htdemucs import ChannelsLast
from msaas.separation.engines.parallel import ParallelSegments
from msaas.separation.interrupt import check, interruptible
from msaas.separation.writers import PIECE_SAMPLES, StemWriters

CPU = torch.device("cpu")


class Layer(nn.Module):
    def __init__(self, ran: list[str], name: str) -> None:
        super().__init__()
        self.ran, self.name = ran, name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.ran.append(self.name)
        return x[:, None] if self.name == "last" else x


def network_of(ran: list[str]) -> nn.Module:
    return nn.Sequential(*(Layer(ran, name) for name in ("first", "middle", "last")))


def test_a_networks_own_forward_ends_before_its_next_layer():
    ran: list[str] = []
    engine = TorchEngine(network_of(ran), CPU)
    with interruptible(lambda: "first" in ran), pytest.raises(Cancelled):
        engine.forward(torch.zeros(1, 2, 10))
    assert ran == ["first"]
    assert engine.forward(torch.zeros(1, 2, 10)).shape == (1, 1, 2, 10)  # and the next song goes through


def test_each_lane_of_a_batch_ends_before_the_batch_does():
    ran: list[str] = []
    lanes = ParallelSegments(TorchEngine(network_of(ran), CPU), 2)
    with interruptible(lambda: "first" in ran), pytest.raises(Cancelled):
        lanes.forward(torch.zeros(2, 2, 10))
    assert set(ran) == {"first"}
    assert lanes.forward(torch.zeros(2, 2, 10)).shape == (2, 1, 2, 10)


def test_our_own_forward_of_htdemucs_asks_between_its_layers(kit):
    network = kit.tiny(["a", "b"], t_layers=3)
    asked: list[int] = []
    engine = TorchEngine(ChannelsLast(network, CPU), CPU)
    batch = torch.zeros(1, 2, int(network.segment * network.samplerate))
    with interruptible(lambda: bool(asked.append(1))):  # never true
        engine.forward(batch)
    assert len(asked) > 2 * len(network.encoder) + 2 * len(network.decoder)
    for turn in (1, len(asked) // 2, len(asked)):
        asked.clear()
        with interruptible(lambda turn=turn: asked.append(1) or len(asked) >= turn), pytest.raises(Cancelled):
            engine.forward(batch)
        assert len(asked) == turn


def test_nothing_is_interrupted_outside():
    check()
    with interruptible(lambda: True):
        pass
    check()


class SlowWriter:
    """Waits at its first piece until it is let go."""

    lossy = True

    def __init__(self, path: Path) -> None:
        self.path, self.pieces, self.aborted = path, 0, False
        self.writing, self.let_go = threading.Event(), threading.Event()

    def write(self, block: np.ndarray) -> None:
        assert block.shape[1] <= PIECE_SAMPLES
        self.pieces += 1
        self.writing.set()
        assert self.let_go.wait(60)

    def abort(self) -> None:
        self.aborted = True


def test_a_stem_that_is_given_up_is_not_encoded_to_the_end_of_its_block(tmp_path):
    writer = SlowWriter(tmp_path / "vocals.mp3")
    stems = StemWriters()
    with pytest.raises(Cancelled), stems:
        stems.add("vocals", writer)
        stems.write("vocals", np.zeros((2, 100 * PIECE_SAMPLES), np.float32))
        assert writer.writing.wait(60)
        # the piece ends once the context is being left: its exit waits for the thread
        threading.Thread(target=lambda: _abandoned(stems) and writer.let_go.set(), daemon=True).start()
        raise Cancelled("stopped on request")
    assert (writer.pieces, writer.aborted) == (1, True)


def test_samples_that_are_not_numbers_end_the_song_with_that_reason_and_leave_no_file(tmp_path):
    path = tmp_path / "vocals.mp3"
    stems = StemWriters()
    with pytest.raises(SeparationError, match="samples of vocals that are not numbers"), stems:
        stems.add("vocals", open_writer(path, "mp3", sample_rate=44_100, channels=2, total_samples=5000))
        stems.write("vocals", np.full((2, 5000), np.nan, np.float32))
        stems.close()
    assert not path.exists()


def _abandoned(stems: StemWriters) -> bool:
    waiting = threading.Event()
    while not all(encoder.abandoned for encoder in stems._encoders.values()):
        waiting.wait(0.01)
    return True
