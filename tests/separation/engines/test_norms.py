"""Group norm in two stages says what torch's own says."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.htdemucs.norms import group_norm_in_two_stages

EPS = 1e-5
SHAPES = [(2, 1, 7, 3), (3, 5, 11, 13), (2, 8, 64, 48), (4, 1, 336, 12), (1, 1, 8192, 6)]


def drawn(shape, offset=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(sum(shape))
    x, weight, bias = (torch.randn(*size, generator=generator) for size in (shape, shape[-1:], shape[-1:]))
    return x * scale + offset, weight, bias


def own(x, weight, bias):
    return F.group_norm(x.permute(0, 3, 1, 2), 1, weight, bias, EPS).permute(0, 2, 3, 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (3, 1), (-20, 5), (0, 1e-3), (0, 1e4)])
def test_it_agrees_in_float32(shape, offset, scale):
    x, weight, bias = drawn(shape, offset, scale)
    want = own(x.double(), weight.double(), bias.double())
    made = group_norm_in_two_stages(x, weight, bias, EPS)
    assert made.dtype is torch.float32 and made.shape == x.shape
    assert (made - want).abs().max() <= 3e-5 * max(1.0, float(want.abs().max()))
    assert (own(x, weight, bias) - want).abs().max() <= 3e-5 * max(1.0, float(want.abs().max()))


@pytest.mark.parametrize(("dtype", "decibels"), [(torch.float16, 50), (torch.bfloat16, 32)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_half_precision_it_differs_by_roundings_alone(shape, dtype, decibels):
    """Of its scale, its shift and the result."""
    x, weight, bias = (part.to(dtype) for part in drawn(shape, 0.5))
    want = own(x.double(), weight.double(), bias.double())
    made = group_norm_in_two_stages(x, weight, bias, EPS)
    assert made.dtype is dtype
    difference = (made.double() - want).square().sum()
    assert 10 * torch.log10(want.square().sum() / difference) > decibels


def test_the_items_of_a_batch_do_not_change_each_other():
    x, weight, bias = drawn((4, 3, 40, 6))
    x[2] *= 1000
    whole = group_norm_in_two_stages(x, weight, bias, EPS)
    single = torch.cat([group_norm_in_two_stages(item[None], weight, bias, EPS) for item in x])
    assert torch.allclose(whole, single, atol=1e-6)


def test_a_silent_item_gives_the_bias():
    _, weight, bias = drawn((1, 2, 8, 4))
    made = group_norm_in_two_stages(torch.zeros(1, 2, 8, 4), weight, bias, EPS)
    assert torch.equal(made, bias.expand(1, 2, 8, 4))
