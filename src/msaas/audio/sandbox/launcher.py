"""Starts the fork server of this process and connects to it. Decodes nothing, and never forks itself."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import asdict

from msaas import interpreter
from msaas.audio.sandbox.protocol import DECODE, PROBE, Request
from msaas.settings.credentials import without_credentials

_VARIABLES = ("PATH", "HOME", "TMPDIR", "TZ", "LANG")
_VARIABLES_OF = ("LC_", "LD_", "DYLD_", "PYTHON", "MALLOC_", "NIX_")
_ENDING_SECONDS = 0.5  # from the end of a process' sockets to its own
# NumPy's threads would outnumber the one that forks, and each takes address space.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class ForkServer:
    """A handle on the process that forks. Started at the first request, started again if it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def connect(self, work: bytes) -> socket.socket:
        """Our end of a socket whose other end a fresh child reads."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._start(), [work], [theirs.fileno()])
            except OSError:
                self._stop()
                socket.send_fds(self._start(), [work], [theirs.fileno()])
        return ours

    def start(self) -> None:
        with self._lock:
            self._start()

    def stop(self) -> None:
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """In a fork of the caller: closes our copy, and leaves the process to the one that started it."""
        if self._control is not None:
            self._control.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def exit_status(self) -> int:
        """Where the process ended by itself: not where it runs, nor where a signal ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                return max(0, self._process.wait(_ENDING_SECONDS))
        return 0

    def _start(self) -> socket.socket:
        if self._control is not None:
            return self._control
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                interpreter.command("-c", "from msaas.audio.sandbox.fork_server import serve; serve()"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the caller's terminal is the caller's affair
                env=interpreter.environment(_inherited(os.environ)) | _ENVIRONMENT,
            )
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._control = self._process = None


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What Python and its libraries are found and started by. Credentials have names that nobody can list."""
    return {
        name: value
        for name, value in without_credentials(environ).items()
        if name in _VARIABLES or name.startswith(_VARIABLES_OF)
    }


_servers: dict[int, ForkServer] = {}  # by process id: a lock must not cross a fork


def mine() -> ForkServer:
    own = os.getpid()
    for pid in [pid for pid in list(_servers) if pid != own]:
        inherited = _servers.pop(pid, None)
        if inherited is not None:
            inherited.forget()
    if own not in _servers:
        atexit.register(stop)
    return _servers.setdefault(own, ForkServer())


def stop() -> None:
    """Ends this process's fork server, if there is one. The next request starts another."""
    server = _servers.get(os.getpid())
    if server is not None:
        server.stop()


def connect(request: Request, timeout_seconds: float | None) -> socket.socket:
    """A socket that the answers come out of; closing it ends the child at its next word. Raises OSError."""
    sock = mine().connect(DECODE if request.work == "decode" else PROBE)
    try:
        sock.settimeout(timeout_seconds)
        sock.sendall(json.dumps(asdict(request)).encode())
        sock.shutdown(socket.SHUT_WR)
    except BaseException:
        sock.close()
        raise
    return sock
