"""The arguments for the service's URL and key, shared by all commands that call it. Makes no calls."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from msaas.client import BadKey, Client


def add_key_file(parser: argparse.ArgumentParser) -> None:
    """There is no `--key`: shells and process lists record arguments."""
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="file with the API key (default: MSAAS_API_KEY)")


def add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the service's address (MSAAS_URL, else http://localhost:5000)")
    add_key_file(parser)


def client_of(args: argparse.Namespace, **more: Any) -> Client:
    """Raises BadAddress, BadKey."""
    return Client(args.url, key=_key(args.key_file), **more)


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadKey(f"the key cannot be read from {path}: {getattr(error, 'strerror', None) or 'not text'}") from error
