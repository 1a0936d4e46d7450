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
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from msaas import interpreter
from msaas.audio.sandbox import protocol
from msaas.settings import without_credentials

PROBE, DECODE = b"p", b"d"
_REQUEST_BYTES = 1 << 16
_MOST_DESCRIPTORS = 1 << 10
_VARIABLES = ("PATH", "HOME", "TMPDIR", "TZ", "LANG")
_VARIABLES_OF = ("LC_", "LD_", "DYLD_", "PYTHON", "MALLOC_", "NIX_")
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


class _ForkServer:
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


_helpers: dict[int, _ForkServer] = {}  # by process id: a lock must not cross a fork


def mine() -> _ForkServer:
    own = os.getpid()
    for pid in [pid for pid in list(_helpers) if pid != own]:
        inherited = _helpers.pop(pid, None)
        if inherited is not None:
            inherited.forget()
    if own not in _helpers:
        atexit.register(stop)
    return _helpers.setdefault(own, _ForkServer())


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
    from msaas.audio.decode import probe  # noqa: F401 – loaded here once, so that the children need not
    from msaas.audio.sandbox import restrictions

    import_all_of_pyav()
    restrictions.code_folders()  # what it looks up is kept, too
    restrictions.lower(resource.RLIMIT_NOFILE, _MOST_DESCRIPTORS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # for the byte in the pipe alone
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    control, children = socket.socket(fileno=os.dup(0)), _Children()
    for fd in (control.fileno(), wake):
        children.poll.register(fd, select.POLLIN)
    while True:
        ready = {fd for fd, _event in children.poll.poll()}
        for fd in ready - {control.fileno(), wake}:
            children.kill(fd)  # before others get the numbers of its descriptors
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 1 << 12)
            children.reap()
        if control.fileno() in ready and not _fork(control, children):
            children.kill_all()
            return


def import_all_of_pyav() -> None:
    """PyAV imports some of its modules as it first meets what they are for; behind the fences no file may be there."""
    import av

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name.rpartition(".")[2] not in _NOT_OF_DECODING:
            with contextlib.suppress(ImportError):  # what is missing here is missed where it is used
                importlib.import_module(module.name)


def _fork(control: socket.socket, children: _Children) -> bool:
    """False once the caller is gone."""
    work, fds, _flags, _address = socket.recv_fds(control, 1, 1)
    if not work:
        return False
    if work == DECODE:
        from msaas.audio.sandbox import decoder  # noqa: F401 – with NumPy, which a probe has no use for
    for fd in fds:
        helper = os.getpid()
        pid = os.fork()
        if pid == 0:
            _child(fd, helper)
        children.add(pid, socket.socket(fileno=fd))
    return True


class _Children:
    """The processes that run, each with our end of its caller's socket. One whose caller has gone is killed: it could
    have put off its alarm."""

    def __init__(self) -> None:
        self.poll = select.poll()
        self._running: dict[int, socket.socket] = {}  # by process id

    def add(self, pid: int, sock: socket.socket) -> None:
        self._running[pid] = sock
        if sys.platform == "linux":  # elsewhere a caller that has said all looks like one that has gone
            self.poll.register(sock.fileno(), 0)  # for POLLHUP, which is always told

    def kill(self, descriptor: int) -> None:
        for pid, sock in self._running.items():
            if sock.fileno() == descriptor:
                os.kill(pid, signal.SIGKILL)
                self.poll.unregister(descriptor)

    def kill_all(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)

    def reap(self) -> None:
        """Tells each ended child's caller what signal ended it, if one did: its silence would not say."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._tell(self._running.pop(pid), status)

    def _tell(self, sock: socket.socket, status: int) -> None:
        with contextlib.suppress(KeyError):  # its caller has gone
            self.poll.unregister(sock.fileno())
        with sock, contextlib.suppress(OSError):
            sock.setblocking(False)  # a caller that does not listen must not hold up the others
            if os.WIFSIGNALED(status):
                protocol.send(sock, protocol.Kind.DIED, json.dumps(os.WTERMSIG(status)).encode())


def _child(fd: int, helper: int) -> None:
    """Never returns: whatever happens, this process answers or dies."""
    try:
        from msaas.audio.sandbox import restrictions

        restrictions.die_with(helper)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        own = os.dup2(fd, 3) if fd != 3 else 3
        os.closerange(4, _MOST_DESCRIPTORS)  # the helper's socket and its other children's
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # 2 is the log: a file must not write into it, nor make PyAV do so line by line
            os.dup2(nothing, stream)
        os.close(nothing)
        with socket.socket(fileno=own) as sock:
            from msaas.audio.sandbox.client import answer

            answer(sock, Request(**json.loads(_read_all(sock))))
    finally:
        os._exit(0)


def _read_all(sock: socket.socket) -> bytes:
    message = b""
    while part := sock.recv(_REQUEST_BYTES):
        message += part
    return message
