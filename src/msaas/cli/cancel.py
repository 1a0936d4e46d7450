"""`msaas cancel`: removes songs from the queue, or stops their runs. Does not delete stems of finished songs."""

from __future__ import annotations

import argparse
import sys

from msaas.cli.service import RETRIES, add_service, client_of
from msaas.client import ServiceError
from msaas.client.names import printable


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("cancel", help="remove songs from the queue, or stop their runs")
    parser.add_argument("songhashes", nargs="+", metavar="SONGHASH")
    add_service(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Returns 1 if one could not be cancelled; the others are cancelled nevertheless."""
    refused = 0
    with client_of(args, retries=RETRIES) as client:
        for songhash in args.songhashes:
            try:
                print(printable(f"{songhash}: {client.cancel(songhash).state}"))
            except ServiceError as error:
                refused += 1
                print(printable(f"{songhash}: {error}"), file=sys.stderr)
    return 1 if refused else 0
