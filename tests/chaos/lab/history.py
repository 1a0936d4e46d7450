"""The suite's own record of what it did and saw: one JSON object a line, whoever writes, in the order of writing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


class History:
    """Each line is one write to a file opened for appending: whole, even if the process is killed right after."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, what: str, **fields: Any) -> None:
        line = json.dumps({"at": time.time(), "what": what, "pid": os.getpid(), **fields})
        os.write(self._file, line.encode() + b"\n")

    def read(self, what: str | None = None) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [line for line in lines if what in (None, line["what"])]

    def close(self) -> None:
        os.close(self._file)
