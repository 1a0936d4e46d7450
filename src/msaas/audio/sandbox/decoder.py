"""A song decoded in a process of its own, behind fences: what breaks the decoder there breaks nothing here.

The same blocks, report and errors as msaas.audio.decode.decoder.Decoder's, which does the work on the other side.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from msaas.audio.decode.decoder import DecodeReport
from msaas.audio.decode.resample import Block
from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher, protocol
from msaas.audio.sandbox.client import START_SECONDS, read_answer
from msaas.audio.sandbox.protocol import Request
from msaas.errors import AudioTooLong, ChildDied

STALL_SECONDS = 60.0  # from one block to the next: a second's audio takes a few milliseconds
# Decoding runs a hundred times faster than the song plays, and more; what takes a tenth of its time is no song.
CPU_SECONDS, CPU_PER_SECOND = 60.0, 0.1


class IsolatedDecoder:
    """A song as blocks of [channels, n] float32 at `sample_rate`; each call of `blocks` starts anew."""

    def __init__(self, path: Path, *, sample_rate: int, channels: int, limits: Limits | None = None) -> None:
        self.path, self.sample_rate, self.channels = path, sample_rate, channels
        self.limits = limits or Limits()
        self.gain = 1.0  # as Decoder's
        self.report = DecodeReport()

    def blocks(self) -> Iterator[Block]:
        """As Decoder.blocks. Raises what that raises, NotAudio too where the file broke the process or stalled it,
        DecodedTooLarge where it took too much memory, ChildDied where the process was killed from outside,
        SandboxError where it failed by no fault of the song's."""
        self.path.stat()  # a missing file is the caller's fault, not the song's
        request = self._request()
        try:
            sock = launcher.connect(request, STALL_SECONDS + START_SECONDS)
        except OSError as error:
            raise ChildDied(f"no process to decode in: {error}") from error
        left = ceil((self.limits.max_duration_seconds + 1) * self.sample_rate)
        with sock:
            while (message := _receive(sock)) and message[0] is protocol.Kind.BLOCK:
                block = self._block(message[1])
                left -= block.shape[1]
                if left < 0:  # the process counts too, unless it was taken over
                    raise AudioTooLong(f"more than {self.limits.max_duration_seconds:g} seconds, the limit")
                yield block
            self.report = _report(read_answer(request, message))
            self.gain = self.report.gain

    def _block(self, payload: bytearray) -> Block:
        """Raises ChildDied where it is none: the process was taken over, or broke."""
        try:
            block = np.frombuffer(payload, np.float32).reshape(self.channels, -1)
        except ValueError as error:
            raise ChildDied("the process that read the song sent half a sample") from error
        if not np.isfinite(block).all():
            raise ChildDied("the process that read the song sent samples that are no numbers")
        return block

    def _request(self) -> Request:
        seconds = self.limits.max_duration_seconds
        return Request(
            work="decode",
            path=str(self.path.absolute()),
            max_duration_seconds=seconds,
            max_decoded_bytes=self.limits.max_decoded_bytes,
            seconds=STALL_SECONDS,
            memory_bytes=self.limits.memory_bytes,
            cpu_seconds=CPU_SECONDS + CPU_PER_SECOND * seconds,
            sample_rate=self.sample_rate,
            channels=self.channels,
            gain=self.gain,
        )


def _report(fields: dict[str, Any]) -> DecodeReport:
    try:
        if not all(isinstance(value, int | float) for value in fields.values()):
            raise TypeError("not a number")
        return DecodeReport(**fields)
    except TypeError as error:
        raise ChildDied("the process that read the song answered nonsense") from error


def _receive(sock: socket.socket) -> tuple[protocol.Kind, bytearray] | None:
    try:
        return protocol.receive(sock)
    except OSError:
        return None
