"""Routes the messages of the separation process to the runs that they are about."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import IO, Any

from msaas.worker.protocol import TASK

Message = dict[str, Any]
Mailbox = SimpleQueue[Message | None]  # None: the process has ended; no message follows


class Mailboxes:
    """Reads one process's messages in a thread. `own` has those about no task."""

    def __init__(self, pipe: IO[str], on_message: Callable[[Message], object] = lambda _: None) -> None:
        """on_message: called with each message before it is delivered."""
        self.own: Mailbox = SimpleQueue()
        self._on_message = on_message
        self._lock = threading.Lock()
        self._of_tasks: dict[str, Mailbox] = {}
        self._ended = False
        threading.Thread(target=self._read, args=(pipe,), name="separation-output", daemon=True).start()

    @contextmanager
    def of(self, task: str) -> Iterator[Mailbox]:
        """A new box for the messages about a task. What comes after the context is dropped."""
        box: Mailbox = SimpleQueue()
        with self._lock:
            self._of_tasks[task] = box
            if self._ended:
                box.put(None)
        try:
            yield box
        finally:
            with self._lock:
                del self._of_tasks[task]

    def _read(self, pipe: IO[str]) -> None:
        with contextlib.suppress(ValueError, OSError):  # the pipe was closed, or ended within a line
            for text in pipe:
                self._deliver(json.loads(text))
        with self._lock:
            self._ended = True
            for box in (self.own, *self._of_tasks.values()):
                box.put(None)

    def _deliver(self, message: Message) -> None:
        self._on_message(message)
        with self._lock:
            box = self._of_tasks.get(message[TASK]) if TASK in message else self.own
        if box is not None:
            box.put(message)
