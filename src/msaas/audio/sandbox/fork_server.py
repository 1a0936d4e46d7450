"""Forks short-lived processes for uploaded files, in milliseconds, from a process that has FFmpeg loaded.

The caller ── one byte and a socket ──▶ fork server (one thread, loads PyAV once, ends with the caller)
                                          └─ fork ──▶ child: sandbox, work, answer into the socket, exit

multiprocessing's forkserver does not fit: its children import the caller's __main__ again, which in a server script
starts a server. This one never imports it. It gets no credentials (msaas.audio.sandbox.launcher).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import sys

from msaas.audio.sandbox import child, protocol, restrictions
from msaas.audio.sandbox.protocol import DECODE

_REQUEST_BYTES = 1 << 16
_MAX_DESCRIPTORS = 1 << 10
_NOT_OF_DECODING = ("__main__", "datasets")  # modules of PyAV that are not needed: its command, and a downloader


def serve() -> None:
    """Runs until the caller's end closes: forks a child for each socket that it receives."""
    import_all_of_pyav()
    restrictions.code_folders()  # its lookups are cached, too
    restrictions.lower(resource.RLIMIT_NOFILE, _MAX_DESCRIPTORS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake up the poll through the pipe
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
            children.kill(fd)  # before the numbers of its descriptors are reused
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 1 << 12)
            children.reap()
        if control.fileno() in ready and not _fork(control, children):
            children.kill_all()
            return


def import_all_of_pyav() -> None:
    """Imports what PyAV would import lazily: inside the sandbox those files may be unreadable."""
    import av

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name.rpartition(".")[2] not in _NOT_OF_DECODING:
            with contextlib.suppress(ImportError):  # a module that is needed fails when it is used
                importlib.import_module(module.name)


def _fork(control: socket.socket, children: _Children) -> bool:
    """Returns False once the caller has gone."""
    work, fds, _flags, _address = socket.recv_fds(control, 1, 1)
    if not work:
        return False
    if work == DECODE:
        child.load_decoder()
    for fd in fds:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            _child(fd, server)
        children.add(pid, socket.socket(fileno=fd))
    return True


class _Children:
    """The running processes, each with our end of its caller's socket.

    A child whose caller has gone is killed, since it could have postponed its alarm.
    """

    def __init__(self) -> None:
        self.poll = select.poll()
        self._running: dict[int, socket.socket] = {}  # by process id

    def add(self, pid: int, sock: socket.socket) -> None:
        self._running[pid] = sock
        if sys.platform == "linux":  # elsewhere a half-closed socket looks like a closed one
            self.poll.register(sock.fileno(), 0)  # for POLLHUP, which is always reported

    def kill(self, descriptor: int) -> None:
        for pid, sock in self._running.items():
            if sock.fileno() == descriptor:
                os.kill(pid, signal.SIGKILL)
                self.poll.unregister(descriptor)

    def kill_all(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)

    def reap(self) -> None:
        """Reports the signal that ended a child to its caller."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._report(self._running.pop(pid), status)

    def _report(self, sock: socket.socket, status: int) -> None:
        with contextlib.suppress(KeyError):  # its caller has gone
            self.poll.unregister(sock.fileno())
        with sock, contextlib.suppress(OSError):
            sock.setblocking(False)  # a caller that does not read must not block the others
            if os.WIFSIGNALED(status):
                protocol.send(sock, protocol.Kind.DIED, json.dumps(os.WTERMSIG(status)).encode())


def _child(fd: int, server: int) -> None:
    """Never returns: this process answers or dies."""
    try:
        restrictions.end_with_parent(server)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        own = os.dup2(fd, 3) if fd != 3 else 3
        os.closerange(4, _MAX_DESCRIPTORS)  # the fork server's socket and its other children's
        nothing = os.open(os.devnull, os.O_RDWR)
        # 2 is the log: a file must not write to it, neither directly nor through PyAV's messages
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.close(nothing)
        with socket.socket(fileno=own) as sock:
            child.answer(sock, protocol.Request(**json.loads(_read_all(sock))))
    finally:
        os._exit(0)


def _read_all(sock: socket.socket) -> bytes:
    message = b""
    while part := sock.recv(_REQUEST_BYTES):
        message += part
    return message
