"""One log stream of several components, with a prefix each. A reader that goes away never blocks a component."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TextIO

WIDTH = 7
COLOURS = {"msaas": "1", "valkey": "35", "s3": "36", "rest": "32", "worker": "33"}


def coloured(out: TextIO) -> bool:
    """Only on a terminal, and not if NO_COLOR is set (no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR")


class LogStream:
    """Writes whole lines from any thread, in order of arrival."""

    def __init__(self, out: TextIO) -> None:
        self._out: TextIO | _NullOutput = out
        self._lock = threading.Lock()
        self._coloured = coloured(out)

    def component(self, name: str, *, shows: Callable[[str], bool] = lambda _line: True) -> Callable[[str], None]:
        """A function that writes one component's lines, except those for which `shows` returns False."""
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
            except (OSError, ValueError):  # `msaas up | head`: the components continue without output
                self._out = _NullOutput()


class _NullOutput:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def framed(lines: Sequence[str]) -> str:
    """A box of asterisks around the lines."""
    width = max(map(len, lines))
    edge = "*" * (width + 6)
    return "\n".join([edge, *(f"*  {line:<{width}}  *" for line in lines), edge])
