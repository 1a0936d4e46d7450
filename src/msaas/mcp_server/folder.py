"""The one folder whose files an agent may read and write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class OutsideFolder(Exception):
    """A path that leads out of the folder."""


@dataclass(frozen=True)
class SharedFolder:
    """`root` is absolute, without links. A relative path means a path below it."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> SharedFolder:
        return cls(path.resolve())

    def inside(self, path: str) -> Path:
        """The path with its links followed. Raises OutsideFolder if it is not below the root."""
        if "\0" in path:
            raise OutsideFolder("a path cannot contain a NUL")
        found = (self.root / Path(path).expanduser()).resolve()
        if not found.is_relative_to(self.root):
            raise OutsideFolder(f"{path!r} is outside {self.root}, the only folder of this server (--folder)")
        return found
