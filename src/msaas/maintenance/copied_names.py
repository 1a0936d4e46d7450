"""Where the copy of an object is in a folder of copies, and back.

`<bucket>/<object name>`, if that is possible. Otherwise `.names/<bucket>/` and the name percent-encoded, in parts of
at most 200 characters: folders `<part>.more`, then the file `<part>.end`. So are names that no file can have (a part
of over 255 bytes, an empty part, a null byte), and an object `dir` beside `dir/child`, where one name would be a file
and a folder.
"""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import quote, unquote

from msaas.errors import MSaaSError

ENCODED = ".names"  # in the folder; no bucket's name begins with a dot
MAX_PART_BYTES = 255  # of a part of a file's name, on most file systems
PART = 200  # characters
MORE, END = ".more", ".end"


class Unusable(MSaaSError):
    """An object that cannot be copied, or a file that cannot be restored."""


def path_of(folder: Path, bucket: str, name: str) -> Path:
    """Where an object's copy is, or has to be written. A copy that has its name encoded stays where it is.

    Raises Unusable for a name with the parts . or .., which the store's client does not read.
    """
    if {".", ".."} & set(name.split("/")):
        raise Unusable("the name has a part . or ..")
    encoded, plain = folder / ENCODED / bucket / _encoded(name), folder / bucket / name
    return plain if _is_possible(name) and not encoded.exists() and _is_free(plain) else encoded


def name_of(path: Path, folder: Path) -> str:
    """The object of a file of the copy. Raises Unusable."""
    first, *parts = path.relative_to(folder).parts
    text = "/".join(parts[1:] if first == ENCODED else parts)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unusable("the name is not UTF-8") from error
    return _decoded(text) if first == ENCODED else text


def _is_possible(name: str) -> bool:
    return "\0" not in name and all(0 < len(part.encode()) <= MAX_PART_BYTES for part in name.split("/"))


def _is_free(path: Path) -> bool:
    """Whether no folder has its name, and no file that of a folder above it."""
    try:
        return not stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False


def _encoded(name: str) -> str:
    text = quote(name, safe="")
    parts = [text[start : start + PART] for start in range(0, len(text), PART)]
    return "/".join([*(part + MORE for part in parts[:-1]), parts[-1] + END])


def _decoded(text: str) -> str:
    *folders, file = text.split("/")
    try:
        parts = [*(part.removesuffix(MORE) for part in folders), file.removesuffix(END)]
        name = unquote("".join(parts), errors="strict")
    except UnicodeDecodeError:
        name = ""
    if not name or _encoded(name) != text:
        raise Unusable("the name is not one that a copy has")
    return name
