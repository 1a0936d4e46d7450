"""What a loaded model says of itself, and the engine that runs it."""

from __future__ import annotations

import json

import pytest
import torch
from demucs.apply import BagOfModels

from msaas.errors import ModelUnavailable
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.model import from_demucs


def test_a_model_describes_itself_in_json(networks) -> None:
    model = from_demucs("six", networks["six sources"])
    facts = json.loads(json.dumps(model.describe()))
    assert facts["name"] == "six"
    assert facts["sources"] == ["drums", "bass", "other", "vocals", "guitar", "piano"]
    assert facts["sample_rate"] == 44_100
    assert facts["channels"] == 2
    assert facts["segment_seconds"] == 1.5
    assert facts["parameters"] == sum(p.numel() for p in networks["six sources"].parameters())


def test_a_bag_is_one_model_of_several_parts(networks) -> None:
    model = from_demucs("bag", networks["bag"])
    assert [part.segment_samples for part in model.networks] == [66_150, 44_100, 88_200]
    assert [part.weights for part in model.networks] == [(1.0, 0.5), (0.25, 2.0), (1.0, 0.0)]
    assert model.segment_samples == 88_200


def test_a_bag_that_forgets_a_source_is_refused(kit) -> None:
    with pytest.raises(ModelUnavailable, match="'b'"):
        from_demucs("bag", BagOfModels([kit.tiny(["a", "b"])], [[1.0, 0.0]]))


def test_a_full_card_gets_smaller_batches() -> None:
    class Card(torch.nn.Module):
        def forward(self, batch):
            if len(batch) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return batch[:, None]

    batch = torch.arange(5.0)[:, None, None]
    assert torch.equal(TorchEngine(Card(), torch.device("cpu")).forward(batch), batch[:, None])


def test_a_card_too_small_for_one_segment_is_an_error() -> None:
    class Full(torch.nn.Module):
        def forward(self, batch):
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        TorchEngine(Full(), torch.device("cpu")).forward(torch.zeros(4, 2, 10))
