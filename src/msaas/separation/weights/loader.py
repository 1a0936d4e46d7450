"""How a model's weights are found, and fetched. Refuses to guess: what was tried, and what mends it, is in the error.

The order: the operator's folder (MSAAS_MODEL_REPO), what is in the caches of this machine (no network at all), the
Hugging Face hub, Meta's mirror. The last two are asked for a sign of life first, so that a machine without a network
knows within seconds. Importing this module loads no torch.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from msaas.command import typed
from msaas.errors import ModelUnavailable
from msaas.separation.weights.sources import (
    FoundWeights,
    WeightsDamaged,
    WeightsNotFound,
    WeightSource,
    in_folder,
    sha256_of,
    valid_name,
)

if TYPE_CHECKING:
    from msaas.separation.model import LoadedModel

log = logging.getLogger(__name__)


def load_model(name: str, *, repo: Path | None, places: Sequence[WeightSource] | None = None) -> LoadedModel:
    """The model `name`, from `repo` (a folder) where it is there, else from the `places`: hub, then mirror.

    Raises ModelUnavailable with what was tried and how to mend it.
    """
    from msaas.separation.weights.build import build

    found = _find(name, repo, places)
    log.info("found model=%s where=%s", name, found.where)
    return build(name, found)


def fetch(
    name: str, into: Path | None = None, *, repo: Path | None = None, places: Sequence[WeightSource] | None = None
) -> FoundWeights:
    """Downloads the model `name`, unless it is here already, and loads it once to see that it does.

    into: a folder that then serves as MSAAS_MODEL_REPO (the model goes to `into/<name>/`); None leaves the model in
    this machine's caches. Raises ModelUnavailable.
    """
    from msaas.separation.weights.build import build

    found = _find(name, repo, places)
    if into is not None:
        _copy(name, found, into)
        found = in_folder(name, into)
    build(name, found)
    return found


def obtainable(name: str, *, repo: Path | None, places: Sequence[WeightSource] | None = None) -> bool:
    """Whether `load_model` would have a chance: in seconds, without loading the model or torch."""
    return not why_unobtainable(name, repo=repo, places=places)


def why_unobtainable(name: str, *, repo: Path | None, places: Sequence[WeightSource] | None = None) -> list[str]:
    """What stands in the way, one reason for each place that was asked; empty where the model can be had."""
    return list(whereabouts(name, repo=repo, places=places).reasons)


@dataclass(frozen=True)
class WeightLocation:
    """Where a model's weights are. `where` is empty unless they are on this machine; `reasons` where they are to be
    had nowhere, one for each place that was asked."""

    where: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def obtainable(self) -> bool:
        return not self.reasons


def whereabouts(name: str, *, repo: Path | None, places: Sequence[WeightSource] | None = None) -> WeightLocation:
    """In seconds, without loading the model or torch."""
    reasons: list[str] = []
    for attempt in _attempts(name, repo, places, download=False):
        try:
            found = _readable(attempt)
        except WeightsNotFound as reason:
            reasons.append(str(reason))
        except (WeightsDamaged, ModelUnavailable) as reason:
            return WeightLocation(reasons=(*reasons, str(reason)))
        else:
            return WeightLocation(found.where if found else "")
    return WeightLocation(reasons=tuple(reasons))


def _find(name: str, repo: Path | None, places: Sequence[WeightSource] | None) -> FoundWeights:
    reasons: list[str] = []
    for attempt in _attempts(name, repo, places, download=True):
        try:
            found = _readable(attempt)
        except WeightsNotFound as reason:
            reasons.append(str(reason))
        except WeightsDamaged as reason:
            raise ModelUnavailable(f"model {name!r}: {reason}") from reason
        else:
            if found is not None:
                return found
    raise ModelUnavailable(
        f"model {name!r} cannot be had. Tried: {'; '.join(reasons)}. "
        "To mend it, set MSAAS_MODEL_REPO to a folder that has the model, or run "
        f"`{typed(f'models fetch {name}')}` where there is a network"
    )


def _readable(attempt: Callable[[], FoundWeights | None]) -> FoundWeights | None:
    """What attempt() returns. A folder that may not be read or written gives no model, and says so."""
    try:
        return attempt()
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        raise WeightsNotFound(f"{where}{error.strerror or error}") from error


def _attempts(
    name: str, repo: Path | None, places: Sequence[WeightSource] | None, *, download: bool
) -> Iterator[Callable[[], FoundWeights | None]]:
    """The ways to have a model, in order. Each raises NotHere, or returns the files or (a mere probe) None."""
    if not valid_name(name):
        raise ModelUnavailable(f"{name!r} cannot be a model's name")
    if repo is not None:
        if not os.path.isdir(repo):  # noqa: PTH112 (pathlib raises for some paths) - mistyped: another place's weights are not what was asked for
            raise ModelUnavailable(f"MSAAS_MODEL_REPO={repo} is no folder")
        yield lambda: in_folder(name, repo)
    asked = _default_places() if places is None else places
    for place in asked:
        yield lambda place=place: _undamaged(place, name)  # type: ignore[misc]
    for place in asked:
        yield lambda place=place: _from_afar(place, name, download)  # type: ignore[misc]


def _undamaged(place: WeightSource, name: str) -> FoundWeights:
    # A damaged file in a cache is gone by now and can be downloaded again; one in the operator's folder cannot.
    try:
        return place.cached(name)
    except WeightsDamaged as damaged:
        log.warning("cache was damaged model=%s detail=%s", name, damaged)
        raise WeightsNotFound(str(damaged)) from damaged


def _from_afar(place: WeightSource, name: str, download: bool) -> FoundWeights | None:
    place.probe(name)
    return place.download(name) if download else None


def _default_places() -> list[WeightSource]:
    from msaas.separation.weights.hub import Hub
    from msaas.separation.weights.mirror import Mirror

    return [Hub(), Mirror()]


def _copy(name: str, found: FoundWeights, into: Path) -> None:
    plain = name.removeprefix("hf://").rpartition("/")[2]
    folder = into / plain
    folder.mkdir(parents=True, exist_ok=True)
    for signature, source in zip(found.recipe.signatures, found.files, strict=True):
        # Named as Demucs names its own: the first digits of the sha256, which loading checks.
        target = folder / f"{signature}-{sha256_of(source)[:8]}{source.suffix}"
        for older in folder.glob(f"{signature}[-.]*"):
            if older != target:
                older.unlink()
        if not target.exists():
            partial = target.with_suffix(".partial")
            shutil.copyfile(source, partial)
            partial.replace(target)
    recipe = {"models": list(found.recipe.signatures)}
    extra = {"weights": found.recipe.weights, "segment": found.recipe.segment}
    text = yaml.safe_dump({**recipe, **{key: value for key, value in extra.items() if value is not None}})
    (folder / f"{plain}.yaml").write_text(text, "utf-8")
