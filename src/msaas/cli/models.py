"""`msaas models`: lists the known models and their weights, shows, downloads and checks one. Starts nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    from msaas.separation.weights.sources import FoundWeights


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
        parser.add_argument(
            "-v", "--verbose", action="store_true", help="each host or source that was asked, and its answer"
        )


def list_(args: argparse.Namespace) -> int:
    entries = catalogue().entries
    if args.markdown:
        print(markdown_tables(entries))
        return 0
    settings = _settings()
    rows = _rows(_known(settings), settings, args.verbose)
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
            raise ModelUnavailable(f"{name}: {_state(found, name)}{_hint(name)}")
        facts |= loader.load_model(name, repo=repo, licences=settings.licence_rule).describe()
    weights = _row(name, settings).weights
    if not weights:
        found = loader.locate(name, repo=repo)
        _print_reasons(found, args.verbose)
        weights = _state(found, name)
    print(json.dumps(facts | {"weights": weights}, indent=2, ensure_ascii=False))
    return 0


def fetch(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader, on_disk

    settings = _settings()
    repo, licences = _repo(args.name, settings), settings.licence_rule
    before = on_disk.held(args.name, repo=repo)
    if args.into is None:
        found = loader.fetch(args.name, repo=repo, licences=licences)
    else:
        with output_folder(args.into):
            found = loader.fetch(args.name, args.into, repo=repo, licences=licences)
    if not before:
        _print_done(args, found, "downloaded", f"downloaded, and loaded once; {_place(found)}")
    elif args.into is None:
        _print_done(args, found, "none", f"nothing to download: it was here already, in {found.where}, and loads")
    else:
        _print_done(args, found, "copied", f"copied from {before}, where it was already, to {found.where}")
    return 0


def check(args: argparse.Namespace) -> int:
    from msaas.separation.weights import loader

    settings = _settings()
    args.name = args.name or settings.model
    found = loader.verify(args.name, repo=_repo(args.name, settings), licences=settings.licence_rule)
    done = f"checked in {found.where}: the files agree with the checksums that are known of them, and the model loads"
    _print_done(args, found, "checked", done)
    return 0


def _place(found: FoundWeights) -> str:
    """The folder of the files; an ensemble has none of its own."""
    folders = dict.fromkeys(str(path.parent) for path in found.files)
    return f"its files are in {', '.join(folders)}" if folders else f"it is in {found.where}"


def _print_done(args: argparse.Namespace, found: FoundWeights, action: str, done: str) -> None:
    """`done`: what the command did, for people; `action`: the same for programs."""
    entry = catalogue().get(args.name)
    licence = entry.licence.id if entry else None
    if args.json:
        files = [str(path) for path in found.files]
        print(
            json.dumps({"name": args.name, "action": action, "where": found.where, "files": files, "licence": licence})
        )
        return
    print(f"{args.name}: {done}{f' (licence of the weights: {licence})' if licence else ''}")


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


def _rows(names: Sequence[str], settings: Settings, verbose: bool) -> list[ModelRow]:
    from msaas.separation.weights.hosts import silent_hosts

    rows = [_row(name, settings) for name in names]
    silent = silent_hosts(row.entry for row in rows if row.entry and not row.weights)
    for host, reason in silent.items() if verbose else ():
        print(f"  {host}: {reason}", file=sys.stderr)
    return [row if row.weights else replace(row, weights=_elsewhere(row, settings, silent, verbose)) for row in rows]


def _row(name: str, settings: Settings) -> ModelRow:
    """Without asking a host: `weights` is empty for a model that may be used and is not on this machine."""
    from msaas.separation.weights import on_disk

    repo, entry = _repo(name, settings), catalogue().get(name)
    row = ModelRow(
        name, entry, "", entry.sources if entry else on_disk.stems_in_folder(name, repo), name == settings.model
    )
    if settings.licence_rule.refusal(name):
        return replace(row, weights=REFUSED)
    if fault := on_disk.fault_in_folder(name, repo):
        return replace(row, weights=f"cannot be used: {fault}")
    if where := on_disk.held(name, repo=repo):
        return replace(row, weights=f"here: {where}", is_here=True)
    return row


def _elsewhere(row: ModelRow, settings: Settings, silent: Mapping[str, str], verbose: bool) -> str:
    """By the hosts of the model's files; a model that the catalogue does not know is asked for itself."""
    from msaas.separation.weights import loader
    from msaas.separation.weights.hosts import hosts_needed

    if row.entry and (needed := hosts_needed(row.entry, silent)):
        return f"not available: no answer from {' or '.join(needed)}"
    if row.entry and not row.entry.shipped and not verbose:
        return _fetchable(row.entry)
    found = loader.locate(row.name, repo=_repo(row.name, settings))
    _print_reasons(found, verbose)
    return _state(found, row.name)


def _fetchable(entry: Entry | None) -> str:
    return f"can be fetched, {size(entry.bytes)}" if entry else "can be fetched"


def _state(found: WeightLocation, name: str) -> str:
    from msaas.separation.weights import loader

    if found.where:
        return f"here: {found.where}"
    if found.obtainable:
        return _fetchable(catalogue().get(name))
    return (
        "not available: neither on this machine nor from a reachable hub"
        f"{loader.not_in_catalogue(name)} (`msaas models list -v` says more)"
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
