"""Makes names from a file system or service safe to print and to use as a path component. No I/O."""

from __future__ import annotations

import os
import re
import unicodedata
from os import PathLike

_ADDRESS = re.compile(r"(https?|s3)://", re.IGNORECASE)
MAX_BYTES = 200  # of the 255 bytes that file systems allow: leaves room for " (2)" and an extension


def printable(text: str | PathLike[str]) -> str:
    """Replaces terminal control characters and surrogates, which no encoding can write.

    Bytes that the locale's encoding could not decode (PEP 383) become `%E9`, control characters `\\x1b`.
    """
    return "".join(_printable(character) for character in os.fspath(text))


def printable_lines(text: str) -> str:
    """`printable` for a message of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def _printable(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"%{ord(character) - 0xDC00:02X}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def is_address(song: object) -> bool:
    """Whether it is the URL of a song rather than a file."""
    return isinstance(song, str) and _ADDRESS.match(song) is not None


def folder_name(song: str) -> str:
    """The folder name for a song: its file name without the extension."""
    stem, dot, _ = song.rpartition(".")
    return path_part(stem if dot and stem.strip(".") else song)


def path_part(name: str) -> str:
    """A valid path component: never empty, `.` or `..`, without separators, not too long.

    It can be written in any Unicode encoding, so that programs in other languages can open its contents.
    """
    safe = printable(name.replace("/", "_").replace("\0", "_"))
    shortened = safe.encode("utf-8", "replace")[:MAX_BYTES].decode("utf-8", "ignore")
    return shortened if shortened.strip(". ") else f"_{shortened}"
