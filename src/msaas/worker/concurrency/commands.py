"""The commands of the supervisor, as the separation process reads them."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from msaas.worker.protocol import TASK, Task

IDLE_SECONDS = 2.0  # without a new song, before remembered engines are checked


@dataclass(frozen=True)
class Command:
    """A song to separate. `number` names the task in all messages about it."""

    number: str
    task: Task
    stopped: threading.Event  # set once the supervisor wants the run to stop


class CommandReader:
    """Reads the supervisor's commands in a thread, so that a stop is noticed during a run."""

    def __init__(self, source: TextIO) -> None:
        self._waiting: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._stops: dict[str, threading.Event] = {}
        threading.Thread(target=self._listen, args=(source,), name="orders", daemon=True).start()

    def next(self, idle: Callable[[], bool] = lambda: True) -> Command:
        """Waits for the next song. idle: called every IDLE_SECONDS without one, until it returns True."""
        while True:
            try:
                return self._waiting.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                if idle():
                    return self._waiting.get()

    def has_next(self) -> bool:
        return not self._waiting.empty()

    def finished(self, command: Command) -> None:
        """The run is over; a stop that comes later is ignored."""
        self._stops.pop(command.number, None)

    def _listen(self, source: TextIO) -> None:
        for text in source:
            message = json.loads(text)
            if "stop" in message:
                if stop := self._stops.get(message["stop"]):
                    stop.set()
            else:
                command = Command(message[TASK], Task.from_message(message["separate"]), threading.Event())
                self._stops[command.number] = command.stopped
                self._waiting.put(command)
        os._exit(0)  # the supervisor has gone, so a run or download in progress is useless
