"""The yaml of an ensemble: several models that separate a song together, blended by source and weight. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas.errors import ModelUnavailable
from msaas.separation.weights.config import read_yaml, valid_name

ENSEMBLE = "ensemble"  # its family, and the key of the yaml
MIN_WEIGHT, MAX_WEIGHT = 1e-6, 1e6  # sums of weighted stems are float32


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


def nested(path: Path | None, member: str) -> str:
    """What is said of an ensemble's member that is an ensemble."""
    return f"{path}: {member} is an ensemble itself; name its members instead"


def _member(entry: Any, path: Path) -> Member:
    name = entry.get("model") if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or not valid_name(name):
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
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (value == 0 or MIN_WEIGHT <= value <= MAX_WEIGHT):
        raise ModelUnavailable(f"{path}: the weight {value!r} of {model} must be 0 or from 0.000001 to 1000000")
    return float(value)
