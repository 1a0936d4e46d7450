"""`msaas separate`: songs into stems, by a service or (--local) by this process. One broken song stops no other."""

from __future__ import annotations

import argparse
from pathlib import Path

from msaas.commands.outcome import plan, report
from msaas.commands.service import add_key_file


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "separate",
        help="separate songs into stems",
        description="Writes <out>/<song name>/<stem>.<format> for each song. Run again, it goes on where it stopped: "
        "the same song with the same options is the same job.",
        epilog="Exit status: 0 all are done, 1 some are not (each is named with its reason), 2 asked wrongly.",
    )
    parser.add_argument("songs", nargs="+", type=Path, metavar="SONG", help="audio files of any format")
    parser.add_argument("-o", "--out", type=Path, default=Path("stems"), help="folder for the stems (%(default)s)")
    _add_places(parser)
    _add_options(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object a song on standard output")
    parser.set_defaults(run=run)


def _add_places(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="the service's address (MSAAS_URL, else http://localhost:5000)")
    add_key_file(parser)
    where.add_argument("--local", action="store_true", help="no service: separate in this process, here")


def _add_options(parser: argparse.ArgumentParser) -> None:
    """What they may be the service says: it knows its models."""
    parser.add_argument("--model", help="the service's default if not given")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--stems", type=_names, metavar="A,B", help="only these stems")
    which.add_argument("--two-stems", metavar="STEM", help="this stem, and everything else as no_STEM")
    parser.add_argument("--format", choices=("mp3", "flac", "wav"), default="mp3", help="of the stems (%(default)s)")
    parser.add_argument("--bitrate", type=int, metavar="KBPS", help="of mp3, 32 to 320 (320)")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def run(args: argparse.Namespace) -> int:
    tasks = plan(args.songs, args.out)
    if args.local:
        from msaas.commands.here import outcomes
    else:
        from msaas.commands.there import outcomes
    return report(outcomes(tasks, args), as_json=args.json)
