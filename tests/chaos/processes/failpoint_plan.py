"""Arms the failpoints of one process, as the suite tells it to: `before-put:2=kill` is the second put of a run.

`CHAOS_PLAN` holds one such order for each run of a worker, by commas (`-`: none); the last one stays. A reaper or an
API arms its first order at once.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from redis.connection import AbstractConnection

from msaas import failpoints
from tests.chaos.lab.history import History


@dataclass(frozen=True)
class Order:
    point: str
    count: int
    action: str

    @classmethod
    def parse(cls, text: str) -> Order:
        """`point[:count]=action`."""
        point, _, action = text.partition("=")
        name, _, count = point.partition(":")
        return cls(name, int(count or 1), action)


def parse_plan(text: str) -> list[Order | None]:
    return [None if part == "-" else Order.parse(part) for part in text.split(",") if part]


class Fuse:
    """Goes off once, at the n-th hit of its point, whichever thread that is in."""

    def __init__(self, order: Order, act: Callable[[], None], history: History) -> None:
        self._order, self._act, self._history = order, act, history
        self._left = order.count
        self._lock = threading.Lock()

    def hit(self) -> None:
        with self._lock:
            self._left -= 1
            due = self._left == 0
        if due:
            self._history.note("fuse", point=self._order.point, count=self._order.count, action=self._order.action)
            self._act()


class ArmedFailpoints:
    def __init__(self, history: History, cancel: Callable[[], None] = lambda: None) -> None:
        self._history = history
        self._actions: dict[str, Callable[[], None]] = {
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
            "cancel": cancel,
            "full": _disk_full,
        }

    def arm(self, order: Order | None) -> None:
        failpoints.disarm()
        if order is not None:
            failpoints.arm(order.point, Fuse(order, self._actions[order.action], self._history).hit)


def _disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def mark_redis_commands() -> None:
    """Makes every command sent to Redis a failpoint, `redis-command`: whatever takes two commands can be cut there."""
    send = AbstractConnection.send_packed_command

    def sending(self: AbstractConnection, command: object, check_health: bool = True) -> object:
        failpoints.hit("redis-command")
        return send(self, command, check_health)

    AbstractConnection.send_packed_command = sending  # type: ignore[method-assign,assignment]
