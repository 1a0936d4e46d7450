"""One log stream from many parts, a prefix a part. Never blocks a part on a reader that went away."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TextIO

WIDTH = 7
COLOURS = {"msaas": "1", "valkey": "35", "s3": "36", "rest": "32", "worker": "33"}


def coloured(out: TextIO) -> bool:
    """Only on a terminal, and not where NO_COLOR asks for none (no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR")


class LogStream:
    """Lines from any thread, whole and in order of arrival."""

    def __init__(self, out: TextIO) -> None:
        self._out: TextIO | _Nowhere = out
        self._lock = threading.Lock()
        self._coloured = coloured(out)

    def part(self, name: str, *, shows: Callable[[str], bool] = lambda _line: True) -> Callable[[str], None]:
        """A sink for one part's lines; those that `shows` refuses are left out."""
        prefix = self._prefix(name)

        def write(line: str) -> None:
            if shows(line):
                self._write(f"{prefix} {line}\n")

        return write

    def _prefix(self, name: str) -> str:
        text = f"{name:<{WIDTH}}|"
        return f"\x1b[{COLOURS.get(name, '0')}m{text}\x1b[0m" if self._coloured else text

    def _write(self, text: str) -> None:
        with self._lock:
            try:
                self._out.write(text)
                self._out.flush()
            except (OSError, ValueError):  # `msaas up | head`: the parts go on, unheard
                self._out = _Nowhere()


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def framed(lines: Sequence[str]) -> str:
    """A box that is hard to miss."""
    width = max(map(len, lines))
    edge = "*" * (width + 6)
    return "\n".join([edge, *(f"*  {line:<{width}}  *" for line in lines), edge])
