"""The spectrograms at both ends of the engine are HTDemucs' own."""

from __future__ import annotations

import pytest
import torch
from demucs.htdemucs import HTDemucs

from msaas.separation.engines.htdemucs.spectrograms import image_of, normalized, restored, waves_of


@pytest.fixture
def network(kit) -> HTDemucs:
    return kit.seeded(lambda: HTDemucs(sources=["a", "b"], channels=8, depth=2, t_layers=0, segment=1, nfft=512))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_image_has_real_and_imaginary_parts_as_channels(dtype, network) -> None:
    spectrogram = network._spec(3 + noise(2, 2, 44_100))
    want, level = normalized(network._magnitude(spectrogram).permute(0, 2, 3, 1))
    image, (std, mean) = image_of(spectrogram, dtype)
    assert image.is_contiguous()
    assert image.dtype is dtype
    assert (image.float() - want).abs().max() <= torch.finfo(dtype).eps * want.abs().max() + 1e-5
    assert std.flatten().tolist() == pytest.approx(level[0].flatten().tolist(), rel=1e-5)
    assert mean.flatten().tolist() == pytest.approx(level[1].flatten().tolist(), abs=1e-5)


@pytest.mark.parametrize("samples", [128, 1000, 4_000, 44_100, 44_099])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_inverse_is_that_of_the_module(samples, threads, network) -> None:
    times = -(-samples // network.hop_length)
    spectrogram = torch.complex(noise(2, 4, 256, times), noise(2, 4, 256, times) + 1)
    image = torch.view_as_real(spectrogram.permute(0, 2, 3, 1)).flatten(3)
    level = torch.tensor([2.0, 0.1]).reshape(2, 1, 1, 1, 1), torch.tensor([0.5, -1.0]).reshape(2, 1, 1, 1, 1)
    louder = torch.view_as_complex(restored(torch.unflatten(image, -1, (-1, 2)).clone(), level))
    want = network._ispec(louder.permute(0, 3, 1, 2).contiguous(), samples)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = waves_of(image, level, samples)
    finally:
        torch.set_num_threads(before)
    assert made.shape == want.shape
    assert (made - want).abs().max() < 1e-5 * want.abs().max()
