"""`msaas separate`: separates songs by a service or (--local) in this process. A broken song does not stop the
others."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from msaas.cli.paths import output_folder, path_argument
from msaas.cli.service import add_key_file
from msaas.cli.songs import demucs_options
from msaas.cli.songs.folders import NAMED_SONG, NAMED_STEM
from msaas.cli.songs.inputs import SongAddress, song_or_address, songs_of
from msaas.cli.songs.stem_files import report
from msaas.client.names import printable
from msaas.formats import DEFAULT_FORMAT, DEPTH_NAMES, FORMATS, SAMPLE_RATES
from msaas.jobs import PRIORITIES
from msaas.options import MAX_OVERLAP, MAX_SHIFTS, QUALITIES

SHOWN = 5


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "separate",
        help="separate songs into stems",
        description="Writes <out>/<song name>/<Artist - Title> (<Stem>).<format> for each song. Run again, it resumes: "
        "the same song with the same options is the same job. Stems of two songs never share a folder: another song of "
        "the same name gets `<song name> (2)`.",
        epilog="Exit status: 0 all are done, 1 some failed (each is listed with its reason), 2 wrong usage.",
    )
    parser.add_argument(
        "songs",
        nargs="+",
        type=song_or_address,
        metavar="SONG",
        help="audio files of any format, folders of them, URLs that the service fetches, - for standard input",
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="include subfolders")
    parser.add_argument(
        "-o", "--out", type=path_argument, default=Path("stems"), help="folder for the stems (%(default)s)"
    )
    parser.add_argument(
        "--names",
        choices=(NAMED_SONG, NAMED_STEM),
        default=NAMED_SONG,
        help="names of the files: `Artist - Title (Vocals).mp3`, by the song's tags, else by its own file's name; or "
        "`vocals.mp3` (%(default)s)",
    )
    _add_service(parser)
    _add_options(parser)
    parser.add_argument("--priority", choices=PRIORITIES, help="low: the songs wait behind all others of the service ")
    demucs_options.add(parser.add_argument_group("options of Demucs' own command line"))  # type: ignore[arg-type]
    parser.add_argument("--json", action="store_true", help="one JSON object per song on standard output")
    parser.set_defaults(run=partial(run, parser))


def _add_service(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="the service's address (MSAAS_URL, else http://localhost:5000)")
    add_key_file(parser)
    where.add_argument("--local", action="store_true", help="without a service: separate in this process")


def _add_options(parser: argparse.ArgumentParser) -> None:
    """The service decides which values are valid: it knows its models."""
    parser.add_argument("-n", "--model", "--name", dest="model", help="default: the service's")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--stems", type=_names, metavar="A,B", help="only these stems")
    which.add_argument("--two-stems", metavar="STEM", help="this stem, and everything else as no_STEM")
    parser.add_argument(
        "--refine",
        type=_stem_and_model,
        action="append",
        default=[],
        metavar="STEM=MODEL",
        help="separate this stem further by another model, into parts named STEM.PART; may be repeated",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--format", choices=tuple(FORMATS), default=DEFAULT_FORMAT, help="format of the stems (%(default)s)"
    )
    for option, format_ in (("--mp3", "mp3"), ("--flac", "flac"), ("--float32", "wav")):
        form.add_argument(option, dest="format", action="store_const", const=format_, help=f"--format {format_}")
    parser.add_argument(
        "--quality", choices=QUALITIES, help="an overlap and shifts, or another model: the service's settings say which"
    )
    parser.add_argument(
        "--overlap", type=float, metavar="FRACTION", help=f"overlap of segments, 0 to {MAX_OVERLAP:g} (the model's own)"
    )
    parser.add_argument(
        "--shifts",
        type=int,
        metavar="N",
        help=f"average N runs, each shifted by up to half a second: better and N times slower, 0 to {MAX_SHIFTS} (0)",
    )
    parser.add_argument("--start", type=seconds_argument, metavar="TIME", help="only from here on: seconds, or 1:30.5")
    parser.add_argument("--end", type=seconds_argument, metavar="TIME", help="only up to here")
    _add_encoding(parser)


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bitrate", "--mp3-bitrate", type=int, metavar="KBPS", help=_bitrates())
    parser.add_argument(
        "--sample-rate",
        choices=tuple(map(str, SAMPLE_RATES)),
        help="in Hz; source: the song's own, with exactly its samples (the model's; opus: 48000)",
    )
    parser.add_argument("--bit-depth", choices=tuple(DEPTH_NAMES), help=f"of a sample: {_depths()}")
    parser.add_argument("--mono", action="store_true", help="one channel, the mean of both")


def _bitrates() -> str:
    found = [one for one in FORMATS.values() if one.bitrates]
    each = (f"{one.name} {one.bitrates[0]} to {one.bitrates[-1]} ({one.default_bitrate})" for one in found)
    return f"bit rate in kb/s: {', '.join(each)}"


def _depths() -> str:
    return ", ".join(f"{one.name} {'/'.join(one.depths)} ({one.depths[0]})" for one in FORMATS.values() if one.depths)


def seconds_argument(text: str) -> float:
    """Seconds, minutes:seconds or hours:minutes:seconds."""
    parts = [float(part) for part in text.split(":")]
    if len(parts) > 3 or any(not 0 <= part < 60 for part in parts[1:]):
        raise argparse.ArgumentTypeError(f"{printable(text)} is not a time")
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + part
    return seconds


def _stem_and_model(text: str) -> tuple[str, str]:
    stem, equals, model = text.partition("=")
    if not (stem and equals and model):
        raise argparse.ArgumentTypeError(f"{printable(text)} is not STEM=MODEL")
    return stem, model


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    demucs_options.check_options(parser, args)
    args.refine = dict(args.refine)
    if args.local and any(isinstance(song, SongAddress) for song in args.songs):
        parser.error("a URL needs a service, which fetches it; --local reads files")
    inputs = songs_of(args.songs, args.out, recursive=args.recursive)
    if inputs.skipped:
        sys.stderr.write(f"skipped, not audio by their names: {_listed(inputs.skipped)}\n")
    if args.local:
        from msaas.cli.songs.local import outcomes
    else:
        from msaas.cli.songs.remote import outcomes
    tasks = [task.of_part(args.start, args.end) for task in inputs.tasks]
    with ended_by_signals(), output_folder(args.out):
        return report(outcomes(tasks, args), as_json=args.json)


def _listed(paths: Sequence[Path]) -> str:
    shown = ", ".join(printable(path) for path in paths[:SHOWN])
    return shown if len(paths) <= SHOWN else f"{shown} and {len(paths) - SHOWN} more"


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Makes SIGTERM and a closed terminal end the block like an exception, so that no partial files remain."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
