"""Runs probes in short-lived processes, forked in milliseconds from a helper that has FFmpeg loaded. Decodes nothing.

The caller ── one byte and a socket ──▶ helper (one thread, loads PyAV once, ends when the caller does)
                                          └─ fork ──▶ child: limits, probe, one line of JSON into the socket, exit

multiprocessing's forkserver is no use here: its children import the caller's __main__ again, which in a server
script starts a server. A helper of our own never sees it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from msaas.errors import AudioError, AudioTooLong, NotAudio

EXTRA_MEMORY_BYTES = 512 << 20  # address space above what the helper has with FFmpeg loaded
_START_SECONDS = 20.0  # for the helper itself, on a machine that is busy with songs
_REQUEST_BYTES = 1 << 16


@dataclass(frozen=True)
class Request:
    path: str
    max_duration_seconds: float
    max_decoded_bytes: int
    timeout_seconds: float = 10.0


def ask(request: Request, timeout_seconds: float) -> dict[str, Any]:
    """The fields of a Probe. Raises AudioError as the probe did; NotAudio where it gave no answer."""
    started = time.monotonic()
    message = json.dumps(asdict(request) | {"timeout_seconds": timeout_seconds}).encode()
    with _helper().connect() as sock:
        answer = _exchange(sock, message, started + timeout_seconds + _START_SECONDS)
    if not answer:
        if time.monotonic() - started >= timeout_seconds:
            raise NotAudio(f"the file could not be read within {timeout_seconds:g} seconds")
        raise NotAudio("the file broke the decoder")
    fields: dict[str, Any] = json.loads(answer)
    if "error" in fields:
        raise _ERRORS.get(fields["error"], NotAudio)(fields["detail"])
    return fields


_ERRORS: dict[str, type[AudioError]] = {kind.code: kind for kind in (NotAudio, AudioTooLong)}


def _exchange(sock: socket.socket, message: bytes, deadline: float) -> bytes:
    answer = b""
    try:
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        sock.sendall(message)
        sock.shutdown(socket.SHUT_WR)
        while part := sock.recv(_REQUEST_BYTES):
            answer += part
            sock.settimeout(max(0.01, deadline - time.monotonic()))
    except OSError:
        return b""  # the child is gone, or will be when its alarm rings
    return answer


class _Helper:
    """The process that forks. Started at the first probe, started again if it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def connect(self) -> socket.socket:
        """Our end of a socket whose other end a fresh child reads."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._start(), [b"."], [theirs.fileno()])
            except OSError:
                self._stop()
                socket.send_fds(self._start(), [b"."], [theirs.fileno()])
        return ours

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

    def _start(self) -> socket.socket:
        if self._control is not None:
            return self._control
        self._control, theirs = socket.socketpair()
        source = str(Path(__file__).parents[2])  # found again where msaas is run from a checkout
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from msaas.audio.isolate import serve; serve()"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the caller's terminal is the caller's affair
                env=environment,
            )
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._control = self._process = None


_helpers: dict[int, _Helper] = {}  # by process id: gunicorn forks its workers, and a lock must not cross a fork


def _helper() -> _Helper:
    mine = os.getpid()
    for pid in [pid for pid in list(_helpers) if pid != mine]:
        inherited = _helpers.pop(pid, None)
        if inherited is not None:
            inherited.forget()
    if mine not in _helpers:
        atexit.register(stop)
    return _helpers.setdefault(mine, _Helper())


def stop() -> None:
    """Ends this process's helper, if there is one. The next probe starts another."""
    helper = _helpers.get(os.getpid())
    if helper is not None:
        helper.stop()


def serve() -> None:
    """The helper's whole life: forks a child for each socket it is sent, until the caller's end closes."""
    from msaas.audio import probe  # noqa: F401 – loaded here once, so that the children need not

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=os.dup(0))
    while True:
        byte, fds, _flags, _address = socket.recv_fds(control, 1, 1)
        if not byte:
            return
        for fd in fds:
            if os.fork() == 0:
                _child(fd)
            os.close(fd)


def _child(fd: int) -> None:
    """Never returns: whatever happens, this process answers or dies."""
    try:
        with socket.socket(fileno=fd) as sock:
            request = Request(**json.loads(_read_all(sock)))
            _limit_self(request.timeout_seconds)
            sock.sendall(json.dumps(_answer(request)).encode())
    finally:
        os._exit(0)


def _read_all(sock: socket.socket) -> bytes:
    message = b""
    while part := sock.recv(_REQUEST_BYTES):
        message += part
    return message


def _limit_self(timeout_seconds: float) -> None:
    """The alarm's default action ends the process, in the midst of C code too."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, timeout_seconds)
    _lower(resource.RLIMIT_CPU, ceil(timeout_seconds) + 1)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    with contextlib.suppress(OSError):  # macOS has no /proc, and no such limit
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + EXTRA_MEMORY_BYTES)


def _lower(limit: int, value: int) -> None:
    _soft, hard = resource.getrlimit(limit)
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (lowest, lowest))


def _answer(request: Request) -> dict[str, Any]:
    from msaas.audio.limits import Limits
    from msaas.audio.probe import probe

    try:
        limits = Limits(request.max_duration_seconds, request.max_decoded_bytes)
        return asdict(probe(Path(request.path), limits))
    except AudioError as error:
        return {"error": error.code, "detail": error.detail}
    except MemoryError:
        return {"error": NotAudio.code, "detail": "reading the file needs more memory than a probe may have"}
    except Exception as error:  # an unforeseen one is the file's doing too: it must not look like a server fault
        return {"error": NotAudio.code, "detail": f"the file cannot be read: {type(error).__name__}"}
