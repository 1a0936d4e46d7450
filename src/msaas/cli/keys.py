"""`msaas keys`: make a key, or hash one that is there already, for MSAAS_API_KEYS. Keeps none, and asks no server."""

from __future__ import annotations

import argparse
import getpass
import sys

from msaas.auth.keys import hashed, new_key
from msaas.errors import BadRequest
from msaas.settings.api_keys import COVERS, Key, parse_scopes

TOLD = "\nThe first line is the key: give it to whoever is to have it. It is shown this once.\n"
HELD = "{} is for the API's MSAAS_API_KEYS, beside those that are there.\n"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("keys", help="make a key for the API, or hash one")
    parts = parser.add_subparsers(required=True, metavar="COMMAND")
    new = parts.add_parser("new", help="make one: prints the key, then its line for MSAAS_API_KEYS")
    new.set_defaults(run=make)
    own = parts.add_parser("hash", help="the line of a key that you made: asked for, or read from standard input")
    own.set_defaults(run=hash_)
    for part in (new, own):
        part.add_argument("name", help="whose: keys of one name see the same songs")
        part.add_argument("--scopes", default="use", metavar="A+B", help=f"of {', '.join(COVERS)} (%(default)s)")


def make(args: argparse.Namespace) -> int:
    try:
        text, key = new_key(args.name, _scopes(args))
    except ValueError as error:
        raise _wrong(error) from error
    print(text)
    _print_line(key, TOLD + HELD.format("The second"))
    return 0


def hash_(args: argparse.Namespace) -> int:
    """The key is no argument: shells and process lists keep those."""
    text = getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    try:
        key = hashed(args.name, _scopes(args), text)
    except ValueError as error:
        raise _wrong(error) from error
    _print_line(key, "\n" + HELD.format("The line"))
    return 0


def _scopes(args: argparse.Namespace) -> frozenset[str]:
    return parse_scopes("+".join(part.strip() for part in args.scopes.replace("+", ",").split(",")))


def _print_line(key: Key, told: str) -> None:
    print(key.line, flush=True)
    sys.stderr.write(told)


def _wrong(error: ValueError) -> BadRequest:
    return BadRequest(str(error), code="bad_key")
