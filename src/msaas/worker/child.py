"""The separation process: keeps a model loaded and separates songs, one or several at a time. Accesses neither Redis
nor S3.

It may be killed at any time; the supervisor starts another. It exits when its input closes, so that it never outlives
the supervisor.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, TextIO

from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher, self_check
from msaas.catalogue import catalogue
from msaas.errors import (
    AudioError,
    Cancelled,
    InvalidOption,
    ModelUnavailable,
    MSaaSError,
    OutOfMemory,
    SandboxError,
)
from msaas.separation.device import DeviceChoice, choose_device
from msaas.separation.engines.engine import cpu_threads
from msaas.separation.engines.turns import DeviceTurns, song_in_turn
from msaas.separation.engines.verdicts import RememberedChoice, default_folder
from msaas.separation.loaded_models import LoadedModels
from msaas.separation.model import LoadedModel
from msaas.separation.pipeline import SeparationResult, Separator, separate_song
from msaas.separation.weights.loader import load_model
from msaas.separation.weights.on_disk import all_held, fault_in_folder, names_in
from msaas.settings import Settings
from msaas.telemetry import logs
from msaas.worker.concurrency.commands import Command, CommandReader
from msaas.worker.concurrency.task_runner import TaskRunner
from msaas.worker.protocol import TASK, Task, failure, line
from msaas.worker.waveforms import WaveformFile

log = logging.getLogger(__name__)

# The range of each stage in the overall progress; nearly all of the time is spent in the model.
STAGES = {"decoding": (0.0, 0.02), "separating": (0.02, 0.97), "encoding": (0.97, 1.0)}

PROGRESS_SECONDS = 10

Send = Callable[[Mapping[str, Any]], None]


class ModelCache:
    """Separates songs with the models that are loaded."""

    def __init__(
        self,
        models: LoadedModels[Separator],
        choice: DeviceChoice,
        limits: Limits,
        remembered: RememberedChoice,
        load: Callable[[str], LoadedModel],
        analyse: bool = False,
    ) -> None:
        """`models` loads the separator of a model, by its name, on the device of `choice`. `load`: its weights.
        `analyse`: whether songs' loudness, tempo and key are measured."""
        self.models, self.choice, self.limits, self.analyse = models, choice, limits, analyse
        self._remembered, self._load = remembered, load
        self._loading, self._counting = threading.Lock(), threading.Lock()
        self._running, self._shared = 0, False  # songs now; whether there ever were several

    def separator(self, model: str) -> Separator:
        with self._loading:
            return self.models.get(model)

    def describe(self, model: str) -> dict[str, Any]:
        return {"model": self.separator(model).model.describe(), **self._place()}

    def separate(self, task: Task, send: Send, stop: Callable[[], bool]) -> dict[str, Any]:
        progress = Progress(send)
        with song_in_turn(waits=progress.repeat):
            return self._separate(task, progress, stop)

    def _separate(self, task: Task, progress: Progress, stop: Callable[[], bool]) -> dict[str, Any]:

        def load(model: str) -> Separator:
            with progress.repeated("loading"), naming(model):
                return self.separator(model)

        with self._counted():
            result = separate_song(
                load,
                task.song,
                task.out_dir,
                task.options,
                seed=task.seed,
                analyse=self.analyse,
                limits=self.limits,
                progress=progress,
                stop=stop,
                on_waveforms=WaveformFile(task.waveforms),
            )
        return _report(result) | self._place() | {"peak_bytes": self._peak_bytes()}

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._counting:
            self._running += 1
            self._shared = self._shared or self._running > 1
        try:
            yield
        finally:
            with self._counting:
                self._running -= 1

    def _peak_bytes(self) -> int:
        """What this process has needed; 0 if it has loaded several models or separated several songs at a time, so that
        it is not what one model needs for a song."""
        alone = self.models.count_ever == 1 and not self._shared
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10 if alone else 0

    def confirm(self, stop: Callable[[], bool]) -> None:
        """Checks the engines that were chosen by verdicts of earlier processes, until stop() returns True."""
        for name, separator in self.models.all.items():
            try:
                separator.confirm(self._remembered, partial(self._load, name), stop)
            except Cancelled:
                return
            except Exception as error:  # they have separated a song
                log.warning("remembered engine not checked model=%s reason=%s: %s", name, type(error).__name__, error)

    def _place(self) -> dict[str, str]:
        return {"device": str(self.choice.device), "reason": self.choice.reason}


