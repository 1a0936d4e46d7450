"""`msaas callbacks`: list, replay, make a secret. Uses Redis; sends nothing itself."""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from typing import TYPE_CHECKING

from msaas.cli.operator.replay import outcomes, report
from msaas.client.names import printable
from msaas.settings import Settings
from msaas.wiring.stores import build_redis

if TYPE_CHECKING:
    from msaas.callbacks.outbox import Outbox

STATES = ("waiting", "pending", "delivered", "failed", "refused")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("callbacks", help="notifications at a job's end: list, replay, secret")
    parser.set_defaults(run=list_, job="", state="", json=False)
    subcommands = parser.add_subparsers(metavar="COMMAND")
    listed = subcommands.add_parser("list", help="state and last error of each, oldest first (the default)")
    listed.add_argument("--job", default="", metavar="SONGHASH", help="callbacks of one song")
    listed.add_argument("--state", default="", choices=STATES, help="callbacks in this state")
    listed.add_argument("--json", action="store_true", help="one JSON object per line")
    listed.set_defaults(run=list_)
    again = subcommands.add_parser("replay", help="send callbacks again, now, with all attempts")
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", default=[], metavar="ID")
    which.add_argument("--all", choices=("failed", "refused"), metavar="STATE", help="all failed, or all refused")
    again.set_defaults(run=replay)
    subcommands.add_parser("secret", help="make a secret for MSAAS_CALLBACK_SECRETS").set_defaults(run=secret)


def list_(args: argparse.Namespace) -> int:
    from msaas.callbacks import admin

    found = False
    for one in admin.chosen(_outbox(), songhash=args.job, state=args.state):
        found = True
        if args.json:
            print(json.dumps({"songhash": one.songhash} | admin.view(one)))
        else:
            print(*map(printable, admin.listed([one])))
    if not found and not args.json:
        print(f"no {args.state} callbacks" if args.state else "no callbacks")
    return 0


def replay(args: argparse.Namespace) -> int:
    from msaas.callbacks import admin

    outbox = _outbox()
    if not args.ids:
        return report(admin.replay_all(outbox, state=args.all), "pending", f"no {args.all} callbacks")
    return report(outcomes(partial(admin.replay, outbox), args.ids, "pending"), "pending")


def secret(_args: argparse.Namespace) -> int:
    from msaas.callbacks.signing import new_secret

    print(new_secret())
    return 0


def _outbox() -> Outbox:
    from msaas.callbacks.outbox import Outbox

    return Outbox(build_redis(Settings.from_env(os.environ)))
