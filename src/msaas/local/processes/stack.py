"""Starts parts in order, waits until each is ready, brings back those that die, stops them in reverse. Knows no ports.

Everything here runs in the main thread, since a child dies with the thread that started it (see processes.py).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType

from msaas.local.processes.child import Child, Interrupted, ProcessGuard, wait_until
from msaas.local.servers import OnLine, Server, StartFailed

POLL_SECONDS = 0.1
STEADY_SECONDS = 60.0  # a part that ran this long starts again at once
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STILL_WAITING_SECONDS = 15.0


class StopSignals:
    """Ctrl-C, SIGTERM and a closed terminal set a flag; again and again they set the same flag.

    make passes SIGTERM on to its children, who get it from their group as well: two for one.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def install(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has asked for that
            signal.signal(signal.SIGHUP, self._note)
        return self

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)

    def __bool__(self) -> bool:
        return self.received is not None


class Component:
    """One server of the stack and its present child."""

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

    def bury(self) -> tuple[str, float]:
        """Clears what the dead child left; says how it ended and in how many seconds it is due again."""
        if self.child is None:
            raise RuntimeError(f"{self.name} has no child to bury")
        self.child.kill()
        status, self.child = self.child.process.returncode, None
        if time.monotonic() - self._started > STEADY_SECONDS:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        pause, self._pause_seconds = self._pause_seconds, min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
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
    """`waves` are started one after the other, the parts of one wave together; stopping goes by `stop_order`."""

    def __init__(
        self, waves: Sequence[Sequence[Component]], guard: ProcessGuard, say: OnLine, stopping: Callable[[], bool]
    ) -> None:
        self._waves, self._guard, self._say, self._stopping = waves, guard, say, stopping

    @property
    def parts(self) -> list[Component]:
        return [part for wave in self._waves for part in wave]

    def start(self) -> None:
        """Raises StartFailed naming the part that did not come up, Interrupted where a signal came first."""
        for wave in self._waves:
            for part in wave:
                part.launch(self._guard)
            for part in wave:
                self._await(part)

    def _await(self, part: Component) -> None:
        began = heard = time.monotonic()
        while not (part.server.ready() and part.alive):
            now = time.monotonic()
            if self._stopping():
                raise Interrupted(f"stopped while {part.name} was starting")
            if not part.alive or now - began > part.server.limit_seconds:
                raise StartFailed(self._failure(part))
            if now - heard > STILL_WAITING_SECONDS:
                heard = now
                self._say(f"still waiting for {part.name} seconds={now - began:.0f}")
            time.sleep(POLL_SECONDS)
        self._say(f"{part.name} ready seconds={time.monotonic() - began:.1f}")

    def _failure(self, part: Component) -> str:
        child = part.child
        if child is None:
            return f"{part.name} did not start"
        what = f"is not ready after {part.server.limit_seconds:g} seconds"
        if not child.alive:
            child.kill()  # and its last lines are read
            what = f"ended while starting ({how_it_ended(child.process.returncode)})"
        return "\n    ".join([f"{part.name} {what}; it said last:", *(child.tail or ["(nothing)"])])

    def supervise(self, until: Callable[[], bool]) -> None:
        """Returns once `until()` or a signal says so; until then dead parts are brought back."""
        while not until() and not self._stopping():
            for part in self.parts:
                self._look_after(part)
            time.sleep(POLL_SECONDS)

    def _look_after(self, part: Component) -> None:
        if part.child is not None and not part.child.alive:
            how, pause = part.bury()
            self._say(f"{part.name} ended ({how}); starting again in {pause:g} seconds")
        if part.due:
            part.launch(self._guard)
            self._say(f"{part.name} started again")

    def stop(self, order: Iterable[str]) -> None:
        by_name = {part.name: part for part in self.parts}
        for name in order:
            if name in by_name:
                began = time.monotonic()
                by_name[name].stop()
                self._say(f"{name} stopped seconds={time.monotonic() - began:.1f}")


def how_it_ended(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def wait_for(check: Callable[[], bool], limit_seconds: float, stopping: Callable[[], bool]) -> bool:
    """False when the time is up. Raises Interrupted where `stopping()` came first."""

    def checked() -> bool:
        if check():
            return True
        if stopping():
            raise Interrupted("stopped while starting")
        return False

    return wait_until(checked, limit_seconds, pause_seconds=POLL_SECONDS)
