"""The `msaas` command: one subcommand a job to do. Holds no logic; each imports only what it runs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from msaas import settings
from msaas.commands import callbacks, cancel, dead, jobs, keys, separate
from msaas.errors import MSaaSError, SettingsError

USAGE_STATUS = 2
ASKED_WRONGLY = frozenset({"song_missing", "invalid_option", "bad_address", "bad_key"})


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 it went wrong, 2 it was asked wrongly (a setting, a file, an argument)."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except MSaaSError as error:
        print(f"msaas: {error}", file=sys.stderr)
        return USAGE_STATUS if isinstance(error, SettingsError) or error.code in ASKED_WRONGLY else 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="msaas", description="Music Separation as a Service.")
    parser.add_argument("--version", action="version", version=f"msaas {metadata.version('msaas')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run everything on this machine until Ctrl-C")
    up.add_argument("--folder", type=Path, default=Path(".msaas"), help="where its state is kept (%(default)s)")
    up.set_defaults(run=_up)

    demo = commands.add_parser("demo", help="separate one song with everything on this machine")
    demo.add_argument("song", nargs="?", help="any audio file; the sample in data/ if not given")
    demo.add_argument("--folder", type=Path, default=Path(".msaas"), help="where its state is kept (%(default)s)")
    demo.add_argument("--stems", type=Path, default=Path("stems"), help="where the stems go (%(default)s)")
    demo.set_defaults(run=_demo)

    commands.add_parser("rest", help="run the API").set_defaults(run=_rest)
    commands.add_parser("worker", help="run a worker").set_defaults(run=_worker)

    table = commands.add_parser("settings", help="list every setting")
    table.add_argument("--markdown", action="store_true", help="as the README's table")
    table.set_defaults(run=_settings)

    for command in (separate, jobs, cancel, dead, callbacks, keys):
        command.add(commands)
    _add_models(commands.add_parser("models", help="what models there are, and their weights"))
    return parser


def _add_models(models: argparse.ArgumentParser) -> None:
    commands = models.add_subparsers(required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", help="fetch a model's weights, for an image or an offline machine")
    fetch.add_argument("name")
    fetch.add_argument("--into", type=Path, metavar="DIR", help="a folder for MSAAS_MODEL_REPO; else the caches")
    fetch.set_defaults(run=_models_fetch)
    commands.add_parser("list", help="the models a request may name").set_defaults(run=_models_list)
    show = commands.add_parser("show", help="what a model separates, and how")
    show.add_argument("name", nargs="?", help="MSAAS_MODEL if not given")
    show.set_defaults(run=_models_show)


def _read_settings() -> settings.Settings:
    return settings.Settings.from_env(os.environ)


def _up(args: argparse.Namespace) -> int:
    from msaas.local.plan import Plan
    from msaas.local.up import serve

    return serve(Plan(dict(os.environ), args.folder))


def _demo(args: argparse.Namespace) -> int:
    from msaas.local.demo import demo
    from msaas.local.plan import Plan

    return demo(Plan(dict(os.environ), args.folder), args.song, args.stems)


def _rest(_args: argparse.Namespace) -> int:
    from msaas.web.server import main as serve

    return int(serve() or 0)


def _worker(_args: argparse.Namespace) -> int:
    from msaas.worker.__main__ import main as work

    return work()


def _settings(args: argparse.Namespace) -> int:
    rows = settings.describe()
    if args.markdown:
        print(markdown_table(rows))
        return 0
    for row in rows:
        default = f"{row['default'] or '(empty)'} {row['unit']}".rstrip()
        print(f"{row['name']:<28} {row['help']}\n{'':<28} default: {default}")
    return 0


def markdown_table(rows: Sequence[dict[str, str]]) -> str:
    """The README's table, as a test holds it."""
    lines = ["| setting | default | unit | what |", "|---|---|---|---|"]
    for row in rows:
        default = f"`{row['default']}`" if row["default"] else ""
        lines.append(f"| `{row['name']}` | {default} | {row['unit']} | {row['help']} |")
    return "\n".join(lines)


def _models_fetch(args: argparse.Namespace) -> int:
    from msaas.separation import weights

    found = weights.fetch(args.name, args.into, repo=_read_settings().model_repo)
    print(f"{args.name} is here: {found.where}")
    return 0


def _models_list(_args: argparse.Namespace) -> int:
    from msaas.separation import weights

    chosen = _read_settings()
    for name in chosen.allowed_models:
        missing = weights.why_unobtainable(name, repo=chosen.model_repo)
        default = " (default)" if name == chosen.model else ""
        print(f"{name}{default}: {'cannot be had: ' + '; '.join(missing) if missing else 'can be had'}")
    return 0


def _models_show(args: argparse.Namespace) -> int:
    from msaas.separation import weights

    chosen = _read_settings()
    model = weights.load_model(args.name or chosen.model, repo=chosen.model_repo)
    print(json.dumps(model.describe(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
