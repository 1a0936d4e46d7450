"""`msaas mix`: has the service mix a song's stems, and saves the mix."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msaas.cli.paths import output_folder, path_argument
from msaas.cli.separate import ended_by_signals, seconds_argument
from msaas.cli.service import add_service, client_of
from msaas.cli.songs.progress import Progress
from msaas.client.names import printable
from msaas.formats import DEFAULT_FORMAT, DEPTH_NAMES, FORMATS, MIX, SAMPLE_RATES, STEMS_FILE

OUTPUT = ("format", "bitrate", "bit_depth", "sample_rate", "mono", "start", "end")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "mix",
        help="mix a song's stems with gains and pans",
        description="Writes <out>/<Artist - Title> (Mix).<format>, or … (Mix) (2).<format> if there is such a file."
        " The same mix is rendered once.",
    )
    parser.add_argument("songhash", metavar="SONGHASH", help="of a done song: msaas jobs --mine lists them")
    for option, what in (
        ("gain", "decibels, or -inf for silence: vocals=-6"),
        ("pan", "from -1, left, to 1, right: drums=0.3"),
    ):
        parser.add_argument(
            f"--{option}", type=_stem_and_number, action="append", default=[], metavar="STEM=NUMBER", help=what
        )
    for option, what in (("mute", "this stem is silent"), ("solo", "stems without --solo are silent")):
        parser.add_argument(f"--{option}", action="append", default=[], metavar="STEM", help=what)
    parser.add_argument("-o", "--out", type=path_argument, default=Path(), help="folder for the mix (this one)")
    _add_output(parser)
    parser.add_argument("--callback", metavar="URL", help="called once the mix has ended")
    add_service(parser)
    parser.add_argument("--json", action="store_true", help="the API's answer about the mix")
    parser.set_defaults(run=run)


def _add_output(parser: argparse.ArgumentParser) -> None:
    formats = [name for name in FORMATS if name != STEMS_FILE]
    parser.add_argument("--format", choices=formats, default=DEFAULT_FORMAT, help="of the mix (%(default)s)")
    parser.add_argument("--bitrate", type=int, metavar="KBPS", help="of a lossy format, in kb/s")
    parser.add_argument("--bit-depth", choices=tuple(DEPTH_NAMES), help="of a sample, for flac and wav")
    parser.add_argument("--sample-rate", choices=tuple(map(str, SAMPLE_RATES)), help="in Hz (that of the stems)")
    parser.add_argument("--mono", action="store_true", help="one channel, the mean of both")
    parser.add_argument("--start", type=seconds_argument, metavar="TIME", help="only from here on: seconds, or 1:30.5")
    parser.add_argument("--end", type=seconds_argument, metavar="TIME", help="only up to here")


def _stem_and_number(text: str) -> tuple[str, float]:
    stem, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not stem or math.isnan(value):
        raise argparse.ArgumentTypeError(f"{printable(text)} is not STEM=NUMBER")
    return stem, value


def run(args: argparse.Namespace) -> int:
    asked = {name: getattr(args, name) for name in OUTPUT}
    callback = {"url": args.callback} if args.callback else None
    with ended_by_signals(), output_folder(args.out), client_of(args) as client:
        mix = client.mix(args.songhash, levels_of(args), callback=callback, **asked)
        with Progress(mix.name or MIX) as progress:
            mix = client.wait(mix, on_progress=progress.show)
        with tempfile.TemporaryDirectory(dir=args.out, prefix=".msaas-mix-") as folder:
            path = put_beside(client.download(mix, folder, named=True)[MIX], args.out)
    if args.json:
        print(json.dumps({**mix.view, "file": printable(path)}, indent=2))
        return 0
    for warning in mix.warnings:
        print(printable(f"{warning.detail} ({warning.code})"))
    print(printable(path))
    return 0


def put_beside(file: Path, folder: Path) -> Path:
    """Moves the file into the folder, under a name that no other file there has."""
    for number in itertools.count(1):
        path = folder / (file.name if number == 1 else f"{file.stem} ({number}){file.suffix}")
        try:
            path.hardlink_to(file)
        except FileExistsError:
            continue
        except OSError:  # a file system without hard links
            if path.exists():
                continue
            file.rename(path)
            return path
        file.unlink()
        return path
    raise AssertionError


def levels_of(args: argparse.Namespace) -> Mapping[str, Mapping[str, Any]]:
    levels: dict[str, dict[str, Any]] = {}
    for member, pairs in (("gain_db", args.gain), ("pan", args.pan)):
        for stem, number in pairs:
            levels.setdefault(stem, {})[member] = number
    for member, stems in (("mute", args.mute), ("solo", args.solo)):
        for stem in stems:
            levels.setdefault(stem, {})[member] = True
    return levels
