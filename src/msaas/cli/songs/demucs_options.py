"""Options of Demucs' own command line: equivalent ones are accepted, the others rejected with what to use instead."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

# option(s) ▸ number of values, and the message
REPLACEMENTS: dict[tuple[str, ...], tuple[int, str]] = {
    ("-s", "--sig"): (1, "use -n to choose a model"),
    ("-j", "--jobs"): (1, "omit it: a service runs one job per worker, --local uses every core for each song"),
    ("--segment",): (1, "omit it: segments have the model's own length, and memory does not grow with the song"),
    ("--no-split",): (0, "omit it: songs are always separated in segments, and memory does not grow with them"),
    ("--filename",): (1, "use --names stem for <out>/<song>/<stem>.<format>; -o chooses <out>"),
    ("--clip-mode",): (1, "omit it: no stem is rescaled or clamped separately; FLAC gets one gain for all stems"),
    ("--mp3-preset",): (1, "omit it; --bitrate sets the quality of mp3"),
    ("-v", "--verbose"): (0, "omit it; `msaas jobs SONGHASH` shows a job, --json its timings"),
    ("--list-models",): (0, "use `msaas models list`, or GET /apiv1/models of the service"),
}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--device", choices=("auto", "cpu", "cuda", "mps"), help="with --local (MSAAS_DEVICE)")
    parser.add_argument("--repo", metavar="FOLDER", help="with --local: folder of weights (MSAAS_MODEL_REPO)")
    parser.add_argument("--int24", action="store_true", help="--bit-depth 24, with --flac or --format wav")
    parser.add_argument("--other-method", action=_Checked, check=_minus, help=argparse.SUPPRESS)
    for names, (count, text) in REPLACEMENTS.items():
        parser.add_argument(*names, action=_Replaced, nargs=count or 0, text=text, help=argparse.SUPPRESS)


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Exits with an error if an option does not apply to the others."""
    if args.int24:
        if args.format not in ("flac", "wav") or args.bit_depth not in (None, "24"):
            _refuse(parser, "--int24", "needs --flac or --format wav, without another --bit-depth")
        args.bit_depth = "24"
    for option in ("device", "repo"):
        if getattr(args, option) is not None and not args.local:
            setting = {"device": "MSAAS_DEVICE", "repo": "MSAAS_MODEL_REPO"}[option]
            _refuse(parser, f"--{option}", f"needs --local; a service's workers use {setting}")


def _minus(value: str) -> str | None:
    text = "omit it: with --two-stems, no_STEM is the mix minus STEM, as with --other-method minus"
    return None if value == "minus" else text


class _Checked(argparse.Action):
    """Accepts the value that equals what is done anyway; `check` returns the message for any other."""

    def __init__(self, *args: Any, check: Callable[[str], str | None], **more: Any) -> None:
        super().__init__(*args, **more)
        self._check = check

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if text := self._check(str(values)):
            _refuse(parser, str(option_string), text)


class _Replaced(argparse.Action):
    def __init__(self, *args: Any, text: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self._text = text

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        _values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        _refuse(parser, str(option_string), self._text)


def _refuse(parser: argparse.ArgumentParser, option: str, text: str) -> None:
    parser.exit(2, f"msaas: {option}: {text}\n")
