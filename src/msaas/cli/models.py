"""`msaas models`: which there are and where their weights are, what one separates, fetch one. Starts nothing."""

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
from msaas.local.model import SMALL, WANTED, kept_here, models_folder, refuse_missing_repo
from msaas.settings import Settings

if TYPE_CHECKING:
    from msaas.separation.weights.loader import WeightLocation


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = commands.add_parser("models", help="what models there are, and their weights")
    parts = models.add_subparsers(required=True, metavar="COMMAND")
    fetched = parts.add_parser("fetch", help="fetch a model's weights, for an image or an offline machine")
    fetched.add_argument("name")
    fetched.add_argument(
        "--into", type=path_argument, metavar="DIR", help="a folder for MSAAS_MODEL_REPO; else the caches"
    )
    fetched.set_defaults(run=fetch)
    listed = parts.add_parser("list", help="the models a request may name, and where their weights are")
    listed.set_defaults(run=list_)
    shown = parts.add_parser("show", help="what a model separates, and how")
    shown.add_argument("name", nargs="?", help="MSAAS_MODEL if not given")
    shown.set_defaults(run=show)
    for part in (listed, shown):
        part.add_argument("-v", "--verbose", action="store_true", help="each place that was asked, and what it said")


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
        _tell_reasons(found, args.verbose)
    return 0


def show(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader

    settings = _settings()
    name = args.name or settings.model
    repo = _repo(name, settings)
    found = loader.locate(name, repo=repo)
    if not found.obtainable:
        _tell_reasons(found, args.verbose)
        raise ModelUnavailable(f"{name}: {_state(found)}{_mend(name)}")
    print(json.dumps(loader.load_model(name, repo=repo).describe(), indent=2))
    return 0


def _settings() -> Settings:
    refuse_missing_repo(os.environ)
    return Settings.from_env(os.environ)


def _repo(name: str, settings: Settings) -> Path | None:
    """The operator's folder; else the clone's own, for a model that is kept there, as `msaas up` has it."""
    kept = kept_here(name, models_folder()).get("MSAAS_MODEL_REPO")
    return settings.model_repo or (Path(kept) if kept else None)


def _state(found: WeightLocation) -> str:
    if found.where:
        return f"here: {found.where}"
    if found.obtainable:
        return "can be fetched"
    return "cannot be had: neither on this machine nor from a hub that answers (-v for more)"


def _mend(name: str) -> str:
    if name == WANTED:
        return f"; where there is a network: {typed(f'models fetch {name}')}"
    return f"; these are known: {typed('models list')}"


def _tell_reasons(found: WeightLocation, verbose: bool) -> None:
    for reason in found.reasons if verbose else ():
        print(f"  {reason}", file=sys.stderr)
