"""`msaas models`: lists models and the location of their weights, shows one, downloads one. Starts nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msaas.cli.paths import output_folder, path_argument
from msaas.command import typed
from msaas.errors import ModelUnavailable
from msaas.local.model import DEFAULT_MODEL, SMALL, models_folder, refuse_missing_repo, repository_setting
from msaas.settings import Settings

if TYPE_CHECKING:
    from msaas.separation.weights.loader import WeightLocation


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = commands.add_parser("models", help="models and their weights")
    parts = models.add_subparsers(required=True, metavar="COMMAND")
    fetched = parts.add_parser("fetch", help="download a model's weights, for an image or an offline machine")
    fetched.add_argument("name")
    fetched.add_argument(
        "--into", type=path_argument, metavar="DIR", help="a folder for MSAAS_MODEL_REPO; else the caches"
    )
    fetched.set_defaults(run=fetch)
    listed = parts.add_parser("list", help="models that requests may use, and where their weights are")
    listed.set_defaults(run=list_)
    shown = parts.add_parser("show", help="a model's stems and properties")
    shown.add_argument("name", nargs="?", help="MSAAS_MODEL if not given")
    shown.set_defaults(run=show)
    for part in (listed, shown):
        part.add_argument("-v", "--verbose", action="store_true", help="each source that was checked, and its answer")


def fetch(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader

    settings = _settings()
    repo = _repo(args.name, settings)
    if args.into is None:
        found = loader.fetch(args.name, repo=repo)
    else:
        with output_folder(args.into):
            found = loader.fetch(args.name, args.into, repo=repo)
    print(f"{args.name} is here: {found.where}")
    return 0


def list_(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader

    settings = _settings()
    names = dict.fromkeys((*settings.allowed_models, *((SMALL,) if models_folder() else ())))
    labels = {name: f"{name} (default)" if name == settings.model else name for name in names}
    width = max(map(len, labels.values()))
    for name, label in labels.items():
        found = loader.locate(name, repo=_repo(name, settings))
        print(f"{label:<{width}}  {_state(found)}")
        _print_reasons(found, args.verbose)
    return 0


def show(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader

    settings = _settings()
    name = args.name or settings.model
    repo = _repo(name, settings)
    found = loader.locate(name, repo=repo)
    if not found.obtainable:
        _print_reasons(found, args.verbose)
        raise ModelUnavailable(f"{name}: {_state(found)}{_hint(name)}")
    print(json.dumps(loader.load_model(name, repo=repo).describe(), indent=2))
    return 0


def _settings() -> Settings:
    refuse_missing_repo(os.environ)
    return Settings.from_env(os.environ)


def _repo(name: str, settings: Settings) -> Path | None:
    """The operator's folder; else the repository's own for a model in it, as in `msaas up`."""
    kept = repository_setting(name, models_folder()).get("MSAAS_MODEL_REPO")
    return settings.model_repo or (Path(kept) if kept else None)


def _state(found: WeightLocation) -> str:
    if found.where:
        return f"here: {found.where}"
    if found.obtainable:
        return "can be downloaded"
    return "not available: neither on this machine nor from a reachable hub (`msaas models list -v` has details)"


def _hint(name: str) -> str:
    if name == DEFAULT_MODEL:
        return f"; with network access: {typed(f'models fetch {name}')}"
    return f"; known models: {typed('models list')}"


def _print_reasons(found: WeightLocation, verbose: bool) -> None:
    for reason in found.reasons if verbose else ():
        print(f"  {reason}", file=sys.stderr)
