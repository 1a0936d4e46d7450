"""Muon for matrices and convolutions, Adam for the rest, as one torch optimiser. Knows no schedule.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces a matrix' momentum by its nearest
orthogonal matrix: every direction learns at the same pace, which is what a run of few steps needs. torch has one too,
for two dimensions alone; most of HTDemucs' weights have three or four.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

# The quintic of the source above: five rounds bring every singular value into 0.7 … 1.2.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """About U Vᵀ of [rows, columns] = U S Vᵀ."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """`rate` is for matrices, `adam_rate` for vectors: gains, biases, embeddings.

    `decay` takes `rate · decay` off the matrices at each step. Without it they only grow, since every update has the
    same size however little the gradient has to say.
    """

    def __init__(
        self, model: nn.Module, rate: float, adam_rate: float, *, decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        matrices, vectors = _split(model.named_parameters())
        groups = [
            {"params": matrices, "muon": True},
            {"params": vectors, "muon": False},
        ]
        super().__init__(groups, {"momentum": momentum, "decay": decay, "betas": (0.9, 0.99)})
        self.full_rates(rate, adam_rate)

    def full_rates(self, rate: float, adam_rate: float) -> None:
        for group in self.param_groups:
            group["lr"] = group["full_lr"] = rate if group["muon"] else adam_rate

    def scale_rates(self, factor: float) -> None:
        for group in self.param_groups:
            group["lr"] = group["full_lr"] * factor

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's signature
        for group in self.param_groups:
            update = self._matrix_step if group["muon"] else self._vector_step
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update(parameter, parameter.grad, group)

    def _matrix_step(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        average = state.setdefault("momentum", torch.zeros_like(parameter))
        average.lerp_(gradient, 1 - group["momentum"])
        nesterov = gradient.lerp(average, group["momentum"])
        update = orthogonalised(nesterov.flatten(1))
        rows, columns = update.shape
        scale = max(1.0, rows / columns) ** 0.5
        parameter.mul_(1 - group["lr"] * group["decay"])
        parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)

    def _vector_step(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        first, second = group["betas"]
        state["step"] = state.get("step", 0) + 1
        mean = state.setdefault("mean", torch.zeros_like(parameter))
        power = state.setdefault("power", torch.zeros_like(parameter))
        mean.lerp_(gradient, 1 - first)
        power.lerp_(gradient.square(), 1 - second)
        corrected = power.div(1 - second ** state["step"]).sqrt_().add_(1e-8)
        parameter.addcdiv_(mean, corrected, value=-group["lr"] / (1 - first ** state["step"]))


def _split(named: Iterable[tuple[str, nn.Parameter]]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    matrices, vectors = [], []
    for name, parameter in named:
        (matrices if parameter.ndim >= 2 and "emb" not in name else vectors).append(parameter)
    return matrices, vectors
