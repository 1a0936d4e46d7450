"""Checks paths given by users before work starts; an unusable one is a one-line error."""

from __future__ import annotations

import argparse
import errno
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
    """For argparse. Rejects an empty text, as from an unset shell variable, which would mean the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def existing_folder(folder: Path, expected: str) -> Path:
    """Raises UnusablePath, with what the folder is expected to have."""
    if os.path.isdir(folder):  # noqa: PTH112 (pathlib raises for some paths)
        return folder
    reason = "is not a folder" if os.path.lexists(folder) else "does not exist"
    raise UnusablePath(f"the folder {printable(folder)} {reason}; expected: {expected}")


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """The folder, created if necessary and checked to be writable; folders created here are removed if left empty.

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
    if error.errno == errno.ENOENT and standing.is_dir():  # as in /proc
        reason = "no folder or file can be created in it"
    return UnusablePath(f"cannot write to {printable(folder)}: {printable(standing)}: {reason}")


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
