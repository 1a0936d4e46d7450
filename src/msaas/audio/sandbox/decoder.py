"""Decodes a song in a sandboxed process, so that a file that crashes the decoder does no harm here.

It has the same blocks, report and errors as msaas.audio.decode.decoder.Decoder, which runs in the child.
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
from msaas.audio.part import Part
from msaas.audio.sandbox import launcher, protocol
from msaas.audio.sandbox.client import START_SECONDS, read_answer
from msaas.audio.sandbox.protocol import Request
from msaas.errors import AudioTooLong, ChildDied

STALL_SECONDS = 60.0  # between two blocks; a second of audio takes a few milliseconds
# Decoding is at least a hundred times faster than real time; a file that takes a tenth of real time is malicious.
CPU_SECONDS, CPU_PER_SECOND = 60.0, 0.1


class IsolatedDecoder:
    """A song as blocks of [channels, n] float32 at `sample_rate`; each call of `blocks` starts from the beginning."""

    def __init__(
        self, path: Path, *, sample_rate: int, channels: int, limits: Limits | None = None, part: Part | None = None
    ) -> None:
        self.path, self.sample_rate, self.channels = path, sample_rate, channels
        self.part = part or Part()
        self.limits = limits or Limits()
        self.gain = 1.0  # as in Decoder
        self.report = DecodeReport()

    def blocks(self) -> Iterator[Block]:
        """As Decoder.blocks.

        Raises what that raises; NotAudio also if the file crashed or stalled the process; DecodedTooLarge if it used
        too much memory; ChildDied if the process was killed from outside; SandboxError if it failed through no fault of
        the song.
        """
        self.path.stat()  # a missing file is the caller's error, not the song's
        request = self._request()
        try:
            sock = launcher.connect(request, STALL_SECONDS + START_SECONDS)
        except OSError as error:
            raise ChildDied(f"no sandboxed process: {error}") from error
        left = ceil((self.limits.max_duration_seconds + 1) * self.sample_rate)
        with sock:
            while (message := _receive(sock)) and message[0] is protocol.Kind.BLOCK:
                block = self._block(message[1])
                if not block.size:  # the song before the part is being skipped
                    continue
                left -= block.shape[1]
                if left < 0:  # the child enforces this limit too, unless it is compromised
                    raise AudioTooLong(f"more than {self.limits.max_duration_seconds:g} seconds, the limit")
                yield block
            self.report = _report(read_answer(request, message))
            self.gain = self.report.gain

    def _block(self, payload: bytearray) -> Block:
        """Raises ChildDied for an invalid block: the process is compromised or broken."""
        try:
            block = np.frombuffer(payload, np.float32).reshape(self.channels, -1)
        except ValueError as error:
            raise ChildDied("the process that read the song sent an incomplete sample") from error
        if not np.isfinite(block).all():
            raise ChildDied("the process that read the song sent samples that are not finite")
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
            start_seconds=self.part.start_seconds,
            end_seconds=self.part.end_seconds,
        )


def _report(fields: dict[str, Any]) -> DecodeReport:
    try:
        if not all(isinstance(value, int | float) for value in fields.values()):
            raise TypeError("not a number")
        return DecodeReport(**fields)
    except TypeError as error:
        raise ChildDied("the process that read the song returned an invalid answer") from error


def _receive(sock: socket.socket) -> tuple[protocol.Kind, bytearray] | None:
    try:
        return protocol.receive(sock)
    except OSError:
        return None
