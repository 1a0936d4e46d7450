"""`msaas batch`: sends many songs as one batch, shows it, cancels it. Unlike `msaas separate`, it waits for no song."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msaas.cli.service import RETRIES, add_service, client_of
from msaas.cli.songs.inputs import SongAddress, song_or_address, songs_of
from msaas.client import Batch, Client
from msaas.client.names import printable
from msaas.jobs import PRIORITIES


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    batch = commands.add_parser("batch", help="many songs with one ID: send, show, cancel")
    subcommands = batch.add_subparsers(required=True, metavar="COMMAND")
    sent = subcommands.add_parser("send", help="send songs as a batch; its ID is printed")
    sent.add_argument("songs", nargs="+", type=song_or_address, metavar="SONG", help="files, folders and URLs")
    sent.add_argument("-r", "--recursive", action="store_true", help="folders with their subfolders")
    sent.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="an option of all songs, as in the API: -o model=htdemucs_ft -o format=flac -o stems=vocals,bass",
    )
    sent.add_argument("--priority", choices=PRIORITIES, help="low: behind all other songs of the service (low)")
    sent.add_argument("--callback", metavar="URL", help="called once all songs have ended")
    shown = subcommands.add_parser("show", help="how many songs are in which state, and each of them")
    cancelled = subcommands.add_parser("cancel", help="cancel the songs that have not ended")
    for parser, call in ((shown, show), (cancelled, cancel)):
        parser.add_argument("batch", metavar="BATCH")
        parser.set_defaults(run=call)
    sent.set_defaults(run=send)
    for parser in (sent, shown, cancelled):
        add_service(parser)
        parser.add_argument("--json", action="store_true", help="the API's answer")


def _option(text: str) -> tuple[str, Any]:
    """A value that is JSON is sent as such, a list for `stems`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{printable(text)} is not NAME=VALUE")
    if name == "stems":
        return name, value.split(",")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def send(args: argparse.Namespace) -> int:
    """Files are sent first, so that all songs are queued together. Sent again after an error, they go on."""
    inputs = songs_of(args.songs, Path(), recursive=args.recursive)
    callback = {"url": args.callback} if args.callback else None
    with client_of(args, retries=RETRIES) as client:
        songs = [_song(client, task.song) for task in inputs.tasks]
        batch = client.submit_batch(songs, priority=args.priority, callback=callback, **dict(args.option))
    return _print(args, batch, [batch.id])


def _song(client: Client, song: Path | SongAddress) -> dict[str, str]:
    if isinstance(song, SongAddress):
        return {"url": str(song)}
    sys.stderr.write(f"sending {printable(song)}\n")
    return {"upload": client.upload(song), "filename": song.name}


def show(args: argparse.Namespace) -> int:
    with client_of(args, retries=RETRIES) as client:
        batch = client.batch(args.batch)
    return _print(args, batch, batch_lines(batch))


def cancel(args: argparse.Namespace) -> int:
    with client_of(args, retries=RETRIES) as client:
        batch = client.cancel_batch(args.batch)
    return _print(args, batch, batch_lines(batch))


def batch_lines(batch: Batch) -> Iterator[str]:
    counts = ", ".join(f"{count} {state}" for state, count in batch.counts.items() if count)
    yield f"{batch.id}  {batch.state}: {counts or 'no songs'}"
    for song in batch.songs:
        error = song.get("error") or {}
        yield f"  {song.get('songhash') or song['id']}  {song['state']}  {error.get('detail', '')}".rstrip()


def _print(args: argparse.Namespace, batch: Batch, lines: Iterable[str]) -> int:
    print(json.dumps(batch.view, indent=2) if args.json else "\n".join(map(printable, lines)))
    return 0
