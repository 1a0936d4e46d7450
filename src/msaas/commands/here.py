"""Songs separated in this process, with no service at all: the model and its fallback are chosen as for `make demo`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msaas.client.models import Job
from msaas.commands.outcome import Outcome, Task
from msaas.commands.progress import Progress
from msaas.errors import MSaaSError
from msaas.jobs import Options
from msaas.local.model import choose_model
from msaas.local.stream import framed
from msaas.separation import PROCESS_ENVIRONMENT, memory
from msaas.settings import Settings

if TYPE_CHECKING:
    from msaas.separation.pipeline import Separator


def outcomes(tasks: Sequence[Task], args: argparse.Namespace) -> Iterator[Outcome]:
    """Raises InvalidOption, SettingsError, ModelUnavailable, DeviceUnavailable, SandboxError before the first song."""
    environ = dict(os.environ) | ({"MSAAS_MODEL": args.model} if args.model else {})
    Settings.from_env(environ)
    choice = choose_model(environ)
    if choice.warning:
        print(framed(choice.warning), file=sys.stderr, flush=True)
    settings = Settings.from_env(environ | dict(choice.environ))
    given = {name: getattr(args, name) for name in ("stems", "two_stems", "format", "bitrate")}
    options = Options.parse(given, default_model=choice.name, allowed=(choice.name,))
    check_sandbox(settings)
    separator = load(settings)
    options.outputs(separator.model.sources)
    for task in tasks:
        yield separate(separator, task, options, settings)


def load(settings: Settings) -> Separator:
    for name, value in PROCESS_ENVIRONMENT.items():  # OpenMP reads its own as torch loads; glibc was there before us
        os.environ.setdefault(name, value)
    memory.keep()
    from msaas.separation.device import choose_device
    from msaas.separation.pipeline import Separator
    from msaas.separation.weights import load_model

    model = load_model(settings.model, repo=settings.model_repo)
    device = choose_device(settings.device).device
    threads = settings.cpu_threads or None
    return Separator(model, device, settings.batch, threads=threads, precision=settings.precision)


def check_sandbox(settings: Settings) -> None:
    from msaas.audio import selfcheck
    from msaas.audio.limits import Limits

    selfcheck.check_decoder(settings.scratch_dir, Limits())


def separate(separator: Separator, task: Task, options: Options, settings: Settings) -> Outcome:
    try:
        if not task.song.is_file():
            raise FileNotFoundError(0, "no file" if task.song.exists() else "not there", str(task.song))
        with Progress(task.song.name) as progress:
            stems = _separate(separator, task, options, settings, progress)
        return Outcome(task, model=options.model, stems=stems)
    except (MSaaSError, OSError, RuntimeError) as error:  # torch tells of a full memory by a RuntimeError
        with suppress(OSError):
            task.folder.rmdir()  # where it holds no stems of an earlier run
        return Outcome.failed(task, error)


def _separate(
    separator: Separator, task: Task, options: Options, settings: Settings, progress: Progress
) -> dict[str, Path]:
    """Stems of an earlier run are replaced once all of this one's are whole."""
    from msaas.audio.limits import Limits
    from msaas.separation.pipeline import SeparationRequest
    from msaas.worker.child import overall

    task.folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=task.folder))
    try:
        result = separator.separate_song(
            task.song,
            scratch,
            SeparationRequest(options.stems, options.two_stems, options.format, options.bitrate or 320),
            limits=Limits(settings.max_duration_seconds, settings.max_decoded_bytes),
            progress=lambda stage, fraction: progress.show(
                Job("", "running", stage=stage, progress=overall(stage, fraction))
            ),
        )
        return {stem: path.replace(task.folder / path.name) for stem, path in result.stems.items()}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
