"""The `msaas` command with its subcommands. Each subcommand imports only what it runs."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from msaas.cli import batches, cancel, evaluate, jobs, mcp, models, openapi, separate, settings
from msaas.cli.operator import buckets, callbacks, dead, keys
from msaas.cli.paths import path_argument
from msaas.cli.songs import mix, share
from msaas.client import Unreachable
from msaas.client.names import printable, printable_lines
from msaas.command import typed
from msaas.errors import MSaaSError, QueueUnavailable, SettingsError, StorageUnavailable

USAGE_STATUS = 2
USAGE_ERRORS = frozenset(
    {"song_missing", "invalid_option", "bad_address", "bad_key", "unusable_path", "device_unavailable"}
)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 success, 1 failure, 2 wrong usage (a setting, a file, an argument)."""
    _escape_unprintable()
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except MSaaSError as error:
        print(f"msaas: {printable_lines(str(error))}{_hint(error, args)}", file=sys.stderr)
        return USAGE_STATUS if isinstance(error, SettingsError) or error.code in USAGE_ERRORS else 1
    except BrokenPipeError:  # `msaas models list | head -n 1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        where = f"{printable(str(error.filename))}: " if error.filename is not None else ""
        print(f"msaas: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _hint(error: MSaaSError, args: argparse.Namespace) -> str:
    """The commands for operators connect to Redis and the store themselves; a local stack chooses their ports."""
    if isinstance(error, Unreachable):
        local = "; --local separates on this machine without a service" if hasattr(args, "local") else ""
        return f"; start one with `make serve` or `{typed('up')}`; --url or MSAAS_URL names another one{local}"
    if isinstance(error, QueueUnavailable) and not error.answered:
        return "\nset REDIS_HOST to the address of Redis; `make serve` prints the one that it uses (redis=HOST:PORT)"
    if type(error) is StorageUnavailable:  # its subclasses are answers of the store
        return "\nset MINIO_HOST to the address of the store; `make serve` prints the one that it uses (s3=HOST:PORT)"
    return ""


def _escape_unprintable() -> None:
    """Escapes characters of file names that the terminal's encoding cannot write."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="msaas", description="Music Separation as a Service.")
    parser.add_argument("--version", action="version", version=f"msaas {metadata.version('msaas')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run the whole service on this machine until Ctrl-C")
    up.add_argument(
        "--folder", type=path_argument, default=Path(".msaas"), help="where its state is kept (%(default)s)"
    )
    up.set_defaults(run=_up)

    demo = commands.add_parser("demo", help="separate one song with the whole service on this machine")
    demo.add_argument("song", nargs="?", help="any audio file; the sample in data/ if not given")
    demo.add_argument(
        "--folder", type=path_argument, default=Path(".msaas"), help="where its state is kept (%(default)s)"
    )
    demo.add_argument("--stems", type=path_argument, default=Path("stems"), help="where the stems go (%(default)s)")
    demo.set_defaults(run=_demo)

    commands.add_parser("rest", help="run the API").set_defaults(run=_rest)
    commands.add_parser("worker", help="run a worker").set_defaults(run=_worker)

    for command in (
        settings,
        separate,
        batches,
        jobs,
        mix,
        share,
        cancel,
        dead,
        callbacks,
        buckets,
        keys,
        models,
        evaluate,
        mcp,
        openapi,
    ):
        command.add(commands)
    return parser


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=path_argument, default=Path(".msaas"), help="where its state is kept (%(default)s)"
    )


def _up(args: argparse.Namespace) -> int:
    from msaas.local.plan import Plan
    from msaas.local.up import serve

    return serve(Plan(dict(os.environ), args.folder))


def _demo(args: argparse.Namespace) -> int:
    from msaas.local.demo import demo
    from msaas.local.plan import Plan

    return demo(Plan(dict(os.environ), args.folder), args.song, args.stems)


def _rest(_args: argparse.Namespace) -> int:
    from msaas.web.__main__ import main as serve

    return serve()


def _worker(_args: argparse.Namespace) -> int:
    from msaas.worker.__main__ import main as work

    return work()


if __name__ == "__main__":
    sys.exit(main())
