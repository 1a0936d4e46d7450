"""The requests to an isolated process and its answers: messages through a socket. Decodes no audio."""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

_HEAD = struct.Struct("=BI")

MAX_BYTES = 1 << 24  # of a payload: many times the largest block of samples
PROBE, DECODE = b"p", b"d"  # the work that a child is forked for


@dataclass(frozen=True)
class Request:
    """`sample_rate` and what follows apply to decoding only."""

    work: str  # probe, tags or decode
    path: str
    max_duration_seconds: float
    max_decoded_bytes: int
    seconds: float  # of a probe as a whole; of decoding, between two blocks
    memory_bytes: int
    cpu_seconds: float
    sample_rate: int = 0
    channels: int = 0
    gain: float = 1.0
    start_seconds: float = 0.0
    end_seconds: float | None = None


class Kind(IntEnum):
    ANSWER = 1  # JSON: the result, the last message of a process that succeeds
    REFUSAL = 2  # JSON: code, detail, and errno for a system error
    BLOCK = 3  # float32 samples, channel by channel; or a cover
    DIED = 4  # JSON: the signal that ended the process, sent by the fork server


def send(sock: socket.socket, kind: Kind, payload: bytes | memoryview) -> None:
    sock.sendall(_HEAD.pack(kind, len(payload)))
    sock.sendall(payload)


def receive(sock: socket.socket) -> tuple[Kind, bytearray] | None:
    """Returns None if the other end has closed, even within a message.

    Raises OSError as the socket does (TimeoutError), and for a malformed message, which a compromised decoder may send.
    """
    head = _exactly(sock, _HEAD.size)
    if head is None:
        return None
    kind, length = _HEAD.unpack(head)
    if length > MAX_BYTES or kind not in iter(Kind):
        raise OSError(errno.EBADMSG, f"a message of kind {kind} and {length} bytes")
    payload = _exactly(sock, length)
    return None if payload is None else (Kind(kind), payload)


def _exactly(sock: socket.socket, count: int) -> bytearray | None:
    data = bytearray(count)
    view, got = memoryview(data), 0
    while got < count:
        size = sock.recv_into(view[got:])
        if size == 0:
            return None
        got += size
    return data
