"""Group norm with one group in two stages, for cards."""

from __future__ import annotations

import torch
from torch import Tensor

# The first stage's number of sums per item; the largest that divides an item is used. torch's own kernel has one block
# of threads per group, so that a card computes an item's only group with a small part of its cores.
_PARTS = (256, 128, 96, 64, 48, 32, 16, 8, 4, 2, 1)


def group_norm_in_two_stages(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """F.group_norm with one group of [N, H, W, C], channels last. Moments are float32, the result is of x's type."""
    count = x[0].numel()
    parts = next(parts for parts in _PARTS if count % parts == 0)
    variances, means = torch.var_mean(x.reshape(len(x), parts, -1).float(), dim=2, correction=0)
    mean = means.mean(1, keepdim=True)
    variance = variances.mean(1, keepdim=True) + (means - mean).square().mean(1, keepdim=True)
    scale = (variance + eps).rsqrt() * weight.float()  # [N, C]
    shift = bias.float() - mean * scale
    return torch.addcmul(shift[:, None, None].to(x.dtype), x, scale[:, None, None].to(x.dtype))
