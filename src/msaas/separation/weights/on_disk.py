"""Which models are on this machine. Reads no weights beyond their first bytes, uses no network and loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msaas.catalogue import LicenceRule, catalogue
from msaas.errors import ModelUnavailable
from msaas.separation.weights.config import shortened, valid_name
from msaas.separation.weights.ensemble import ENSEMBLE, Member, nested, read_members
from msaas.separation.weights.sources import FoundWeights, WeightsNotFound, WeightSource, in_folder

NOTHING_ACCEPTED = LicenceRule()


def held(name: str, *, repo: Path | None, sources: Sequence[WeightSource] | None = None) -> str:
    """Where the weights are on this machine, empty if they are not."""
    if not valid_name(name):
        return ""
    if repo is not None:
        with suppress(WeightsNotFound, ModelUnavailable, OSError):
            found = in_folder(name, repo, verify=False)
            return found.where if all(_held_member(member, repo, sources) for member in members(found)) else ""
    for source in default_sources(name) if sources is None else sources:
        with suppress(WeightsNotFound, ModelUnavailable, OSError):
            return source.held(name)
    return ""


def all_held(repo: Path | None, licences: LicenceRule = NOTHING_ACCEPTED) -> tuple[str, ...]:
    """The models of the catalogue and of the folder `repo` that are on this machine and may be used."""
    names = dict.fromkeys((*catalogue().entries, *(names_in(repo) if repo is not None else ())))
    return tuple(name for name in licences.allowed(names) if held(name, repo=repo))


def names_in(folder: Path) -> tuple[str, ...]:
    """The models in a folder: its yaml files, and its subfolders with files of their name."""
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return ()
    flat = (path.stem for path in children if path.suffix == ".yaml")
    nested = (path.name for path in children if path.is_dir() and any(path.glob(f"{path.name}[-.]*")))
    return tuple(name for name in dict.fromkeys((*flat, *nested)) if valid_name(name))


def fault_in_folder(name: str, repo: Path | None) -> str:
    """Why the model cannot be used although the folder `repo` names it; empty if it can, or if the folder does not.

    Loading may still find a fault, since weights are not read beyond their first bytes.
    """
    if repo is None or name not in names_in(repo):
        return ""
    try:
        found = in_folder(name, repo, verify=False)
        _ = _sources_of(found)
        for path in found.files:
            refuse_foreign_file(path)
        return shortened(next(filter(None, (_fault_of(member, found, repo) for member in members(found))), ""))
    except WeightsNotFound as reason:  # of a model in the catalogue, another source may have the weights
        return "" if name in catalogue().entries else shortened(str(reason))
    except (ModelUnavailable, OSError) as reason:
        return shortened(str(reason))


def _fault_of(member: Member, ensemble: FoundWeights, repo: Path) -> str:
    """Why the member cannot be used; empty if it can."""
    if _held_member(member, repo, None):
        return ""
    with suppress(WeightsNotFound, ModelUnavailable, OSError):
        if in_folder(member.model, repo, verify=False).family == ENSEMBLE:
            return nested(ensemble.config, member.model)
    return f"{ensemble.config}: its member {member.model} is not on this machine"


def refuse_foreign_file(path: Path) -> None:
    """Raises WeightsNotFound for a file that does not begin like weights: safetensors, a zip, or an older pickle."""
    with path.open("rb") as file:
        start = file.read(9)
    if path.suffix == ".safetensors":
        known = start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size
    else:
        known = start.startswith((b"PK\x03\x04", b"\x80"))
    if not known:
        raise WeightsNotFound(f"{path} is not a file of weights")


def stems_in_folder(name: str, repo: Path | None) -> tuple[str, ...]:
    """The stems of a model in the folder `repo`, by its configuration; empty if it has none."""
    if repo is None:
        return ()
    with suppress(WeightsNotFound, ModelUnavailable, OSError):
        return _sources_of(in_folder(name, repo, verify=False))
    return ()


def members(found: FoundWeights) -> tuple[Member, ...]:
    """Of an ensemble; none of another model."""
    return read_members(found.config) if found.family == ENSEMBLE and found.config else ()


def default_sources(name: str) -> list[WeightSource]:
    from msaas.separation.weights.catalogue import CatalogueMirrors
    from msaas.separation.weights.hub import Hub
    from msaas.separation.weights.mirror import Mirror

    entry = catalogue().get(name)
    return [CatalogueMirrors()] if entry is not None and (entry.config or entry.shipped) else [Hub(), Mirror()]


def _held_member(member: Member, repo: Path, sources: Sequence[WeightSource] | None) -> bool:
    with suppress(WeightsNotFound, ModelUnavailable, OSError):
        return in_folder(member.model, repo, verify=False).family != ENSEMBLE
    return bool(held(member.model, repo=None, sources=sources))


def _sources_of(found: FoundWeights) -> tuple[str, ...]:
    from msaas.separation.families.config import FamilyConfig

    if found.config is None or found.family == ENSEMBLE:
        return ()
    return FamilyConfig.read(found.config, found.family).sources
