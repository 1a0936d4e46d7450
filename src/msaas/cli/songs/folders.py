"""Folders of stems, each with the stems of one song only.

A hidden file in the folder identifies the song by the sha256 of its bytes: other options of the same song share its
folder, another song of the same name gets its own, ` (2)`.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msaas.client.names import printable
from msaas.formats import FORMATS

MANIFEST = ".msaas.json"
NAMED_SONG, NAMED_STEM = "song", "stem"  # how files are named: `<Artist - Title> (Vocals).mp3`, or `vocals.mp3`
STEM_SUFFIXES = frozenset(one.suffix for one in FORMATS.values())


@contextmanager
def scratch(out: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as the stems."""
    folder = Path(tempfile.mkdtemp(prefix=".part-", dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stems_in(folder: Path) -> Iterator[Path]:
    """Files that look like stems, of any origin. Raises OSError."""
    return (path for path in folder.iterdir() if path.suffix.lower() in STEM_SUFFIXES)


class StemFolders:
    """Assigns folders to songs. Two songs never share one, even if their names differ only in case."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def put(self, stems: Mapping[str, Path], wanted: Path, *, song: str, sha256: str) -> dict[str, Path]:
        """Moves complete files into `wanted`, or into the first `wanted (n)` that is free or this song's.

        Older stems of the same name are replaced. Raises OSError.
        """
        folder = self._folder(wanted, song, sha256)
        return {stem: path.replace(folder / path.name) for stem, path in stems.items()}

    def _folder(self, wanted: Path, song: str, sha256: str) -> Path:
        for count in itertools.count(1):
            folder = wanted if count == 1 else wanted.with_name(f"{wanted.name} ({count})")
            owner = self._owners.get(str(folder).casefold(), sha256)
            if owner == sha256 and _claim(folder, song, sha256):
                self._owners[str(folder).casefold()] = sha256
                return folder
        raise AssertionError("not reached")


def _claim(folder: Path, song: str, sha256: str) -> bool:
    """Whether the folder belongs to this song, now or already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file of that name
        return False
    manifest = folder / MANIFEST
    if not manifest.exists() and any(stems_in(folder)):
        return False  # stems of unknown origin: left alone
    with suppress(FileExistsError):
        with manifest.open("x", encoding="utf-8") as file:
            json.dump({"song": printable(song), "sha256": sha256}, file)
        return True
    return _owner(manifest) == sha256


def _owner(manifest: Path) -> str | None:
    try:
        return str(json.loads(manifest.read_text("utf-8"))["sha256"])
    except (ValueError, KeyError, TypeError):
        return None