@contextmanager
def naming(model: str) -> Iterator[None]:
    """A ModelUnavailable names the model: a song may need several."""
    try:
        yield
    except ModelUnavailable as error:
        error.model = model
        raise


class Progress:
    """Sends the overall progress of a run. It never falls: a model that refines a stem is loaded in mid-run."""

    def __init__(self, send: Send) -> None:
        self._send, self._stage, self._fraction = send, "", 0.0

    def __call__(self, stage: str, fraction: float) -> None:
        self._stage, self._fraction = stage, max(self._fraction, overall(stage, fraction))
        self.repeat()

    def repeat(self) -> None:
        self._send({"progress": {"stage": self._stage, "fraction": self._fraction}})

    @contextmanager
    def repeated(self, stage: str) -> Iterator[None]:
        """Sends the stage again and again: downloading weights may take longer than the stall limit."""
        over = threading.Event()

        def report() -> None:
            while not over.wait(PROGRESS_SECONDS):
                self(stage, 0.0)

        reporter = threading.Thread(target=report, name=stage, daemon=True)
        reporter.start()
        try:
            yield
        finally:
            over.set()
            reporter.join()


def overall(stage: str, fraction: float) -> float:
    """Overall progress, 0 to 1, from a stage's progress: callers' progress bars only move forward."""
    begins, ends = STAGES.get(stage, (0.0, 0.0))
    return begins + (ends - begins) * fraction


def _report(result: SeparationResult) -> dict[str, Any]:
    return {
        "stems": {stem: str(path) for stem, path in result.stems.items()},
        "samples": result.total_samples,
        "sample_rate": result.sample_rate,
        "duration_seconds": result.duration_seconds,
        "analysis": result.analysis,
        "gain": result.gain,
        "model": result.model,
        "refining": result.refining,
        "warnings": [asdict(warning) for warning in result.warnings],
        "timings": result.timings,
        "report": result.report,
    }


def attempt(models: ModelCache, task: Task, send: Send, stop: Callable[[], bool]) -> None:
    """Runs one task and reports its result. Faults of the audio or the options are not retried."""
    try:
        send({"done": models.separate(task, send, stop)})
    except (AudioError, InvalidOption) as error:
        send(failure(error.code, str(error), retry=False))
    except Cancelled as error:
        send(failure(error.code, str(error), retry=True))
    except Exception as error:
        log.exception("separation failed song=%s", task.song.name)
        send(_failed_run(error))


def _failed_run(error: Exception) -> Mapping[str, Any]:
    if is_out_of_memory(error):
        return failure(OutOfMemory.code, f"{type(error).__name__}: {error}", retry=True)
    if isinstance(error, MSaaSError):
        model = error.model if isinstance(error, ModelUnavailable) else ""
        return failure(error.code, str(error), retry=True, model=model)
    return failure("separation_failed", f"{type(error).__name__}: {error}", retry=True)


# torch's allocator, C++, oneDNN (whose "primitive descriptor" fails for other reasons), Python's threads.
_NO_MEMORY = re.compile(
    "out of memory|can't allocate memory|bad_alloc|could not (create|execute) a primitive(?! descriptor)"
    "|could not create a memory|can't start new thread"
)


def is_out_of_memory(error: Exception) -> bool:
    """torch raises RuntimeError; on a GPU its OutOfMemoryError. Starting a thread or a process can run out of memory,
    too. A model that failed to load for it has it as the cause."""
    if isinstance(error, MSaaSError):
        return isinstance(error.__cause__, Exception) and is_out_of_memory(error.__cause__)
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error))))


def _failed_start(error: Exception, max_bytes: int) -> Mapping[str, Any]:
    """max_bytes: MSAAS_CHILD_MEMORY_BYTES. Raises `error` if it is neither of MSaaS nor for lack of memory."""
    if is_out_of_memory(error):
        limit = f"MSAAS_CHILD_MEMORY_BYTES={max_bytes}" if max_bytes else "the memory that there is"
        return failure(OutOfMemory.code, f"the model does not fit into {limit}: {error}", retry=True)
    if isinstance(error, MSaaSError):  # after a SandboxError another start would fail the same way
        return failure(error.code, str(error), retry=not isinstance(error, SandboxError))
    raise error


