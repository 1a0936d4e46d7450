"""Reads a checkpoint: its tensors only. A pickle that holds anything else is refused, so that none runs code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from msaas.errors import ModelUnavailable

# What trainers wrap a state dict in, and what they put before its names.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "state")
_PREFIXES = ("module.", "model.")
_SHOWN = 3  # names in an error


def load_weights(network: nn.Module, path: Path) -> None:
    """Loads all parameters of `network` from a checkpoint.

    Raises ModelUnavailable if the file cannot be read without running code in it, or does not fit the network.
    """
    state = state_dict_of(path)
    own = network.state_dict()
    wrong = [
        *_complaint("lacks", [name for name in own if name not in state]),
        *_complaint("has the unknown", [name for name in state if name not in own]),
        *_complaint(
            "has another shape of", [f"{n} {_change(state[n], own[n])}" for n in own if _differ(state, own, n)]
        ),
    ]
    if wrong:
        raise ModelUnavailable(f"{path} does not fit its configuration: it {'; it '.join(wrong)}")
    network.load_state_dict(state)


def state_dict_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, without the wrappers and prefixes that trainers use. Raises ModelUnavailable."""
    found: Any = _read(path)
    for _ in range(len(_WRAPPERS)):
        inner = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise ModelUnavailable(f"{path} has no state dict: its entries are {', '.join(map(str, list(found)[:_SHOWN]))}")
    return _without_prefixes(found)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelUnavailable(
            f"{path} was not loaded: it contains more than tensors, and loading that could run code. "
            "Save its state dict alone, best as .safetensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise ModelUnavailable(f"{path} cannot be read as a checkpoint: {error}") from error
    if not isinstance(found, Mapping):
        raise ModelUnavailable(f"{path} has no state dict: it is a {type(found).__name__}")
    return found


def _without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


def _differ(state: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str) -> bool:
    return name in state and state[name].shape != own[name].shape


def _change(found: Tensor, wanted: Tensor) -> str:
    return f"({list(found.shape)} instead of {list(wanted.shape)})"


def _complaint(verb: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{verb} {', '.join(names[:_SHOWN])}{more}"]
