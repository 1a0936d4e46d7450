"""A worker's options. Built from the settings by msaas.wiring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkerOptions:
    """`model`: the default, loaded at start; the first of `allowed_models`. `loaded_first_songs`: how many songs of
    loaded models may overtake a song of another. `songs_in_flight`: how many songs it runs at a time; 0: as many as the
    separation process says. `child_memory_bytes`: the limit of the separation process; 0: that of the container."""

    model: str
    allowed_models: tuple[str, ...]
    scratch_dir: Path
    scratch_free_bytes: int
    lease_seconds: float
    heartbeat_seconds: float
    stall_seconds: float
    grace_seconds: float
    storage_refusal_seconds: float
    loaded_first_songs: int
    songs_in_flight: int
    child_memory_bytes: int
