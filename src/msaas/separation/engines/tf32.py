"""TF32, by which CUDA computes products of float32 with ten bits of precision: by default cuDNN's convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def forbid_tf32() -> None:
    """Products of float32 are exact in this process from now on."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def may_use_tf32(device: torch.device) -> bool:
    """Whether a float32 network may differ from float32 by TF32's rounding."""
    return device.type == "cuda" and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Within this context products of float32 are exact, in all threads."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    forbid_tf32()
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
