"""Separates songs in this process, without a service. Model and fallback are chosen as for `make demo`."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msaas.cli.songs.folders import NAMED_SONG, StemFolders, scratch
from msaas.cli.songs.inputs import STANDARD_INPUT, SongTask, is_stream, open_song
from msaas.cli.songs.progress import Progress
from msaas.cli.songs.stem_files import SongResult
from msaas.client.models import Job, JobWarning
from msaas.client.names import printable
from msaas.errors import MSaaSError, UploadTooLarge
from msaas.local.model import choose_model
from msaas.local.stream import framed
from msaas.options import REQUEST_NAMES, Options
from msaas.scratch import check_writable
from msaas.separation import PROCESS_ENVIRONMENT, memory
from msaas.settings import Settings
from msaas.song_names import song_name, stem_file_name

if TYPE_CHECKING:
    from msaas.separation.pipeline import SeparationResult, Separator

COPY_BYTES = 1 << 20


def outcomes(tasks: Sequence[SongTask], args: argparse.Namespace) -> Iterator[SongResult]:
    """Raises InvalidOption, SettingsError, ModelUnavailable, DeviceUnavailable or SandboxError before the first
    song."""
    environ = dict(os.environ) | _chosen(args)
    qualities = Settings.from_env(environ).qualities
    if args.model is None and (model := qualities.get(args.quality, {}).get("model")):
        environ["MSAAS_MODEL"] = model
    choice = choose_model(environ)
    if choice.warning:
        print(framed(choice.warning), file=sys.stderr, flush=True)
    settings = Settings.from_env(environ | dict(choice.environ))
    given = {name: getattr(args, name) for name in REQUEST_NAMES if name != "model"}
    allowed = (choice.name, *args.refine.values())
    options = Options.parse(given, default_model=choice.name, allowed=allowed, qualities=qualities)
    check_writable(settings.scratch_dir)
    with ThreadPoolExecutor(1) as beside:
        sandbox = beside.submit(check_sandbox, settings)
        load = loader(settings)
        _check_models(options, load)
        sandbox.result()
    work = LocalBatch(load, options, settings, args.out, named=args.names == NAMED_SONG)
    for task in tasks:
        yield work.separate(task)


def _check_models(options: Options, load: Callable[[str], Separator]) -> None:
    """Loads all models. Raises InvalidOption for stems that they cannot make, before any song is separated."""
    from msaas.separation.passes import refined_parts

    first = load(options.model).model
    options.outputs(first.sources)
    for stem, refining in options.refine:
        refined_parts(stem, load(refining).model, by=(first.name, first.sample_rate, first.channels))


def _chosen(args: argparse.Namespace) -> dict[str, str]:
    given = {"MSAAS_MODEL": args.model, "MSAAS_DEVICE": args.device, "MSAAS_MODEL_REPO": args.repo}
    return {name: value for name, value in given.items() if value}


def loader(settings: Settings) -> Callable[[str], Separator]:
    """Loads each model once, and keeps it: the next song needs it again."""
    # OpenMP reads its variables when torch loads; glibc has already read its own
    for name, value in PROCESS_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    memory.keep_freed()
    from msaas.separation.device import choose_device
    from msaas.separation.engines.verdicts import RememberedChoice, default_folder
    from msaas.separation.pipeline import Separator
    from msaas.separation.weights.loader import load_model

    remembered = RememberedChoice(default_folder())
    device = choose_device(settings.device).device
    threads = settings.cpu_threads or None

    @cache
    def load(name: str) -> Separator:
        return Separator(
            load_model(name, repo=settings.model_repo, licences=settings.licence_rule, mapped=True),
            device,
            settings.batch,
            parallel=settings.lanes,
            threads=threads,
            precision=settings.precision,
            choose=remembered,
            release=True,
        )

    return load


def check_sandbox(settings: Settings) -> None:
    from msaas.audio.limits import Limits
    from msaas.audio.sandbox import self_check

    self_check.check_decoder(settings.scratch_dir, Limits())


class LocalBatch:
    """Separates one song after the other; moves the stems to their folder once all are complete."""

    def __init__(
        self, load: Callable[[str], Separator], options: Options, settings: Settings, out: Path, *, named: bool
    ) -> None:
        self._load, self._options, self._settings, self._named = load, options, settings, named
        self._out, self._folders = out, StemFolders()

    def separate(self, task: SongTask) -> SongResult:
        try:
            with scratch(self._out) as part:
                song = _on_disk(Path(task.song), part, self._settings.max_upload_bytes)
                with Progress(task.song.name) as progress:
                    result = self._separate(song, part / "stems", progress)
                stems = self._renamed(result.stems, song, task.song.name)
                stems = self._folders.put(stems, task.folder, song=task.song.name, sha256=_sha256(song))
        except (MSaaSError, OSError, RuntimeError) as error:  # torch raises RuntimeError when out of memory
            return SongResult.failed(task, error)
        took = {"duration_seconds": result.duration_seconds, "timings": rounded(result.timings)}
        warnings = [JobWarning(one.code, one.detail) for one in result.warnings]
        return SongResult(task, model=self._options.model, stems=stems, warnings=warnings, **took)  # type: ignore[arg-type]

    def _renamed(self, stems: Mapping[str, Path], song: Path, file: str) -> Mapping[str, Path]:
        """As a service names saved files: by the song's tags, else by its file; or by the stems alone."""
        from msaas.audio.limits import Limits
        from msaas.audio.sandbox.probe import probe_isolated

        name = ""
        if self._named:
            tags = probe_isolated(song, Limits(self._settings.max_duration_seconds)).tags
            name = song_name(tags, printable(file)) or "song"
        return {
            stem: path.rename(path.with_name(stem_file_name(name, stem, self._options.format)))
            for stem, path in stems.items()
        }

    def _separate(self, song: Path, out: Path, progress: Progress) -> SeparationResult:
        from msaas.audio.limits import Limits
        from msaas.separation.pipeline import separate_song
        from msaas.worker.child import overall

        settings = self._settings
        return separate_song(
            self._load,
            song,
            out,
            self._options,
            seed=_sha256(song),
            limits=Limits(settings.max_duration_seconds, settings.max_decoded_bytes),
            progress=lambda stage, fraction: progress.show(
                Job("", "running", stage=stage, progress=overall(stage, fraction))
            ),
        )


def _on_disk(song: Path, folder: Path, limit_bytes: int) -> Path:
    """The song as a file; a pipe is first read to disk. Raises OSError, UploadTooLarge."""
    if song != STANDARD_INPUT and not is_stream(song):
        return song
    copy = folder / "song"
    with open_song(song) as source, copy.open("xb") as target:
        while chunk := source.read(COPY_BYTES):
            if target.tell() + len(chunk) > limit_bytes:
                raise UploadTooLarge(f"the song has more than {limit_bytes} bytes (MSAAS_MAX_UPLOAD_BYTES)")
            target.write(chunk)
    return copy


def _sha256(song: Path) -> str:
    with song.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rounded(timings: Mapping[str, float]) -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in timings.items()}
