"""Starts components in order, waits until each is ready, restarts those that die, stops them in reverse order.

All of it runs in the main thread, since a child dies with the thread that started it (see child.py).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType

from msaas.local.processes.child import Child, Interrupted, ProcessGuard, wait_until
from msaas.local.servers import OnLine, Server, StartFailed

POLL_SECONDS = 0.1
STEADY_SECONDS = 60.0  # a component that ran this long restarts immediately
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
STILL_WAITING_SECONDS = 15.0


class StopSignals:
    """Ctrl-C, SIGTERM and a closed terminal set a flag; repeated signals change nothing.

    make forwards SIGTERM to its children, which also get it from their process group: twice for one stop.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def install(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
            signal.signal(signal.SIGHUP, self._note)
        return self

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)

    def __bool__(self) -> bool:
        return self.received is not None


class Component:
    """One server of the stack and its current child process."""

    def __init__(self, server: Server, on_line: OnLine) -> None:
        self.server, self.on_line = server, on_line
        self.child: Child | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._started = self._due = 0.0

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.alive

    def launch(self, guard: ProcessGuard) -> None:
        self._started = time.monotonic()
        self.child = self.server.launch(guard, self.on_line)

    def clean_up_child(self) -> tuple[str, float]:
        """Cleans up after a dead child; returns how it ended and the seconds until its restart."""
        if self.child is None:
            raise RuntimeError(f"{self.name} has no child to clean up")
        self.child.kill()
        status, self.child = self.child.process.returncode, None
        if time.monotonic() - self._started > STEADY_SECONDS:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        pause, self._pause_seconds = self._pause_seconds, min(self._pause_seconds * 2, MAX_PAUSE_SECONDS)
        self._due = time.monotonic() + pause
        return how_it_ended(status), pause

    @property
    def due(self) -> bool:
        return self.child is None and time.monotonic() >= self._due

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop(self.server.grace_seconds)
            self.child = None
        self.server.clean_up()


class Stack:
    """`waves` are started one after the other, the components of a wave together; stopping follows `stop_order`."""

    def __init__(
        self, waves: Sequence[Sequence[Component]], guard: ProcessGuard, report: OnLine, stopping: Callable[[], bool]
    ) -> None:
        self._waves, self._guard, self._report, self._stopping = waves, guard, report, stopping

    @property
    def components(self) -> list[Component]:
        return [component for wave in self._waves for component in wave]

    def start(self) -> None:
        """Raises StartFailed with the component that failed, Interrupted after a signal."""
        for wave in self._waves:
            for component in wave:
                component.launch(self._guard)
            for component in wave:
                self._wait_until_ready(component)

    def _wait_until_ready(self, component: Component) -> None:
        began = reported = time.monotonic()
        while not (component.server.ready() and component.alive):
            now = time.monotonic()
            if self._stopping():
                raise Interrupted(f"stopped while {component.name} was starting")
            if not component.alive or now - began > component.server.limit_seconds:
                raise StartFailed(self._failure(component))
            if now - reported > STILL_WAITING_SECONDS:
                reported = now
                self._report(f"still waiting for {component.name} seconds={now - began:.0f}")
            time.sleep(POLL_SECONDS)
        self._report(f"{component.name} ready seconds={time.monotonic() - began:.1f}")

    def _failure(self, component: Component) -> str:
        child = component.child
        if child is None:
            return f"{component.name} did not start"
        what = f"is not ready after {component.server.limit_seconds:g} seconds"
        if not child.alive:
            child.kill()  # so that its last lines are read
            what = f"ended while starting ({how_it_ended(child.process.returncode)})"
        return "\n    ".join([f"{component.name} {what}; its last output:", *(child.tail or ["(nothing)"])])

    def supervise(self, until: Callable[[], bool]) -> None:
        """Restarts dead components until `until()` returns True or a signal arrives."""
        while not until() and not self._stopping():
            for component in self.components:
                self._restart_if_dead(component)
            time.sleep(POLL_SECONDS)

    def _restart_if_dead(self, component: Component) -> None:
        if component.child is not None and not component.child.alive:
            how, pause = component.clean_up_child()
            self._report(f"{component.name} ended ({how}); restarting in {pause:g} seconds")
        if component.due:
            component.launch(self._guard)
            self._report(f"{component.name} restarted")

    def stop(self, order: Iterable[str]) -> None:
        by_name = {component.name: component for component in self.components}
        for name in order:
            if name in by_name:
                began = time.monotonic()
                by_name[name].stop()
                self._report(f"{name} stopped seconds={time.monotonic() - began:.1f}")


def how_it_ended(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def wait_for(check: Callable[[], bool], limit_seconds: float, stopping: Callable[[], bool]) -> bool:
    """Returns False after the time limit. Raises Interrupted if `stopping()` returns True first."""

    def checked() -> bool:
        if check():
            return True
        if stopping():
            raise Interrupted("stopped while starting")
        return False

    return wait_until(checked, limit_seconds, pause_seconds=POLL_SECONDS)
