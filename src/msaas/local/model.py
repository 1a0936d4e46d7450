"""Which model a stack separates with, settled before its API starts. Never replaces one that was asked for by name.

The model's name is part of every songhash: a worker that chose another later would answer for songs it was not given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msaas.command import typed
from msaas.errors import MSaaSError, SettingsError

WANTED = "htdemucs"
SMALL = "htdemucs_mini"


@dataclass(frozen=True)
class ModelChoice:
    """`environ` is what the parts are told; `warning` is empty where nothing was replaced."""

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)
    warning: tuple[str, ...] = ()


def models_folder() -> Path | None:
    """The repository's models/, seen from a source tree or from an editable install of it."""
    for base in (Path(__file__).resolve().parents[3], Path.cwd()):
        if (base / "models" / SMALL).is_dir():
            return base / "models"
    return None


def obtainable(name: str, repo: Path | None) -> bool:
    from msaas.separation.weights.loader import obtainable as asked  # lazy: only a stack with no MSAAS_MODEL asks

    return bool(asked(name, repo=repo))


def choose_model(
    environ: Mapping[str, str],
    *,
    can_have: Callable[[str, Path | None], bool] = obtainable,
    folder: Callable[[], Path | None] = models_folder,
) -> ModelChoice:
    """Raises SettingsError for a MSAAS_MODEL_REPO that is no folder, MSaaSError where neither the default model nor the
    small one can be had."""
    repo = refuse_missing_repo(environ)
    if named := environ.get("MSAAS_MODEL", "").strip():
        return ModelChoice(named, {} if repo else kept_here(named, folder()))
    if can_have(WANTED, repo):
        return ModelChoice(WANTED, {"MSAAS_MODEL": WANTED})
    small = folder()
    if small is None:
        raise MSaaSError(
            f"the weights of {WANTED} can be had from no cache, hub or mirror, and models/{SMALL} is not here;"
            " set MSAAS_MODEL_REPO to a folder that holds them, or run this in a clone of the repository"
        )
    return ModelChoice(SMALL, {"MSAAS_MODEL": SMALL, "MSAAS_MODEL_REPO": str(small)}, _warning())


def refuse_missing_repo(environ: Mapping[str, str]) -> Path | None:
    """The folder that MSAAS_MODEL_REPO names, if it is set. Raises SettingsError where there is none."""
    named = environ.get("MSAAS_MODEL_REPO", "").strip()
    if not named:
        return None
    repo = Path(os.path.expanduser(named))  # noqa: PTH111 (pathlib raises where there is no such home folder)
    if not os.path.isdir(repo):  # noqa: PTH112 (and for some paths)
        raise SettingsError(f"MSAAS_MODEL_REPO={named!r} is not usable: there is no such folder")
    return repo


def kept_here(name: str, models: Path | None) -> dict[str, str]:
    """A model of the repository's own needs no folder named to it."""
    return {"MSAAS_MODEL_REPO": str(models)} if models is not None and (models / name).is_dir() else {}


def _warning() -> tuple[str, ...]:
    return (
        f"THE SMALL MODEL IS IN USE: {SMALL}",
        "",
        f"The weights of {WANTED} can be had from no cache, hub or mirror just now.",
        "What you hear is made by a far smaller model, kept in models/: expect rough stems.",
        "Where there is a network, this fetches the real one:",
        "",
        f"    {typed(f'models fetch {WANTED}')}",
    )