def _private_stdout() -> TextIO:
    """Writes messages to a separate descriptor: a library that prints must not break the protocol."""
    lines = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return lines


def main() -> int:
    # The supervisor decides when this process ends and handles signals to the process group.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    lines = _private_stdout()
    commands = CommandReader(sys.stdin)
    settings = Settings.from_env(os.environ)
    logs.set_up(settings.log_level)

    sending = threading.Lock()

    def send(message: Mapping[str, Any]) -> None:
        with sending:
            lines.write(line(message))
            lines.flush()

    try:
        _limit_threads(settings.cpu_threads)
        _limit_memory(settings.child_memory_bytes)
        launcher.current().start()  # loads FFmpeg in parallel with the model
        models = build_cache(settings, lambda names: send({"loaded": names}))
        with Progress(send).repeated("loading"):
            description = models.describe(settings.model)
            self_check.check_decoder(settings.scratch_dir, models.limits)
            if settings.all_models:
                description["models"] = all_held(settings.model_repo, settings.licence_rule)
            description["faults"] = _faults(settings)
        songs = description["songs"] = settings.songs_in_flight or default_songs(models.choice)
        send({"ready": description})
    except Exception as error:
        send(_failed_start(error, settings.child_memory_bytes))
        return 3
    threads = cpu_threads()

    def attempt_in_thread(command: Command) -> None:
        _limit_threads(threads)  # a new thread does not know it

        def send_about(message: Mapping[str, Any]) -> None:
            send({TASK: command.number, **message})

        attempt(models, command.task, send_about, command.stopped.is_set)

    return TaskRunner(commands, attempt_in_thread, lambda: models.confirm(commands.has_next), songs=songs).run()


def default_songs(choice: DeviceChoice) -> int:
    """Songs at a time. A CPU has nothing to do beside the network; a card waits for decoders and encoders otherwise."""
    return 2 if choice.device.type == "cuda" else 1


def build_cache(settings: Settings, changed: Callable[[tuple[str, ...]], object] = lambda _names: None) -> ModelCache:
    """`changed` is called with the names of the loaded models. Raises DeviceUnavailable."""
    choice = choose_device(settings.device)
    log.info("device=%s reason=%s", choice.device, choice.reason)

    remembered, turns = RememberedChoice(default_folder()), DeviceTurns()

    def load_weights(model: str) -> LoadedModel:
        return load_model(model, repo=settings.model_repo, licences=settings.licence_rule, mapped=True)

    def load(model: str) -> Separator:
        loaded = load_weights(model)
        log.info("loaded model=%s", json.dumps(loaded.describe()))
        return Separator(
            loaded,
            choice.device,
            settings.batch,
            parallel=settings.lanes,
            precision=settings.precision,
            choose=remembered,
            release=True,
            turns=turns,
        )

    models = LoadedModels(
        load,
        lambda separator: separator.model.parameter_bytes,
        budget_bytes=settings.model_cache_bytes,
        expected_bytes=_stated_bytes,
        changed=changed,
    )
    limits = Limits(settings.max_duration_seconds, settings.max_decoded_bytes, settings.decoder_memory_bytes)
    return ModelCache(models, choice, limits, remembered, load_weights, settings.analysis)


def _faults(settings: Settings) -> dict[str, str]:
    """The models of the operator's folder that cannot be used, and why."""
    own = names_in(settings.model_repo) if settings.all_models and settings.model_repo else ()
    faults = {name: fault_in_folder(name, settings.model_repo) for name in (*settings.allowed_models, *own)}
    return {name: fault for name, fault in faults.items() if fault}


def _stated_bytes(model: str) -> int:
    """The size of the weights by the catalogue; 0 if it does not know."""
    entry = catalogue().get(model)
    return (entry and entry.bytes) or 0


def _limit_memory(max_bytes: int) -> None:
    """Limits writable memory: torch and CUDA reserve terabytes of address space (RLIMIT_AS)."""
    if max_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))


def _limit_threads(count: int) -> None:
    if count:
        import torch

        torch.set_num_threads(count)


if __name__ == "__main__":
    sys.exit(main())
