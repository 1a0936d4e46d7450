"""Finds and downloads a model's weights. An error lists what was tried and how to fix it.

The order: the operator's folder (MSAAS_MODEL_REPO), the local caches (no network), the Hugging Face hub, Meta's mirror;
models of other families than Demucs' have the catalogue's mirrors instead. Those on the network are probed first, so
that a machine without one fails within seconds. Importing this module does not load torch.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from msaas.catalogue import LicenceRule, catalogue
from msaas.command import typed
from msaas.errors import ModelUnavailable
from msaas.separation.weights import on_disk
from msaas.separation.weights.config import valid_name
from msaas.separation.weights.ensemble import ENSEMBLE, Member, nested
from msaas.separation.weights.on_disk import NOTHING_ACCEPTED, fault_in_folder, held, members
from msaas.separation.weights.sources import (
    FoundWeights,
    WeightsDamaged,
    WeightsNotFound,
    WeightSource,
    in_folder,
    sha256_of,
)

if TYPE_CHECKING:
    from msaas.separation.model import LoadedModel

log = logging.getLogger(__name__)


def load_model(
    name: str,
    *,
    repo: Path | None,
    sources: Sequence[WeightSource] | None = None,
    licences: LicenceRule = NOTHING_ACCEPTED,
    mapped: bool = False,
) -> LoadedModel:
    """Loads the model `name` from `repo` (a folder) if it is there, else from the `sources`: hub, then mirror.

    mapped: as in `build.build`; for a `Separator`, which converts the weights that it needs.
    Raises ModelUnavailable with what was tried and how to fix it, and for weights whose licence `licences` refuses.
    """
    refuse_unlicensed(name, licences)
    found = _find(name, repo, sources)
    log.info("found model=%s where=%s", name, found.where)
    return _build(name, found, repo, sources, licences, mapped=mapped)


def fetch(
    name: str,
    into: Path | None = None,
    *,
    repo: Path | None = None,
    sources: Sequence[WeightSource] | None = None,
    licences: LicenceRule = NOTHING_ACCEPTED,
) -> FoundWeights:
    """Downloads the model `name` unless it is present, and loads it once as a check.

    into: a folder to use as MSAAS_MODEL_REPO (the model goes to `into/<name>/`); None leaves the model in the local
    caches. Raises ModelUnavailable.
    """
    refuse_unlicensed(name, licences)
    found = _find(name, repo, sources)
    if into is not None:
        for member in members(found):
            fetch(member.model, into, repo=repo, sources=sources, licences=licences)
        _copy(name, found, into)
        found, repo = in_folder(name, into), into
    _build(name, found, repo, sources, licences)
    return found


def refuse_unlicensed(name: str, licences: LicenceRule) -> None:
    """Raises ModelUnavailable if the weights' licence is neither stated nor accepted."""
    if refusal := licences.refusal(name):
        raise ModelUnavailable(refusal)


def obtainable(name: str, *, repo: Path | None, sources: Sequence[WeightSource] | None = None) -> bool:
    """Whether `load_model` is likely to succeed; takes seconds and loads neither the model nor torch."""
    return not why_unobtainable(name, repo=repo, sources=sources)


def why_unobtainable(name: str, *, repo: Path | None, sources: Sequence[WeightSource] | None = None) -> list[str]:
    """The reason of each source that lacks the model; empty if one has it."""
    return list(locate(name, repo=repo, sources=sources).reasons)


@dataclass(frozen=True)
class WeightLocation:
    """Where a model's weights are. `where` is empty unless they are on this machine; `reasons` has one per source, if
    none has them."""

    where: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def obtainable(self) -> bool:
        return not self.reasons


def locate(name: str, *, repo: Path | None, sources: Sequence[WeightSource] | None = None) -> WeightLocation:
    """Takes seconds; loads neither the model nor torch."""
    return _locate(name, repo, sources, lambda found: _location(found, repo, sources))


