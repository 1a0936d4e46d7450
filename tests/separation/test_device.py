"""The choice of a device."""

from __future__ import annotations

import pytest
import torch

from msaas.errors import DeviceUnavailable
from msaas.separation.device import choose_device


@pytest.fixture
def here(monkeypatch):
    """Pretends what this machine has."""

    def pretend(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Test GPU")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "kind"), [(1, True, "cuda"), (0, True, "mps"), (0, False, "cpu"), (1, False, "cuda")]
)
def test_auto_takes_cuda_then_mps_then_cpu(cuda, mps, kind, here) -> None:
    here(cuda, mps)
    choice = choose_device("auto")
    assert choice.device.type == kind
    assert choice.reason


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "mps"])
def test_a_device_asked_for_by_name_is_never_replaced(wanted, here) -> None:
    here()
    with pytest.raises(DeviceUnavailable, match=wanted):
        choose_device(wanted)


def test_a_second_gpu_that_is_not_there_is_an_error(here) -> None:
    here(cuda=1)
    assert choose_device("cuda:0").device == torch.device("cuda:0")
    with pytest.raises(DeviceUnavailable, match="1 CUDA"):
        choose_device("cuda:1")


@pytest.mark.parametrize("wanted", ["tpu", "", "cuda:x", "cpu:one"])
def test_a_device_nobody_knows_is_an_error(wanted) -> None:
    with pytest.raises(DeviceUnavailable, match="must be one of auto"):
        choose_device(wanted)


def test_cpu_may_be_asked_for_where_there_is_a_gpu(here) -> None:
    here(cuda=1)
    assert choose_device("cpu").device.type == "cpu"
