"""What became of each song of a batch: told to people or as JSON lines, and the exit status of it all."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msaas.client.models import Job
from msaas.errors import MSaaSError

DONE, FAILED, ASKED_WRONGLY = 0, 1, 2


@dataclass(frozen=True)
class Task:
    """A song and the folder for its stems."""

    song: Path
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """`stems` is empty where it failed; `code` and `detail` are then the reason."""

    task: Task
    songhash: str | None = None
    model: str | None = None
    stems: Mapping[str, Path] = field(default_factory=dict)
    message: str = ""
    code: str = ""
    detail: str = ""

    @classmethod
    def done(cls, task: Task, job: Job, stems: Mapping[str, Path]) -> Outcome:
        return cls(task, job.songhash or None, job.model, stems, job.message)

    @classmethod
    def failed(cls, task: Task, error: Exception, songhash: str | None = None) -> Outcome:
        if isinstance(error, OSError):
            return cls(task, songhash, code="file", detail=error.strerror or str(error))
        if isinstance(error, MSaaSError):
            return cls(task, songhash, code=error.code, detail=error.detail)
        return cls(task, songhash, code=MSaaSError.code, detail=f"{type(error).__name__}: {error}")

    def to_json(self) -> str:
        error = {"code": self.code, "detail": self.detail} if self.code else None
        stems = {stem: str(path) for stem, path in self.stems.items()}
        found = {"song": str(self.task.song), "songhash": self.songhash, "model": self.model, "stems": stems}
        return json.dumps(found | {"message": self.message or None, "error": error})


def plan(songs: Sequence[Path], out: Path) -> list[Task]:
    """`<out>/<song name>` each; a second song of a name gets ` (2)`. Case is no difference: some disks have none."""
    taken: set[str] = set()
    tasks = []
    for song in songs:
        name, count = song.stem or song.name, 1
        while (folder := name if count == 1 else f"{name} ({count})").casefold() in taken:
            count += 1
        taken.add(folder.casefold())
        tasks.append(Task(song, out / folder))
    return tasks


def report(outcomes: Iterable[Outcome], *, as_json: bool) -> int:
    """Tells of each as it comes; the exit status: 0 all are done, 2 all that failed were asked wrongly, else 1."""
    failed, count = [], 0
    for outcome in outcomes:
        count += 1
        _tell(outcome, as_json)
        if outcome.code:
            failed.append(outcome)
    if failed and count > 1 and not as_json:
        _conclude(failed, count)
    if not failed:
        return DONE
    return ASKED_WRONGLY if all(outcome.code == "invalid_option" for outcome in failed) else FAILED


def _tell(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print(outcome.to_json(), flush=True)
    elif outcome.code:
        print(_reason(outcome), file=sys.stderr, flush=True)
    else:
        made = f" by {outcome.model}" if outcome.model else ""
        stems = ", ".join(path.name for path in outcome.stems.values())
        print(f"{outcome.task.song}: {outcome.task.folder}/ has {stems}, made{made}", flush=True)
        if outcome.message:
            print(f"  {outcome.message}", flush=True)


def _conclude(failed: Sequence[Outcome], count: int) -> None:
    print(f"{count - len(failed)} of {count} songs are done; these are not:", file=sys.stderr)
    for outcome in failed:
        print(f"  {_reason(outcome)}", file=sys.stderr)


def _reason(outcome: Outcome) -> str:
    return f"{outcome.task.song}: {outcome.detail} ({outcome.code})"
