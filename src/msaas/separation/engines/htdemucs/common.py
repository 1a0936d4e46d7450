"""What all layers share: layouts, norms, and the error of an unknown component."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.htdemucs.norms import group_norm_in_two_stages

if TYPE_CHECKING:
    from msaas.separation.engines.htdemucs.products import Weights


class Unsupported(ValueError):
    """A network has components that are not implemented here."""


def require(holds: bool, what: str) -> None:
    """Raises Unsupported with `what` unless the condition holds."""
    if not holds:
        raise Unsupported(what)


def nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


class Norm:
    """GroupNorm over a row's times and channels; the identity if the module has none."""

    def __init__(self, module: nn.Module, weights: Weights, scale: Tensor | None = None) -> None:
        """scale: [C], multiplied into the norm's output."""
        self.groups = 0
        if isinstance(module, nn.Identity):
            require(scale is None, "a residual branch without norms")
            return
        require(isinstance(module, nn.GroupNorm), f"norm {type(module).__name__}")
        assert isinstance(module, nn.GroupNorm)  # noqa: S101 - checked by require
        self.groups, self.eps = module.num_groups, module.eps
        self.weight, self.bias = weights(module.weight), weights(module.bias)
        if scale is not None:
            self.weight, self.bias = self.weight * scale, self.bias * scale

    def __call__(self, x: Tensor) -> Tensor:
        """[N, H, W, C]."""
        if not self.groups:
            return x
        if self.groups == 1 and x.device.type == "cuda":
            return group_norm_in_two_stages(x, self.weight, self.bias, self.eps)
        return nhwc(F.group_norm(nchw(x), self.groups, self.weight, self.bias, self.eps))
