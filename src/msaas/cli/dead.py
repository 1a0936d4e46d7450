"""`msaas dead`: the jobs that were given up: list them, show one, give them another chance. Speaks to Redis and S3."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msaas.client.names import printable
from msaas.errors import Conflict, NotFound
from msaas.settings import Settings
from msaas.wiring.stores import build_queue, build_storage

if TYPE_CHECKING:
    from msaas.queue import Queue
    from msaas.storage import Storage


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("dead", help="the jobs that were given up: list, show, replay")
    parser.set_defaults(run=list_, json=False)
    parts = parser.add_subparsers(metavar="COMMAND")
    listed = parts.add_parser("list", help="each with its runs and its reason, the latest first (the default)")
    listed.add_argument("--json", action="store_true", help="a JSON object a line")
    listed.set_defaults(run=list_)
    shown = parts.add_parser("show", help="all that is known about one")
    shown.add_argument("songhash")
    shown.set_defaults(run=show)
    again = parts.add_parser("replay", help="queue them again, with all their attempts")
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("songhashes", nargs="*", default=[], metavar="SONGHASH")
    which.add_argument("--all", action="store_true")
    again.set_defaults(run=replay)


def list_(args: argparse.Namespace) -> int:
    from msaas.maintenance import dead_letters

    for letter in dead_letters.letters(_queue(_settings())):
        if args.json:
            attempts = letter.job.attempts if letter.job else 0
            print(json.dumps({"songhash": letter.entry, "attempts": attempts, "reason": letter.reason}))
        else:
            print(*map(printable, dead_letters.listed([letter])))
    return 0


def show(args: argparse.Namespace) -> int:
    from msaas.maintenance import dead_letters

    print(dead_letters.shown(_queue(_settings()), args.songhash))
    return 0


def replay(args: argparse.Namespace) -> int:
    """1 where one of them could not be queued again; the others are all the same."""
    from msaas.maintenance import dead_letters

    settings = _settings()
    queue, storage = _queue(settings), build_storage(settings)
    chosen = _each(queue, storage, args.songhashes) if args.songhashes else dead_letters.replay_all(queue, storage)
    left = 0
    for entry, became in chosen:
        left += became != "queued"
        print(printable(f"{entry[:80]}: {became}"))
    return 1 if left else 0


def _each(queue: Queue, storage: Storage, songhashes: Sequence[str]) -> Iterator[tuple[str, str]]:
    from msaas.maintenance import dead_letters

    for songhash in songhashes:
        try:
            dead_letters.replay(queue, storage, songhash)
            yield songhash, "queued"
        except (NotFound, Conflict) as error:
            yield songhash, error.detail


def _settings() -> Settings:
    return Settings.from_env(os.environ)


def _queue(settings: Settings) -> Queue:

    return build_queue(settings)
