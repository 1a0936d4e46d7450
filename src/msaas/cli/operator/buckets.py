"""`msaas buckets`: copies songs and stems to a folder, and back. Uses S3."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from msaas.cli.paths import existing_folder, output_folder, path_argument
from msaas.settings import Settings
from msaas.wiring.stores import build_storage

if TYPE_CHECKING:
    from msaas.maintenance.bucket_copy import Report
    from msaas.storage import Storage

DAY_SECONDS = 86_400
KEEP_DAYS = 14


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("buckets", help="songs and stems: copy to a folder, restore")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    copied = subcommands.add_parser("copy", help="copy new and changed objects to a folder")
    copied.add_argument(
        "--keep-days",
        type=_days,
        default=KEEP_DAYS,
        metavar="DAYS",
        help="keep what the store has deleted (%(default)s)",
    )
    copied.set_defaults(run=copy)
    restored = subcommands.add_parser("restore", help="put what the store lacks back from a folder")
    restored.set_defaults(run=restore)
    for command in (copied, restored):
        command.add_argument("folder", type=path_argument, metavar="FOLDER")


def copy(args: argparse.Namespace) -> int:
    from msaas.maintenance.bucket_copy import copy_buckets

    keep_seconds = args.keep_days * DAY_SECONDS
    with output_folder(args.folder):
        return _report(copy_buckets(_storage(), args.folder, keep_seconds=keep_seconds, now=time.time()))


def restore(args: argparse.Namespace) -> int:
    from msaas.maintenance.bucket_copy import restore_buckets

    folder = existing_folder(args.folder, "a copy that `msaas buckets copy` made")
    return _report(restore_buckets(_storage(), folder))


def _storage() -> Storage:
    return build_storage(Settings.from_env(os.environ))


def _report(report: Report) -> int:
    print(report)
    return 1 if report.failed else 0


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"not a number of days of 0 or more: {text!r}")
    return days
