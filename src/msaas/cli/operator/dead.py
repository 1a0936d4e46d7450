"""`msaas dead`: lists, shows and replays dead jobs. Uses Redis and S3."""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from typing import TYPE_CHECKING

from msaas.cli.operator.replay import outcomes, report
from msaas.client.names import printable
from msaas.settings import Settings
from msaas.wiring.stores import build_queue, build_storage

if TYPE_CHECKING:
    from msaas.queue import Queue

NOTHING = "no dead letters"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("dead", help="dead jobs (out of attempts): list, show, replay")
    parser.set_defaults(run=list_, json=False)
    subcommands = parser.add_subparsers(metavar="COMMAND")
    listed = subcommands.add_parser("list", help="attempts and reason of each, latest first (the default)")
    listed.add_argument("--json", action="store_true", help="one JSON object per line")
    listed.set_defaults(run=list_)
    shown = subcommands.add_parser("show", help="details of one job")
    shown.add_argument("songhash")
    shown.set_defaults(run=show)
    again = subcommands.add_parser("replay", help="queue jobs again, with all attempts")
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("songhashes", nargs="*", default=[], metavar="SONGHASH")
    which.add_argument("--all", action="store_true")
    again.set_defaults(run=replay)


def list_(args: argparse.Namespace) -> int:
    from msaas.maintenance import dead_letters

    found = False
    for letter in dead_letters.list_all(_queue(_settings())):
        found = True
        if args.json:
            attempts = letter.job.attempts if letter.job else 0
            print(json.dumps({"songhash": letter.entry, "attempts": attempts, "reason": letter.reason}))
        else:
            print(*map(printable, dead_letters.listed([letter])))
    if not found and not args.json:
        print(NOTHING)
    return 0


def show(args: argparse.Namespace) -> int:
    from msaas.maintenance import dead_letters

    print(dead_letters.shown(_queue(_settings()), args.songhash))
    return 0


def replay(args: argparse.Namespace) -> int:
    from msaas.maintenance import dead_letters

    settings = _settings()
    queue, storage = _queue(settings), build_storage(settings)
    if not args.songhashes:
        return report(dead_letters.replay_all(queue, storage), "queued", NOTHING)
    again = partial(dead_letters.replay, queue, storage)
    return report(outcomes(again, args.songhashes, "queued"), "queued")


def _settings() -> Settings:
    return Settings.from_env(os.environ)


def _queue(settings: Settings) -> Queue:
    return build_queue(settings)
