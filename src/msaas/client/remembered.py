"""Remembers unfinished uploads in a folder, so that a program that is started again can go on with them.

A file for each: its name is a hash of the service's URL and the song's bytes, its content the upload's path. If the
folder cannot be used, nothing is remembered.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from msaas.client.upload import Song

KEPT_SECONDS = 2 * 24 * 3600  # longer than a service keeps an unfinished upload
_PATH = re.compile(r"/apiv1/uploads/[0-9A-Za-z_-]{1,200}")


def default_folder() -> Path | None:
    """In the user's cache; None without a home folder."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "msaas" / "uploads"
    except RuntimeError:
        return None


class RememberedUploads:
    """folder: None remembers nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @staticmethod
    def key(url: str, song: Song) -> str:
        return hashlib.sha256(f"{url}\n{song.size}\n{song.sha256()}".encode()).hexdigest()

    def path(self, key: str) -> str | None:
        """The upload's path, from `/apiv1` on; None if there is none."""
        if self.folder is None:
            return None
        try:
            text = (self.folder / key).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None
        return text if _PATH.fullmatch(text) else None

    def remember(self, key: str, path: str) -> None:
        if self.folder is None:
            return
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._remove_old(self.folder)
            file = self.folder / f"{key}.{os.getpid()}"
            file.touch(mode=0o600)  # without keys, the path is all that is needed to append
            file.write_text(path, encoding="utf-8")
            file.replace(self.folder / key)

    def forget(self, key: str) -> None:
        if self.folder is not None:
            with suppress(OSError):
                (self.folder / key).unlink(missing_ok=True)

    def _remove_old(self, folder: Path) -> None:
        oldest = time.time() - KEPT_SECONDS
        for file in folder.iterdir():
            if file.stat().st_mtime < oldest:
                file.unlink(missing_ok=True)
