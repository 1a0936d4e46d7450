"""Builds a model from its files. Rejects files whose class is not a Demucs network.

A `.th` is a pickle, and loading one runs code in it: such files come only from the operator's own folder and from
Meta's mirror (with the checksum Demucs ships). `.safetensors` contain only tensors.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from demucs.apply import BagOfModels, Model
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.hf import _decode_json, load_safetensors_model
from demucs.htdemucs import HTDemucs
from demucs.states import load_model as load_package
from safetensors import safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from msaas.errors import ModelUnavailable
from msaas.separation.model import LoadedModel, from_demucs
from msaas.separation.weights.config import DEMUCS
from msaas.separation.weights.sources import FoundWeights

log = logging.getLogger(__name__)

_CLASSES = {"Demucs": Demucs, "HDemucs": HDemucs, "HTDemucs": HTDemucs, "WDemucs": HDemucs}
NETWORKS = frozenset(
    {
        "demucs.demucs.Demucs",
        "demucs.hdemucs.HDemucs",
        "demucs.htdemucs.HTDemucs",
        "demucs.wdemucs.WDemucs",
    }
)


def build(name: str, found: FoundWeights, *, mapped: bool = False) -> LoadedModel:
    """Loads the files, as demucs.pretrained.get_model does. Raises ModelUnavailable if they are not a model.

    mapped: leaves half-precision weights of Demucs' networks in the file, mapped into memory, until an engine converts
    them; by default all weights are float32 in memory.
    """
    if found.family != DEMUCS:
        return _build_family(name, found)
    try:
        networks = [_load(path, mapped) for path in found.files]
        bag = BagOfModels(networks, found.manifest.weights, found.manifest.segment)
    except ModelUnavailable:
        raise
    except SystemExit as error:
        # demucs.utils.fatal, after printing: quantised models need a package that Demucs does not require.
        raise ModelUnavailable(f"model {name!r} needs the package diffq, which is not installed") from error
    except Exception as error:
        raise ModelUnavailable(
            f"model {name!r} from {found.where} failed to load: {type(error).__name__}: {error}"
        ) from error
    return from_demucs(name, bag)


def _build_family(name: str, found: FoundWeights) -> LoadedModel:
    from msaas.separation.families.load import load_family

    if found.config is None:
        raise ModelUnavailable(f"model {name!r} from {found.where} has no configuration")
    return load_family(name, found.family, found.config, found.files[0])


def _load(path: Path, mapped: bool) -> Model:
    network: Model
    if path.suffix == ".safetensors":
        _refuse_other_classes(path)
        network = _load_mapped(path) or load_safetensors_model(path)
        return network if mapped else network.float()
    network = load_package(path)  # type: ignore[no-untyped-call]
    return network


def _refuse_other_classes(path: Path) -> None:
    # Demucs imports the class that the metadata names; a file from a hub must not choose it.
    with safe_open(str(path), framework="pt") as file:
        named = (file.metadata() or {}).get("klass")
    if named not in NETWORKS:
        raise ModelUnavailable(f"{path.name} has the class {named!r}; only Demucs networks are allowed")


def _load_mapped(path: Path) -> Model | None:
    """What load_safetensors_model returns, without drawing random weights first and without copying those in half
    precision. None for a network that this does not work for.

    A float32 weight is copied: engines share it, and a file that is changed in place must not change them.
    """
    with safe_open(str(path), framework="pt") as file:
        package = file.metadata()
        if "structure" in package:  # quantised
            return None
        state = {name: _copied_if_exact(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
    try:
        with _WithoutDrawing():
            network = _built(package)
        nn.Module.load_state_dict(network, state, assign=True)
    except Exception as error:  # Demucs' own loader decides whether the file is at fault
        log.info("loading weights one by one file=%s reason=%s", path.name, error)
        return None
    return network


def _built(package: Mapping[str, str]) -> Model:
    kind = package["klass"].rpartition(".")[2]
    args, kwargs = (_decode_json(json.loads(package[name])) for name in ("args", "kwargs"))  # type: ignore[no-untyped-call]
    known = inspect.signature(_CLASSES[kind]).parameters
    network: Model = _CLASSES[kind](*args, **{name: value for name, value in kwargs.items() if name in known})
    return network


class _WithoutDrawing(TorchFunctionMode):
    """Leaves weights as they are allocated, in memory that is never touched.

    The meta device would allocate nothing, but some operations of the constructors import torch's compiler there, which
    takes longer than drawing.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _copied_if_exact(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.dtype is torch.float32 else tensor
