"""Paths that people give: checked before work begins, refused in one line."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msaas.client.names import printable
from msaas.errors import MSaaSError


class UnusablePath(MSaaSError):
    """A file that cannot be read, or a folder that cannot be written."""

    code = "unusable_path"


def path_argument(text: str) -> Path:
    """For argparse. An empty text, which an unset shell variable leaves, would name the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """The folder, made if need be and found writable; what was made for it is removed if nothing was put there.

    Raises UnusablePath.
    """
    made = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise unusable(folder, error) from error
        yield folder
    finally:
        _remove_empty(made)


def unusable(folder: Path, error: OSError) -> UnusablePath:
    standing = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), folder)
    reason = "a file, not a folder" if standing.is_file() else error.strerror or str(error)
    return UnusablePath(f"nothing can be written to {printable(folder)}: {printable(standing)}: {reason}")


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
