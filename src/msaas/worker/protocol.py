"""The protocol between supervisor and separation process: one JSON object per line. No I/O.

`task` numbers the songs that one process is given; what names no task is about the process itself.

Supervisor ▸ process                            process ▸ supervisor
    {"task", "separate": {…Task…}}                  {"ready": {…}}         the default model is loaded; `models`: all
    {"stop": task}      cancel the run                                     those found, with MSAAS_MODELS=all; `songs`:
    (end of file)       exit at once                                       how many it separates at a time
                                                    {"loaded": [name, …]}  the models in memory, when they change
                                                    {"progress": {"stage", "fraction"}}
                                                    {"failed": {"code", "detail", "retry", "model"}}
                                                    {"task", "progress": …}, {"task", "failed": …}
                                                    {"task", "done": {…}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas.options import Options

TASK = "task"  # the member of a message that names the task


@dataclass(frozen=True)
class Task:
    """One song to separate; both paths are in the supervisor's scratch folder."""

    song: Path
    out_dir: Path
    options: Options
    seed: str = ""  # of the shifts

    @property
    def waveforms(self) -> Path:
        """The file to which the process writes the stems' waveforms, as JSON, while they grow."""
        return self.out_dir.parent / "waveforms.json"

    def to_message(self, number: str) -> str:
        body = {
            "song": str(self.song),
            "out_dir": str(self.out_dir),
            "options": self.options.to_fields(),
            "seed": self.seed,
        }
        return line({TASK: number, "separate": body})

    @classmethod
    def from_message(cls, body: Mapping[str, Any]) -> Task:
        return cls(Path(body["song"]), Path(body["out_dir"]), Options.from_fields(body["options"]), body["seed"])


def stop_message(number: str) -> str:
    return line({"stop": number})


def line(message: Mapping[str, Any]) -> str:
    return json.dumps(message) + "\n"


def failure(code: str, detail: str, *, retry: bool, model: str = "") -> dict[str, Any]:
    """`model`: the one that could not be loaded, if that is the cause."""
    return {"failed": {"code": code, "detail": detail, "retry": retry, "model": model}}
