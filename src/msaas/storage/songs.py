"""Whether a song has to be stored and queued: shared by uploads and fetched songs."""

from __future__ import annotations

from typing import Any

from msaas.jobs import Job
from msaas.storage import Storage


def is_whole(storage: Storage, job: Job) -> bool:
    """Done, with all stems stored."""
    names = [f"{job.songhash}-{stem}.{extension}" for stem, extension in job.stem_extensions.items()]
    return bool(names) and all(storage.stat_stem(name) for name in names)


def is_waiting(storage: Storage, job: Job | None) -> bool:
    """Queued or running, with its song stored."""
    return job is not None and not job.state.ended and storage.has_input(job.songhash)


def song_facts(found: Any, size: int, sha256: str, filename: str) -> dict[str, Any]:
    """A song, for its record (`upload`). `found`: the result of the probe."""
    return {
        "bytes": size,
        "sha256": sha256,  # lets a worker verify the song
        "container": found.container,
        "codec": found.codec,
        "sample_rate": found.sample_rate,
        "channels": found.channels,
        "duration_seconds": found.duration_seconds,
        "filename": filename,  # of the post that made the record
        "tags": found.tags,
    }
