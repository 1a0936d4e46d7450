"""The protocol between supervisor and separation process: one JSON object per line. No I/O.

Supervisor ▸ process                            process ▸ supervisor
    {"separate": {…Task…}}                          {"ready": {…}}         the default model is loaded; `models`: all
                                                                           those found, with MSAAS_MODELS=all
    {"stop": true}      cancel the run              {"progress": {"stage", "fraction"}}
    (end of file)       exit at once                {"loaded": [name, …]}  the models in memory, when they change
                                                    {"done": {…}}
                                                    {"failed": {"code", "detail", "retry", "model"}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas.options import Options


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

    def to_message(self) -> str:
        body = {
            "song": str(self.song),
            "out_dir": str(self.out_dir),
            "options": self.options.to_fields(),
            "seed": self.seed,
        }
        return line({"separate": body})

    @classmethod
    def from_message(cls, body: Mapping[str, Any]) -> Task:
        return cls(Path(body["song"]), Path(body["out_dir"]), Options.from_fields(body["options"]), body["seed"])


def line(message: Mapping[str, Any]) -> str:
    return json.dumps(message) + "\n"


def failure(code: str, detail: str, *, retry: bool, model: str = "") -> dict[str, Any]:
    """`model`: the one that could not be loaded, if that is the cause."""
    return {"failed": {"code": code, "detail": detail, "retry": retry, "model": model}}
