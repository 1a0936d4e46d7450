"""Reports the result of each song of a batch, as text or JSON lines, and the exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from msaas.cli.songs.inputs import SongTask
from msaas.client.models import Job, JobWarning
from msaas.client.names import printable
from msaas.errors import MSaaSError

DONE, FAILED, WRONG_USAGE = 0, 1, 2
USAGE_CODES = frozenset({"invalid_option", "file"})


@dataclass(frozen=True)
class SongResult:
    """`stems` is empty after a failure; `code` and `detail` are then the reason. `timings` are seconds by phase, as in
    the job."""

    task: SongTask
    songhash: str | None = None
    model: str | None = None
    stems: Mapping[str, Path] = field(default_factory=dict)
    warnings: Sequence[JobWarning] = ()
    message: str = ""
    code: str = ""
    detail: str = ""
    duration_seconds: float | None = None
    timings: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def done(cls, task: SongTask, job: Job, stems: Mapping[str, Path]) -> SongResult:
        took = {"duration_seconds": job.duration_seconds, "timings": job.timings}
        return cls(task, job.songhash or None, job.model, stems, job.warnings, job.message, **took)  # type: ignore[arg-type]

    @classmethod
    def failed(cls, task: SongTask, error: Exception, songhash: str | None = None) -> SongResult:
        if isinstance(error, OSError):
            return cls(task, songhash, code="file", detail=_of_file(task, error))
        code = error.code if isinstance(error, MSaaSError) else type(error).__name__
        return cls(task, songhash, code=code, detail=error.detail if isinstance(error, MSaaSError) else str(error))

    @property
    def folder(self) -> Path:
        """The folder of its stems."""
        return next((path.parent for path in self.stems.values()), self.task.folder)

    def to_json(self) -> str:
        """Names that are not UTF-8 are written as `printable` returns them, since JSON cannot contain them."""
        error = {"code": self.code, "detail": self.detail} if self.code else None
        found = {
            "song": printable(self.task.song),
            "songhash": self.songhash,
            "model": self.model,
            "stems": {stem: printable(path) for stem, path in self.stems.items()},
            "duration_seconds": self.duration_seconds,
            "timings": dict(self.timings),
            "warnings": [asdict(warning) for warning in self.warnings],
            "message": self.message or None,
            "error": error,
        }
        return json.dumps(found)


def _of_file(task: SongTask, error: OSError) -> str:
    """Names the file if it is not the song."""
    reason = error.strerror or str(error)
    other = error.filename is not None and str(error.filename) != str(task.song)
    return f"{printable(str(error.filename))}: {reason}" if other else reason


def report(outcomes: Iterable[SongResult], *, as_json: bool) -> int:
    """Reports each result as it arrives; returns the exit status: 0 all done, 2 all failures were wrong usage, else
    1."""
    failed, count = [], 0
    for outcome in outcomes:
        count += 1
        _print(outcome, as_json)
        if outcome.code:
            failed.append(outcome)
    if failed and count > 1 and not as_json:
        _print_summary(failed, count)
    if not failed:
        return DONE
    return WRONG_USAGE if all(outcome.code in USAGE_CODES for outcome in failed) else FAILED


def _print(outcome: SongResult, as_json: bool) -> None:
    if as_json:
        print(outcome.to_json(), flush=True)
    elif outcome.code:
        print(_reason(outcome), file=sys.stderr, flush=True)
    else:
        print("\n".join(map(printable, _lines(outcome))), flush=True)


def _lines(outcome: SongResult) -> Iterator[str]:
    made = f" by {outcome.model}" if outcome.model else ""
    stems = ", ".join(path.name for path in outcome.stems.values())
    yield f"{outcome.task.song}: {outcome.folder}/ has {stems}, made{made}"
    if outcome.folder != outcome.task.folder:
        yield f"  {outcome.task.folder}/ contains something else, such as another song's stems"
    for text in filter(None, [outcome.message, *(warning.detail for warning in outcome.warnings)]):
        yield f"  {text}"


def _print_summary(failed: Sequence[SongResult], count: int) -> None:
    print(f"{count - len(failed)} of {count} songs are done; these failed:", file=sys.stderr)
    for outcome in failed:
        print(f"  {_reason(outcome)}", file=sys.stderr)


def _reason(outcome: SongResult) -> str:
    code = "" if outcome.code == "file" else f" ({outcome.code})"  # the system's own message needs no code
    return printable(f"{outcome.task.song}: {outcome.detail}{code}")
