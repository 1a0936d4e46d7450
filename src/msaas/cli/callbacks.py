"""`msaas callbacks`: list them, send one again, make a secret. Speaks to Redis; sends nothing by itself."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msaas.client.names import printable
from msaas.errors import Conflict, NotFound
from msaas.settings import Settings
from msaas.wiring.stores import build_redis

if TYPE_CHECKING:
    from msaas.callbacks.outbox import Outbox

STATES = ("waiting", "pending", "delivered", "failed", "refused")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("callbacks", help="who is told of a job's end: list, replay, secret")
    parser.set_defaults(run=list_, job="", state="", json=False)
    parts = parser.add_subparsers(metavar="COMMAND")
    listed = parts.add_parser("list", help="each with its state and last error, the oldest first (the default)")
    listed.add_argument("--job", default="", metavar="SONGHASH", help="those of one song")
    listed.add_argument("--state", default="", choices=STATES, help="those in this state")
    listed.add_argument("--json", action="store_true", help="a JSON object a line")
    listed.set_defaults(run=list_)
    again = parts.add_parser("replay", help="send them again, now, with all their attempts")
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", default=[], metavar="ID")
    which.add_argument("--all", choices=("failed", "refused"), metavar="STATE", help="all that are failed, or refused")
    again.set_defaults(run=replay)
    parts.add_parser("secret", help="make one for MSAAS_CALLBACK_SECRETS").set_defaults(run=secret)


def list_(args: argparse.Namespace) -> int:
    from msaas.callbacks import admin

    for one in admin.chosen(_outbox(), songhash=args.job, state=args.state):
        if args.json:
            print(json.dumps({"songhash": one.songhash} | admin.view(one)))
        else:
            print(*map(printable, admin.listed([one])))
    return 0


def replay(args: argparse.Namespace) -> int:
    """1 where one of them could not be sent again; the others are all the same."""
    from msaas.callbacks import admin

    outbox, left = _outbox(), 0
    for id_, became in _each(outbox, args.ids) if args.ids else admin.replay_all(outbox, state=args.all):
        left += became != "pending"
        print(printable(f"{id_[:80]}: {became}"))
    return 1 if left else 0


def _each(outbox: Outbox, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    from msaas.callbacks import admin

    for id_ in ids:
        try:
            admin.replay(outbox, id_)
            yield id_, "pending"
        except (NotFound, Conflict) as error:
            yield id_, error.detail


def secret(_args: argparse.Namespace) -> int:
    from msaas.callbacks.signing import new_secret

    print(new_secret())
    return 0


def _outbox() -> Outbox:
    from msaas.callbacks.outbox import Outbox

    return Outbox(build_redis(Settings.from_env(os.environ)))
