"""Names of songs: file names and tags from outside, made safe to show, to store and to save files under. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

TAG_NAMES = ("title", "artist", "album", "track", "date")
MAX_TAG_CHARS = 200
# A saved file is `<name> (<stem>).<extension>`, where a stem has up to 32 letters: far below the 255 bytes of file
# systems, and a folder and a file of this name fit into the 260 characters of a path on Windows.
MAX_NAME_BYTES = 120
_MAX_ARTIST_BYTES = 50
_MAX_READ_CHARS = 4096

_JOINERS = "\u200c\u200d"  # Persian and Indic words, and emoji of several parts, need them
_FORBIDDEN = str.maketrans({**dict.fromkeys("/\\:|", "-"), '"': "'", **dict.fromkeys("<>?*", "_")})  # on Windows
_EXTENSION = re.compile(r"(?<=[^.])\.[A-Za-z0-9]{1,5}\Z")
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: also with an extension, which the name may end in
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE | re.DOTALL)


def one_line(text: str, max_chars: int = MAX_TAG_CHARS) -> str:
    """A text from outside as a line to show: without control characters, without the invisible ones that change the
    direction of other text, in NFC, at most `max_chars` long."""
    composed = unicodedata.normalize("NFC", text[:_MAX_READ_CHARS])
    line = " ".join("".join(map(_shown, composed)).split())[:max_chars].strip()
    return line if line.strip(_JOINERS + " ") else ""


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Cc", "Zl", "Zp", "Zs"):
        return " "
    invisible = kind in ("Cf", "Cs", "Co") and character not in _JOINERS
    return "" if invisible or _is_noncharacter(ord(character)) else character


def _is_noncharacter(code: int) -> bool:
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def safe_name(text: str, max_bytes: int = MAX_NAME_BYTES) -> str:
    """A text from outside as the name of a file or folder on any system, without an extension; empty if nothing of it
    can be used."""
    line = one_line(text, max_bytes).translate(_FORBIDDEN).lstrip(" .-")  # hidden files, options of commands
    name = _cut(line, max_bytes).rstrip(" ." + _JOINERS)  # Windows drops dots and spaces at the end
    return f"_{_cut(name, max_bytes - 1)}" if _DEVICE.fullmatch(name) else name


def ascii_name(file_name: str) -> str:
    """A file's name for programs that know ASCII only. Composed characters become their parts, which may be
    separators: `℀` contains a slash."""
    parts = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode()
    plain = " ".join(parts.translate(_FORBIDDEN).split()).lstrip(" -")
    return f"song{plain}" if plain.startswith(".") else plain


def _cut(text: str, max_bytes: int) -> str:
    """The longest beginning of at most `max_bytes` in UTF-8 that ends before a combining mark."""
    kept = text.encode()[:max_bytes].decode("utf-8", "ignore")
    end = len(kept)
    while end < len(text) and end and unicodedata.combining(text[end]):
        end -= 1
    return kept[:end]


def file_name(path: str) -> str:
    """The last part of a path that a client sent as a file's name, for the record."""
    return one_line(path.replace("\\", "/").rpartition("/")[2])


def clean_tags(found: Any) -> dict[str, str]:
    """The known tags in `found`, a mapping if it is valid, each as one line; empty ones are left out."""
    if not isinstance(found, Mapping):
        return {}
    lines = {name: one_line(found[name]) for name in TAG_NAMES if isinstance(found.get(name), str)}
    return {name: line for name, line in lines.items() if line}


def song_name(tags: Mapping[str, str], file: str = "") -> str:
    """What a song's saved files are called: `Artist - Title` by its tags, else its file's name, else its title.

    Empty if there is none of them.
    """
    artist, title = safe_name(tags.get("artist", ""), _MAX_ARTIST_BYTES), safe_name(tags.get("title", ""))
    if artist and title:
        return safe_name(f"{artist} - {title}")
    return safe_name(_EXTENSION.sub("", file_name(file))) or title


def stem_label(stem: str) -> str:
    """A stem's name for people: `Vocals`; what is left without the vocals is `Instrumental`; a part: `Drums, kick`."""
    if stem == "no_vocals":
        return "Instrumental"
    words = stem.replace("_", " ").replace(".", ", ")
    return words[:1].upper() + words[1:]


def stem_file_name(name: str, stem: str, extension: str) -> str:
    """`name` as safe_name or song_name returns it; without one, the stem's name is the file's. DJ programs know their
    files by `.stem.m4a`."""
    if extension == "stems.m4a":
        return f"{name or stem}.stem.m4a"
    return f"{name} ({stem_label(stem)}).{extension}" if name else f"{stem}.{extension}"
