"""Chooses the stack's model before its API starts. Never replaces one requested by name.

The model's name is part of every songhash: a worker with another model would not run the accepted songs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from msaas.command import typed
from msaas.errors import MSaaSError, SettingsError
from msaas.local.shipped import shipped_folders

DEFAULT_MODEL = "htdemucs"
SMALL = "msaas_mini"
SMALLEST = "htdemucs_mini"  # a part of it, which needs no package beside Demucs


@dataclass(frozen=True)
class ModelChoice:
    """`environ` holds settings for the API and the worker; `warning` is empty unless the model was replaced."""

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)
    warning: tuple[str, ...] = ()


def models_folder() -> Path | None:
    """The folder models/ that comes with MSaaS."""
    for base in shipped_folders():
        if (base / "models" / SMALL).is_dir():
            return base / "models"
    return None


def obtainable(name: str, repo: Path | None) -> bool:
    from msaas.separation.weights.loader import obtainable as asked  # lazy: needed only without MSAAS_MODEL

    return bool(asked(name, repo=repo))


def choose_model(
    environ: Mapping[str, str],
    *,
    is_obtainable: Callable[[str, Path | None], bool] = obtainable,
    folder: Callable[[], Path | None] = models_folder,
    has_scnet: Callable[[], bool] = lambda: find_spec("pymss_core") is not None,
) -> ModelChoice:
    """Raises SettingsError if MSAAS_MODEL_REPO is not a folder, MSaaSError if neither the default model nor a small
    one is available."""
    repo = refuse_missing_repo(environ)
    if named := environ.get("MSAAS_MODEL", "").strip():
        return ModelChoice(named, {} if repo else repository_setting(named, folder()))
    if is_obtainable(DEFAULT_MODEL, repo):
        return ModelChoice(DEFAULT_MODEL, {"MSAAS_MODEL": DEFAULT_MODEL})
    small = folder()
    if small is None:
        raise MSaaSError(
            f"the weights of {DEFAULT_MODEL} are not on this machine, no hub was reached and models/{SMALL} is missing;"
            " set MSAAS_MODEL_REPO to a folder with them, or run this in a clone of the repository"
        )
    name = SMALL if has_scnet() else SMALLEST
    return ModelChoice(name, {"MSAAS_MODEL": name, "MSAAS_MODEL_REPO": str(small)}, _warning(name))


def refuse_missing_repo(environ: Mapping[str, str]) -> Path | None:
    """The folder in MSAAS_MODEL_REPO, if set. Raises SettingsError if it does not exist."""
    named = environ.get("MSAAS_MODEL_REPO", "").strip()
    if not named:
        return None
    repo = Path(os.path.expanduser(named))  # noqa: PTH111 (pathlib raises for a missing home)
    if not os.path.isdir(repo):  # noqa: PTH112 (and for some paths)
        raise SettingsError(f"MSAAS_MODEL_REPO={named!r} is not usable: the folder does not exist")
    return repo


def repository_setting(name: str, models: Path | None) -> dict[str, str]:
    """The setting for a model in the repository's own folder."""
    return {"MSAAS_MODEL_REPO": str(models)} if models is not None and (models / name).is_dir() else {}


def _warning(name: str) -> tuple[str, ...]:
    return (
        f"A SMALL MODEL IS IN USE: {name}",
        "",
        f"The weights of {DEFAULT_MODEL} are not on this machine, and no hub was reached.",
        "The stems are made by a far smaller model from models/: expect rough quality.",
        "With network access, this downloads the full model:",
        "",
        f"    {typed(f'models fetch {DEFAULT_MODEL}')}",
    )
