"""`msaas share`: makes, lists and revokes links by which a song is read without a key."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import partial

from msaas.cli.service import RETRIES, add_service, client_of
from msaas.client import Share
from msaas.client.names import printable


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "share",
        help="a link by which a song is read without a key",
        description="Prints the address of a new link. It opens this song alone, for reading, until it expires.",
    )
    parser.add_argument("songhash", metavar="SONGHASH", help="of a done song: msaas jobs --mine lists them")
    parser.add_argument("--days", type=float, help="until the link expires (7; the service has a limit)")
    parser.add_argument(
        "--mix", default="", help="what the page shows, as in its address: 'mix=vocals:-6:-30:m&loop=12.5-20'"
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--list", action="store_true", help="list the song's links instead, without their addresses")
    other.add_argument("--revoke", metavar="ID", help="end this link instead")
    add_service(parser)
    parser.add_argument("--json", action="store_true", help="the API's answer")
    parser.set_defaults(run=partial(run, parser))


def run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if (args.list or args.revoke) and (args.days is not None or args.mix):
        parser.error("--days and --mix are of a new link")
    with client_of(args, retries=RETRIES) as client:
        if args.list:
            return _print(args, client.shares(args.songhash))
        if args.revoke:
            return _print(args, client.unshare(args.songhash, args.revoke))
        share = client.share(args.songhash, days=args.days, mix=args.mix)
    print(json.dumps(share.view, indent=2) if args.json else printable(share.url))
    return 0


def _print(args: argparse.Namespace, shares: tuple[Share, ...]) -> int:
    lines = "\n".join(map(printable, _lines(shares))) or "no links"
    print(json.dumps([share.view for share in shares], indent=2) if args.json else lines)
    return 0


def _lines(shares: tuple[Share, ...]) -> Iterator[str]:
    for share in shares:
        yield f"{share.id}  until {share.view['expires_at']}  {share.mix}".rstrip()
