"""Starts the fork server of this process and connects to it. Does not fork itself."""

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
_ENDING_SECONDS = 0.5  # between the closing of a process's sockets and its end
# NumPy's threads break forking, and each takes address space.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class ForkServer:
    """A handle on the process that forks. Started at the first request, and again if it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def connect(self, work: bytes) -> socket.socket:
        """Returns our end of a socket whose other end a new child reads."""
        own_end, child_end = socket.socketpair()
        with child_end, self._lock:
            try:
                socket.send_fds(self._start(), [work], [child_end.fileno()])
            except OSError:
                self._stop()
                socket.send_fds(self._start(), [work], [child_end.fileno()])
        return own_end

    def start(self) -> None:
        with self._lock:
            self._start()

    def stop(self) -> None:
        with self._lock:
            self._stop()

    def detach(self) -> None:
        """In a fork of the caller: closes the copy of the socket without stopping the process, which belongs to the
        parent."""
        if self._control is not None:
            self._control.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def exit_status(self) -> int:
        """The exit status if the process ended by itself; 0 if it runs or was killed by a signal."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                return max(0, self._process.wait(_ENDING_SECONDS))
        return 0

    def _start(self) -> socket.socket:
        if self._control is not None:
            return self._control
        self._control, child_end = socket.socketpair()
        with child_end:
            self._process = subprocess.Popen(
                interpreter.command("-c", "from msaas.audio.sandbox.fork_server import serve; serve()"),
                stdin=child_end.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the caller's terminal is for the caller
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
    """The variables that Python and its libraries need; an allow list, since credentials can have any name."""
    return {
        name: value
        for name, value in without_credentials(environ).items()
        if name in _VARIABLES or name.startswith(_VARIABLES_OF)
    }


_servers: dict[int, ForkServer] = {}  # by process id: a lock must not cross a fork


def current() -> ForkServer:
    own = os.getpid()
    for pid in [pid for pid in list(_servers) if pid != own]:
        inherited = _servers.pop(pid, None)
        if inherited is not None:
            inherited.detach()
    if own not in _servers:
        atexit.register(stop)
    return _servers.setdefault(own, ForkServer())


def stop() -> None:
    """Ends this process's fork server, if there is one. The next request starts another."""
    server = _servers.get(os.getpid())
    if server is not None:
        server.stop()


def connect(request: Request, timeout_seconds: float | None) -> socket.socket:
    """A socket that delivers the answers; closing it ends the child. Raises OSError."""
    sock = current().connect(DECODE if request.work == "decode" else PROBE)
    try:
        sock.settimeout(timeout_seconds)
        sock.sendall(json.dumps(asdict(request)).encode())
        sock.shutdown(socket.SHUT_WR)
    except BaseException:
        sock.close()
        raise
    return sock