def _locate(
    name: str,
    repo: Path | None,
    sources: Sequence[WeightSource] | None,
    location_of: Callable[[FoundWeights], WeightLocation],
) -> WeightLocation:
    reasons: list[str] = []
    for attempt in _attempts(name, repo, sources, download=False):
        try:
            found = _readable(attempt)
        except WeightsNotFound as reason:
            reasons.append(str(reason))
        except (WeightsDamaged, ModelUnavailable) as reason:
            return WeightLocation(reasons=(*reasons, str(reason)))
        else:
            return location_of(found) if found else WeightLocation()
    return WeightLocation(reasons=tuple(reasons))


def _location(found: FoundWeights, repo: Path | None, sources: Sequence[WeightSource] | None) -> WeightLocation:
    """Where `found` is; for an ensemble, the reasons of the first member that is not available."""
    for member in members(found):
        location = _locate(member.model, repo, sources, partial(_location_of_member, found, member))
        if not location.obtainable:
            return WeightLocation(reasons=tuple(f"its member {member.model}: {why}" for why in location.reasons))
    return WeightLocation(found.where)


def _location_of_member(ensemble: FoundWeights, member: Member, found: FoundWeights) -> WeightLocation:
    if found.family == ENSEMBLE:
        return WeightLocation(reasons=(nested(ensemble.config, member.model),))
    return WeightLocation(found.where)


def verify(
    name: str,
    *,
    repo: Path | None,
    sources: Sequence[WeightSource] | None = None,
    licences: LicenceRule = NOTHING_ACCEPTED,
) -> FoundWeights:
    """Compares the files on this machine with their checksums, also the catalogue's, and loads the model once.

    Raises ModelUnavailable with what is wrong. A damaged file in a cache is deleted, one in the operator's folder not.
    """
    refuse_unlicensed(name, licences)
    if fault := fault_in_folder(name, repo):
        raise ModelUnavailable(fault)
    if not held(name, repo=repo, sources=sources):
        raise ModelUnavailable(
            f"the weights of {name!r} are not on this machine{not_in_catalogue(name)}; {_how_to_get(name)}"
        )
    found = _find(name, repo, sources)
    _compare_with_catalogue(name, found)
    for member in members(found):
        _compare_with_catalogue(member.model, _find(member.model, repo, sources))
    _build(name, found, repo, sources, licences)
    return found


def _how_to_get(name: str) -> str:
    entry = catalogue().get(name)
    if entry is not None and entry.shipped:
        return "it is in the folder models of the source of MSaaS: set MSAAS_MODEL_REPO to that"
    if entry is not None or "/" in name:
        return f"fetch them with `{typed(f'models fetch {name}')}`"
    return "a model of your own belongs in the folder MSAAS_MODEL_REPO"


def _compare_with_catalogue(name: str, found: FoundWeights) -> None:
    entry = catalogue().get(name)
    if entry is None or not entry.config or not found.files:  # Demucs' checksums are in its files' names, or the hub's
        return
    for file, path in zip(entry.weights, found.files, strict=True):
        actual = sha256_of(path)
        if not actual.startswith(file.sha256):
            raise ModelUnavailable(f"{path} has the sha256 {actual}; the catalogue has {file.sha256} for {name!r}")


def _build(
    name: str,
    found: FoundWeights,
    repo: Path | None,
    sources: Sequence[WeightSource] | None,
    licences: LicenceRule,
    *,
    mapped: bool = False,
) -> LoadedModel:
    from msaas.separation.families.ensemble import blend
    from msaas.separation.weights.build import build

    if found.config is None or found.family != ENSEMBLE:
        return build(name, found, mapped=mapped)
    parts = []
    for member in members(found):
        refuse_unlicensed(member.model, licences)
        weights = _find(member.model, repo, sources)
        if weights.family == ENSEMBLE:
            raise ModelUnavailable(nested(found.config, member.model))
        parts.append((member, build(member.model, weights, mapped=mapped)))
    return blend(name, parts, found.config)


