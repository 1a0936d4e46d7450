"""`msaas keys`: makes a key, or hashes an existing one, for MSAAS_API_KEYS. Stores nothing, and calls no server."""

from __future__ import annotations

import argparse
import getpass
import sys

from msaas.auth.keys import hashed, new_key
from msaas.errors import BadRequest
from msaas.settings.api_keys import COVERS, Key, parse_scopes

KEY_NOTE = "\nThe first line is the key: give it to its user. It is shown only once.\n"
LINE_NOTE = "Add {} to the API's MSAAS_API_KEYS.\n"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("keys", help="make a key for the API, or hash one")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    new = subcommands.add_parser("new", help="make a key; prints it, then its line for MSAAS_API_KEYS")
    new.set_defaults(run=make)
    own = subcommands.add_parser("hash", help="print the line of your own key, read from a prompt or standard input")
    own.set_defaults(run=hash_)
    for command in (new, own):
        command.add_argument("name", help="tenant: keys of one name see the same songs")
        command.add_argument("--scopes", default="use", metavar="A+B", help=f"from {', '.join(COVERS)} (%(default)s)")


def make(args: argparse.Namespace) -> int:
    try:
        text, key = new_key(args.name, _scopes(args))
    except ValueError as error:
        raise _bad_key(error) from error
    print(text)
    _print_line(key, KEY_NOTE + LINE_NOTE.format("the second line"))
    return 0


def hash_(args: argparse.Namespace) -> int:
    """The key is not an argument: shells and process lists record those."""
    text = getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    try:
        key = hashed(args.name, _scopes(args), text)
    except ValueError as error:
        raise _bad_key(error) from error
    _print_line(key, "\n" + LINE_NOTE.format("the line"))
    return 0


def _scopes(args: argparse.Namespace) -> frozenset[str]:
    return parse_scopes("+".join(part.strip() for part in args.scopes.replace("+", ",").split(",")))


def _print_line(key: Key, note: str) -> None:
    print(key.line, flush=True)
    sys.stderr.write(note)


def _bad_key(error: ValueError) -> BadRequest:
    return BadRequest(str(error), code="bad_key")
