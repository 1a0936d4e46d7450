"""`msaas up`: runs Valkey, S3, API and worker in one folder. Checks ports and the folder's lock before starting any."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from msaas.client import DEFAULT_URL
from msaas.command import typed
from msaas.local.external import wait_for_external
from msaas.local.folder import Folder, LiveStack
from msaas.local.model import ModelChoice
from msaas.local.plan import STOP_ORDER, Plan, StackComponents, assemble, is_shown
from msaas.local.processes.child import Interrupted, ProcessGuard
from msaas.local.processes.stack import Component, Stack, StopSignals
from msaas.local.servers import OnLine
from msaas.local.services import reachable
from msaas.local.stream import LogStream, framed
from msaas.settings import Settings


@dataclass(frozen=True)
class Running:
    """A stack that is ready."""

    url: str
    model: ModelChoice
    settings: Settings
    stack: Stack


@contextmanager
def local_stack(plan: Plan, out: TextIO, err: TextIO, stopping: Callable[[], bool]) -> Iterator[Running]:
    """Locks the folder, starts everything, yields once all is ready, stops everything. Logs go to `out`.

    Raises SettingsError, UnusablePath, StackRunning, PortTaken, StartFailed; Interrupted if `stopping()` returns True
    first.
    """
    settings = Settings.from_env(plan.environ)
    stream = LogStream(out)
    folder = Folder(plan.folder.resolve())
    folder.lock()
    try:
        ports, scratch = plan.ports(settings), plan.scratch(settings, folder)
        model = plan.choose(plan.environ)
        if model.warning:
            err.write(framed(model.warning) + "\n")
            err.flush()
        components = assemble(plan, folder, ports, scratch, model)
        with _started(components, folder, stream, stopping) as stack:
            service_settings = Settings.from_env(components.environ)
            running = Running(f"http://{_shown(service_settings.host)}:{ports.api}", model, service_settings, stack)
            folder.write_state(LiveStack(os.getpid(), running.url, model.name, model.warning))
            yield running
    finally:
        folder.unlock()


@contextmanager
def _started(
    components: StackComponents, folder: Folder, stream: LogStream, stopping: Callable[[], bool]
) -> Iterator[Stack]:
    report = stream.component("msaas")
    guard = ProcessGuard(keep_open=[folder.lock_fd])
    waves = [
        [Component(server, stream.component(server.name, shows=is_shown(server.name))) for server in wave]
        for wave in (components.servers, components.services)
    ]
    stack = Stack(waves, guard, report, stopping)
    try:
        wait_for_external(components, report, stopping)
        stack.start()
        yield stack
    finally:
        stack.stop(STOP_ORDER)
        guard.close()


def _shown(host: str) -> str:
    reached = reachable(host)
    return "localhost" if reached == "127.0.0.1" else f"[{reached}]" if ":" in reached else reached


def serve(plan: Plan) -> int:
    """Runs the stack until Ctrl-C or SIGTERM, which both exit with status 0."""
    stopping = StopSignals().install()
    try:
        with local_stack(plan, sys.stdout, sys.stderr, lambda: bool(stopping)) as running:
            _announce(running, LogStream(sys.stdout).component("msaas"))
            running.stack.supervise(lambda: False)
    except Interrupted:
        pass
    return 0


def _announce(running: Running, report: OnLine) -> None:
    settings = running.settings
    report(f"redis={settings.redis_host} s3={settings.minio_host} model={running.model.name}")
    address = "" if running.url == DEFAULT_URL else f" --url {running.url}"
    report(f"ready: {running.url} (Ctrl-C to stop); try: {typed(f'separate song.mp3{address}')}")
