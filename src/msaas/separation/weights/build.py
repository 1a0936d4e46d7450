"""Builds a model from its files. Rejects files whose class is not a Demucs network.

A `.th` is a pickle, and loading one runs code in it: such files come only from the operator's own folder and from
Meta's mirror (with the checksum Demucs ships). `.safetensors` contain only tensors.
"""

from __future__ import annotations

from pathlib import Path

from demucs.apply import BagOfModels, Model
from demucs.hf import load_safetensors_model
from demucs.states import load_model as load_package
from safetensors import safe_open

from msaas.errors import ModelUnavailable
from msaas.separation.model import LoadedModel, from_demucs
from msaas.separation.weights.config import DEMUCS
from msaas.separation.weights.sources import FoundWeights

NETWORKS = frozenset(
    {
        "demucs.demucs.Demucs",
        "demucs.hdemucs.HDemucs",
        "demucs.htdemucs.HTDemucs",
        "demucs.wdemucs.WDemucs",
    }
)


def build(name: str, found: FoundWeights) -> LoadedModel:
    """Loads the files, as demucs.pretrained.get_model does. Raises ModelUnavailable if they are not a model."""
    if found.family != DEMUCS:
        return _build_family(name, found)
    try:
        networks = [_load(path) for path in found.files]
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


def _load(path: Path) -> Model:
    if path.suffix == ".safetensors":
        _refuse_other_classes(path)
        return load_safetensors_model(path)
    network: Model = load_package(path)  # type: ignore[no-untyped-call]
    return network


def _refuse_other_classes(path: Path) -> None:
    # Demucs imports the class that the metadata names; a file from a hub must not choose it.
    with safe_open(str(path), framework="pt") as file:
        named = (file.metadata() or {}).get("klass")
    if named not in NETWORKS:
        raise ModelUnavailable(f"{path.name} has the class {named!r}; only Demucs networks are allowed")
