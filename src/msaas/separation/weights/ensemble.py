"""The yaml of an ensemble: several models that separate a song together, blended by source and weight. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas.errors import ModelUnavailable
from msaas.separation.weights.config import read_yaml

ENSEMBLE = "ensemble"  # its family, and the key of the yaml


@dataclass(frozen=True)
class Member:
    """One model of an ensemble."""

    model: str
    weight: float = 1.0  # of all its sources
    weights: Mapping[str, float] | None = None  # by source, instead of `weight`; a source that is left out has 0

    def weight_of(self, source: str) -> float:
        return self.weight if self.weights is None else self.weights.get(source, 0.0)


def is_ensemble(content: Any) -> bool:
    return isinstance(content, Mapping) and ENSEMBLE in content


def read_members(path: Path) -> tuple[Member, ...]:
    """Raises ModelUnavailable naming the entry that is wrong."""
    given = read_yaml(path)[ENSEMBLE]
    if not isinstance(given, list) or not given:
        raise ModelUnavailable(f"{path}: `{ENSEMBLE}` must be a list of entries such as {{model: htdemucs, weight: 1}}")
    return tuple(_member(entry, path) for entry in given)


def _member(entry: Any, path: Path) -> Member:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
        raise ModelUnavailable(f"{path}: the entry {entry!r} names no model")
    unknown = entry.keys() - {"model", "weight", "weights"}
    if unknown or {"weight", "weights"} <= entry.keys():
        raise ModelUnavailable(f"{path}: the entry of {entry['model']} takes model and either weight or weights")
    weights = entry.get("weights")
    if "weights" not in entry:
        return Member(entry["model"], _weight(entry.get("weight", 1.0), entry["model"], path))
    if not isinstance(weights, Mapping) or not weights:
        raise ModelUnavailable(f"{path}: the weights of {entry['model']} must be by source, such as {{vocals: 2}}")
    by_source = {str(source): _weight(weight, entry["model"], path) for source, weight in weights.items()}
    return Member(entry["model"], weights=by_source)


def _weight(value: Any, model: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ModelUnavailable(f"{path}: the weight {value!r} of {model} must be a number of at least 0")
    return float(value)
