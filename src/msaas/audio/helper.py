"""Short-lived processes for strangers' files, forked in milliseconds from a helper that has FFmpeg loaded.

The caller ── one byte and a socket ──▶ helper (one thread, loads PyAV once, ends when the caller does)
                                          └─ fork ──▶ child: fences, work, answers into the socket, exit

multiprocessing's forkserver is no use here: its children import the caller's __main__ again, which in a server
script starts a server. A helper of our own never sees it. It gets no credentials.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import threading
import traceback
from dataclasses import asdict, dataclass

from msaas import interpreter
from msaas.audio import wire
from msaas.settings import without_credentials

PROBE, DECODE = b"p", b"d"
_REQUEST_BYTES = 1 << 16
_ENDING_SECONDS = 0.5  # from the end of a process' sockets to its own
_NOT_OF_DECODING = ("__main__", "datasets")  # modules of PyAV: its command, and a downloader
# NumPy's threads would outnumber the one that forks, and each takes address space.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Request:
    """`sample_rate`, `channels` and `gain` count for decoding alone."""

    work: str
    path: str
    max_duration_seconds: float
    max_decoded_bytes: int
    seconds: float  # of a probe in all, of decoding from one block to the next
    memory_bytes: int
    cpu_seconds: float
    sample_rate: int = 0
    channels: int = 0
    gain: float = 1.0


class _Helper:
    """The process that forks. Started at the first request, started again if it died."""

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
                interpreter.command("-c", "from msaas.audio.helper import serve; serve()"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the caller's terminal is the caller's affair
                env=interpreter.environment(without_credentials(os.environ)) | _ENVIRONMENT,
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


def mine() -> _Helper:
    own = os.getpid()
    for pid in [pid for pid in list(_helpers) if pid != own]:
        inherited = _helpers.pop(pid, None)
        if inherited is not None:
            inherited.forget()
    if own not in _helpers:
        atexit.register(stop)
    return _helpers.setdefault(own, _Helper())


def stop() -> None:
    """Ends this process's helper, if there is one. The next request starts another."""
    helper = _helpers.get(os.getpid())
    if helper is not None:
        helper.stop()


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


# --- the helper's side


def serve() -> None:
    """The helper's whole life: forks a child for each socket it is sent, until the caller's end closes."""
    from msaas.audio import probe  # noqa: F401 – loaded here once, so that the children need not

    import_all_of_pyav()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # for the byte in the pipe alone
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    control = socket.socket(fileno=os.dup(0))
    children: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 1 << 12)
            _reap(children)
        if control.fileno() in ready and not _fork(control, children):
            return


def import_all_of_pyav() -> None:
    """PyAV imports some of its modules as it first meets what they are for; behind the fences no file may be there."""
    import av

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name.rpartition(".")[2] not in _NOT_OF_DECODING:
            with contextlib.suppress(ImportError):  # what is missing here is missed where it is used
                importlib.import_module(module.name)


def _fork(control: socket.socket, children: dict[int, socket.socket]) -> bool:
    """False once the caller is gone."""
    work, fds, _flags, _address = socket.recv_fds(control, 1, 1)
    if not work:
        return False
    if work == DECODE:
        from msaas.audio import remote  # noqa: F401 – with NumPy, which a probe has no use for
    for fd in fds:
        pid = os.fork()
        if pid == 0:
            _child(fd)
        children[pid] = socket.socket(fileno=fd)
    return True


def _reap(children: dict[int, socket.socket]) -> None:
    """Tells each ended child's caller what signal ended it, if one did: its silence would not say."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        with children.pop(pid) as sock, contextlib.suppress(OSError):
            sock.setblocking(False)  # a caller that does not listen must not hold up the others
            if os.WIFSIGNALED(status):
                wire.send(sock, wire.Kind.DIED, json.dumps(os.WTERMSIG(status)).encode())


def _child(fd: int) -> None:
    """Never returns: whatever happens, this process answers or dies."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        own = os.dup2(fd, 3) if fd != 3 else 3
        os.closerange(4, 1 << 10)  # the helper's socket and its other children's are none of this one's business
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        with socket.socket(fileno=own) as sock:
            from msaas.audio.isolate import answer

            answer(sock, Request(**json.loads(_read_all(sock))))
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(0)


def _read_all(sock: socket.socket) -> bytes:
    message = b""
    while part := sock.recv(_REQUEST_BYTES):
        message += part
    return message
