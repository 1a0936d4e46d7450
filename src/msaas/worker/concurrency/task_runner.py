"""Runs the songs that the supervisor sends, in the separation process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NoReturn

from msaas.worker.concurrency.commands import Command, CommandReader


class TaskRunner:
    """Runs one song after the other in the calling thread, or several in a thread each. The supervisor sends no more at
    a time than `songs`."""

    def __init__(
        self,
        commands: CommandReader,
        attempt: Callable[[Command], object],
        check_engines: Callable[[], object],
        *,
        songs: int,
    ) -> None:
        """attempt: runs a song to its end. check_engines: called in the calling thread once after songs, when none has
        come for a while."""
        self._commands, self._run_one, self._check_engines = commands, attempt, check_engines
        self._songs = songs
        self._running: set[str] = set()  # task numbers
        self._unchecked = False  # whether a song was run since the engines were checked

    def run(self) -> NoReturn:
        while True:
            command = self._commands.next(idle=self._idle)
            self._running.add(command.number)
            if self._songs == 1:
                self._attempt(command)
            else:
                threading.Thread(target=self._attempt, args=(command,), name=f"song-{command.number}").start()

    def _attempt(self, command: Command) -> None:
        try:
            self._run_one(command)
        finally:
            self._commands.finished(command)
            self._unchecked = True
            self._running.discard(command.number)

    def _idle(self) -> bool:
        """Returns whether there is nothing to do until the next song."""
        if self._running:
            return False
        if self._unchecked:
            self._unchecked = False
            self._check_engines()
        return True