def _find(name: str, repo: Path | None, sources: Sequence[WeightSource] | None) -> FoundWeights:
    reasons: list[str] = []
    for attempt in _attempts(name, repo, sources, download=True):
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
        f"model {name!r} is not available{not_in_catalogue(name)}. Tried: {'; '.join(dict.fromkeys(reasons))}. "
        f"To fix it, set MSAAS_MODEL_REPO to {_where_to_get(name)}"
    )


def not_in_catalogue(name: str) -> str:
    """For messages: ", and the catalogue has no such model" with the nearest name, or nothing if it has one."""
    if "/" in name or catalogue().get(name) is not None:
        return ""
    near = "".join(f" (did you mean {one}?)" for one in get_close_matches(name, catalogue().entries, 1))
    return f", and the catalogue has no such model{near}"


def _where_to_get(name: str) -> str:
    entry = catalogue().get(name)
    if entry is not None and entry.shipped:
        return "the folder models of the source of MSaaS"
    if entry is None and "/" not in name:
        return "a folder that has the model"
    return f"a folder that has the model, or run `{typed(f'models fetch {name}')}` on a machine with network access"


def _readable(attempt: Callable[[], FoundWeights | None]) -> FoundWeights | None:
    """The result of attempt(). An unreadable or unwritable folder raises WeightsNotFound."""
    try:
        return attempt()
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        raise WeightsNotFound(f"{where}{error.strerror or error}") from error


def _attempts(
    name: str, repo: Path | None, sources: Sequence[WeightSource] | None, *, download: bool
) -> Iterator[Callable[[], FoundWeights | None]]:
    """The ways to get a model, in order. Each raises WeightsNotFound, or returns the files or (when only probing)
    None."""
    if not valid_name(name):
        raise ModelUnavailable(f"{name!r} is not a valid model name")
    if repo is not None:
        # isdir, since pathlib raises for some paths. A mistyped path must not fall back to other weights.
        if not os.path.isdir(repo):  # noqa: PTH112
            raise ModelUnavailable(f"MSAAS_MODEL_REPO={repo} is not a folder")
        yield lambda: in_folder(name, repo)
    available = on_disk.default_sources(name) if sources is None else sources
    for source in available:
        yield lambda source=source: _undamaged(source, name)  # type: ignore[misc]
    for source in available:
        yield lambda source=source: _from_network(source, name, download)  # type: ignore[misc]


def _undamaged(source: WeightSource, name: str) -> FoundWeights:
    # A damaged file in a cache has been deleted and can be downloaded again; one in the operator's folder cannot.
    try:
        return source.cached(name)
    except WeightsDamaged as damaged:
        log.warning("deleted a damaged file from the cache model=%s detail=%s", name, damaged)
        raise WeightsNotFound(str(damaged)) from damaged


def _from_network(source: WeightSource, name: str, download: bool) -> FoundWeights | None:
    source.probe(name)
    return source.download(name) if download else None


def _copy(name: str, found: FoundWeights, into: Path) -> None:
    plain = name.removeprefix("hf://").rpartition("/")[2]
    folder = into / plain
    folder.mkdir(parents=True, exist_ok=True)
    listing = found.config.read_bytes() if found.config else _bag_yaml(found)
    for signature, source in zip(found.manifest.signatures, found.files, strict=True):
        # Demucs' naming scheme: the first digits of the sha256, which loading checks.
        target = folder / f"{signature}-{sha256_of(source)[:8]}{source.suffix}"
        if not target.exists():
            partial = target.with_suffix(".partial")
            shutil.copyfile(source, partial)
            partial.replace(target)
        for older in folder.glob(f"{signature}[-.]*"):  # `source` too, if it is in this folder
            if older not in (target, folder / f"{plain}.yaml"):
                older.unlink()
    (folder / f"{plain}.yaml").write_bytes(listing)


def _bag_yaml(found: FoundWeights) -> bytes:
    manifest = {"models": list(found.manifest.signatures)}
    extra = {"weights": found.manifest.weights, "segment": found.manifest.segment}
    text = yaml.safe_dump({**manifest, **{key: value for key, value in extra.items() if value is not None}})
    return text.encode()
