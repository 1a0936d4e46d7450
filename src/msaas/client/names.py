"""Names that come from a file system or from a service, made safe to print and to use as one part of a path. No I/O."""

from __future__ import annotations

import os
import unicodedata
from os import PathLike

LONGEST_BYTES = 200  # of 255 that file systems allow: room for " (2)" and for an extension


def printable(text: str | PathLike[str]) -> str:
    """The text without what a terminal would obey and without surrogates, which no encoding can write.

    Bytes that the locale's encoding could not decode (PEP 383) become `%E9`, control characters `\\x1b`.
    """
    return "".join(_printable(character) for character in os.fspath(text))


def printable_lines(text: str) -> str:
    """Of a message of several lines, as `printable` has each."""
    return "\n".join(map(printable, text.split("\n")))


def _printable(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"%{ord(character) - 0xDC00:02X}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def folder_name(song: str) -> str:
    """A folder's name for a song's file name: that without its extension."""
    stem, dot, _ = song.rpartition(".")
    return path_part(stem if dot and stem.strip(".") else song)


def path_part(name: str) -> str:
    """As one part of a path: never empty, `.` or `..`, without separators, and not too long.

    It can be written in any encoding of Unicode, so that programs in other languages can open what lies inside.
    """
    safe = printable(name.replace("/", "_").replace("\0", "_"))
    shortened = safe.encode("utf-8", "replace")[:LONGEST_BYTES].decode("utf-8", "ignore")
    return shortened if shortened.strip(". ") else f"_{shortened}"
