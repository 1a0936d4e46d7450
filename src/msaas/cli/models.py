"""`msaas models`: lists the known models and their weights, shows, downloads and checks one. Starts nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msaas.catalogue import Entry, catalogue
from msaas.catalogue.records import Document
from msaas.cli.model_table import REFUSED, ModelRow, markdown_tables, size, text_table
from msaas.cli.paths import output_folder, path_argument
from msaas.command import typed
from msaas.errors import ModelUnavailable
from msaas.local.model import DEFAULT_MODEL, models_folder, refuse_missing_repo, repository_setting
from msaas.settings import Settings

if TYPE_CHECKING:
    from msaas.separation.weights.loader import WeightLocation


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = commands.add_parser("models", help="models and their weights")
    subcommands = models.add_subparsers(required=True, metavar="COMMAND")
    listed = subcommands.add_parser(
        "list", help="all known models: stems, licence, published SDR, speed, and their weights"
    )
    listed.add_argument("--markdown", action="store_true", help="as the tables of docs/models.md")
    listed.set_defaults(run=list_)
    shown = subcommands.add_parser("show", help="what is known of a model, with the document of each fact")
    shown.add_argument("name", nargs="?", help="MSAAS_MODEL if not given")
    shown.set_defaults(run=show)
    fetched = subcommands.add_parser("fetch", help="download a model's weights, for an image or an offline machine")
    fetched.add_argument("name")
    fetched.add_argument(
        "--into", type=path_argument, metavar="DIR", help="a folder for MSAAS_MODEL_REPO; else the caches"
    )
    fetched.set_defaults(run=fetch)
    checked = subcommands.add_parser(
        "check", help="compare a model's files on this machine with their checksums, and load it"
    )
    checked.add_argument("name", nargs="?", help="MSAAS_MODEL if not given")
    checked.set_defaults(run=check)
    for parser in (listed, shown, fetched, checked):
        parser.add_argument("--json", action="store_true", help="JSON, for programs")
    for parser in (listed, shown):
        parser.add_argument("-v", "--verbose", action="store_true", help="each source that was checked, and its answer")


def list_(args: argparse.Namespace) -> int:
    entries = catalogue().entries
    if args.markdown:
        print(markdown_tables(entries))
        return 0
    settings = _settings()
    rows = [_row(name, settings, args.verbose) for name in _known(settings)]
    if args.json:
        print(json.dumps([_as_json(row, settings) for row in rows], indent=2))
    else:
        print(text_table(rows))
    return 0


def show(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader, on_disk

    settings = _settings()
    name = args.name or settings.model
    repo, entry = _repo(name, settings), catalogue().get(name)
    facts = {"name": name} | _facts(entry)
    if fault := on_disk.fault_in_folder(name, repo):
        raise ModelUnavailable(f"{name}: {fault}")
    if on_disk.held(name, repo=repo) and not settings.licence_rule.refusal(name):
        facts |= loader.load_model(name, repo=repo, licences=settings.licence_rule).describe()
    elif entry is None:
        found = loader.locate(name, repo=repo)
        _print_reasons(found, args.verbose)
        if not found.obtainable:
            raise ModelUnavailable(f"{name}: {_state(found, None)}{_hint(name)}")
        facts |= loader.load_model(name, repo=repo, licences=settings.licence_rule).describe()
    print(json.dumps(facts | {"weights": _row(name, settings, args.verbose).weights}, indent=2, ensure_ascii=False))
    return 0


def fetch(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader

    settings = _settings()
    repo, licences = _repo(args.name, settings), settings.licence_rule
    if args.into is None:
        found = loader.fetch(args.name, repo=repo, licences=licences)
    else:
        with output_folder(args.into):
            found = loader.fetch(args.name, args.into, repo=repo, licences=licences)
    _print_found(args, found.where, found.files)
    return 0


def check(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader

    settings = _settings()
    args.name = args.name or settings.model
    found = loader.verify(args.name, repo=_repo(args.name, settings), licences=settings.licence_rule)
    _print_found(args, found.where, found.files)
    return 0


def _print_found(args: argparse.Namespace, where: str, files: tuple[Path, ...]) -> None:
    entry = catalogue().get(args.name)
    licence = entry.licence.id if entry else None
    if args.json:
        print(
            json.dumps({"name": args.name, "where": where, "files": [str(path) for path in files], "licence": licence})
        )
        return
    print(f"{args.name} is here: {where}{f' (licence of the weights: {licence})' if licence else ''}")


def _settings() -> Settings:
    refuse_missing_repo(os.environ)
    return Settings.from_env(os.environ)


def _repo(name: str, settings: Settings) -> Path | None:
    """The operator's folder; else the repository's own for a model in it, as in `msaas up`."""
    kept = repository_setting(name, models_folder()).get("MSAAS_MODEL_REPO")
    return settings.model_repo or (Path(kept) if kept else None)


def _known(settings: Settings) -> tuple[str, ...]:
    """Those that a request may choose, those in the operator's folder, then the catalogue's."""
    from msaas.separation.weights import on_disk

    own = on_disk.names_in(settings.model_repo) if settings.model_repo else ()
    return tuple(dict.fromkeys((*settings.allowed_models, *own, *catalogue().entries)))


def _row(name: str, settings: Settings, verbose: bool) -> ModelRow:
    from msaas.separation.weights import loader, on_disk

    repo, entry = _repo(name, settings), catalogue().get(name)
    stems = entry.sources if entry else on_disk.stems_in_folder(name, repo)
    if settings.licence_rule.refusal(name):
        state = REFUSED
    elif fault := on_disk.fault_in_folder(name, repo):
        state = f"cannot be used: {fault}"
    elif where := on_disk.held(name, repo=repo):
        return ModelRow(name, entry, f"here: {where}", stems, default=name == settings.model, is_here=True)
    elif name in settings.allowed_models or verbose:
        found = loader.locate(name, repo=repo)
        _print_reasons(found, verbose)
        state = _state(found, entry)
    else:
        state = f"can be fetched, {size(entry.bytes if entry else None)}"
    return ModelRow(name, entry, state, stems, default=name == settings.model)


def _state(found: WeightLocation, entry: Entry | None) -> str:
    if found.where:
        return f"here: {found.where}"
    if found.obtainable:
        return f"can be fetched, {size(entry.bytes)}" if entry else "can be fetched"
    unknown = "" if entry else "not in the catalogue, "
    return (
        f"not available: {unknown}neither on this machine nor from a reachable hub (`msaas models list -v` says more)"
    )


def _as_json(row: ModelRow, settings: Settings) -> dict[str, Any]:
    facts = row.entry.facts() if row.entry else {"sources": list(row.stems) or None}
    offered = row.name in settings.allowed_models or (settings.all_models and row.is_here)
    return {"name": row.name, "default": row.default, "offered": offered, "weights": row.weights} | facts


def _facts(entry: Entry | None) -> dict[str, Any]:
    """The facts of an entry, each group with its documents."""
    if entry is None:
        return {}
    groups = {
        "sources": entry.source,
        "weights": [one for file in entry.files for one in file.source],
        "licence": entry.licence.source,
        "training": entry.training.source,
        "sdr": [one for score in entry.sdr for one in score.source],
        "speed": entry.speed.source,
    }
    documents = {group: [_document(one) for one in dict.fromkeys(names)] for group, names in groups.items() if names}
    files = [{"file": one.file, "bytes": one.bytes, "sha256": one.sha256, "urls": one.urls} for one in entry.files]
    return entry.facts() | {"files": files, "documents": documents}


def _document(name: str) -> str:
    document: Document = catalogue().documents[name]
    return f"{document.title}: {document.url}"


def _hint(name: str) -> str:
    if name == DEFAULT_MODEL:
        return f"; with network access: {typed(f'models fetch {name}')}"
    return f"; known models: {typed('models list')}"


def _print_reasons(found: WeightLocation, verbose: bool) -> None:
    for reason in found.reasons if verbose else ():
        print(f"  {reason}", file=sys.stderr)
