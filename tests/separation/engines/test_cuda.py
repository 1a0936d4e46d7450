"""What runs on a CUDA card. Skipped where there is none; the rest of the engine's tests need no card."""

from contextlib import contextmanager

import pytest
import torch
from demucs.htdemucs import HTDemucs

from msaas.separation.engines import selection
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.engines.htdemucs import ChannelsLast
from msaas.separation.engines.htdemucs.norms import group_norm_in_two_stages
from msaas.separation.engines.tf32 import without_tf32
from msaas.separation.model import from_demucs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card on this machine")

SEGMENT = 44_100


@pytest.fixture
def card():
    return torch.device("cuda")


@pytest.fixture
def network(kit):
    return kit.seeded(
        lambda: HTDemucs(sources=["drums", "bass", "other", "vocals"], channels=8, t_layers=3, t_heads=2, segment=1)
    )


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@contextmanager
def flags_kept():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_on_cuda_float32_agrees_with_the_cpu_to_the_tolerance_of_float32(network, card):
    mix = noise(2, 2, SEGMENT)
    with torch.inference_mode():
        want = network(mix)
    with without_tf32():
        made = TorchEngine(ChannelsLast(network, card), card).forward(mix)
    assert (made - want).abs().max() <= selection.FP32_TOLERANCE * want.abs().max()


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_on_cuda_the_channels_last_engine_passes_its_check(network, card, precision):
    with flags_kept():
        _, choice = selection.choose_engine(from_demucs("tiny", network).networks[0], card, precision)
    assert choice.layout == "channels_last"
    assert choice.snr_db >= (90 if precision == "fp32" else selection.MIN_SNR_DB)


def test_on_cuda_the_size_of_a_batch_changes_no_output(network, card):
    mix = noise(8, 2, SEGMENT)
    engine = TorchEngine(ChannelsLast(network, card, torch.float16), card)
    single = torch.cat([engine.forward(item[None]) for item in mix])
    assert selection._snr_db(engine.forward(mix), single) > 50


def test_on_cuda_the_output_is_in_page_locked_memory_and_stays_after_the_next_forward(network, card):
    engine = TorchEngine(ChannelsLast(network, card), card)
    first = engine.forward(noise(1, 2, SEGMENT))
    kept = first.clone()
    engine.forward(2 * noise(1, 2, SEGMENT))
    assert first.is_pinned() and torch.equal(first, kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_on_cuda_group_norm_in_two_stages_agrees_with_torchs_own(card, dtype):
    x, weight, bias = noise(4, 8, 336, 48), noise(48), noise(48)
    want = torch.nn.functional.group_norm(x.permute(0, 3, 1, 2), 1, weight, bias).permute(0, 2, 3, 1)
    on_card = [part.to(card, dtype) for part in (x, weight, bias)]
    made = group_norm_in_two_stages(on_card[0], on_card[1], on_card[2], 1e-5)
    assert selection._snr_db(made.float().cpu(), want) > (100 if dtype is torch.float32 else 55)
