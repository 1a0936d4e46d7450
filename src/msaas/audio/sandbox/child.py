"""The work of a forked child: restricts itself, reads one song, answers, ends. Runs only in the sandbox."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import socket
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msaas.audio.decode import probe
from msaas.audio.limits import Limits
from msaas.audio.part import Part
from msaas.audio.sandbox import protocol, restrictions
from msaas.audio.sandbox.protocol import Request
from msaas.audio.source.metadata import song_tags
from msaas.errors import AudioError, DecodedTooLarge, SandboxError

SKIPPED_FRAMES = 500


def load_decoder() -> None:
    """Called before the fork, so that no child has to. It loads NumPy, which a probe does not need."""
    importlib.import_module("msaas.audio.decode.decoder")


def answer(sock: socket.socket, request: Request) -> None:
    """Does the work inside the sandbox and sends the result."""
    try:
        limits = Limits(request.max_duration_seconds, request.max_decoded_bytes)
        if request.work == "decode":
            restrictions.enter(
                Path(request.path), restrictions.ResourceLimits(request.memory_bytes, request.cpu_seconds)
            )
            fields = _send_blocks(sock, request, limits)
        else:
            resource_limits = restrictions.ResourceLimits(request.memory_bytes, request.cpu_seconds, request.seconds)
            restrictions.enter(Path(request.path), resource_limits)
            fields = _send_tags(sock, request) if request.work == "tags" else _probed(request, limits)
        kind = protocol.Kind.ANSWER
    except Exception as error:
        kind, fields = protocol.Kind.REFUSAL, _refusal(error, request)
    restrictions.set_alarm(0)
    with contextlib.suppress(OSError):  # the caller has gone
        protocol.send(sock, kind, json.dumps(fields).encode())


def _probed(request: Request, limits: Limits) -> dict[str, Any]:
    return asdict(probe.probe(Path(request.path), limits)) | {"cpu_seconds": time.process_time()}


def _send_tags(sock: socket.socket, request: Request) -> dict[str, Any]:
    """Sends the cover as a block and returns the texts."""
    found = song_tags(Path(request.path))
    if found.cover:
        protocol.send(sock, protocol.Kind.BLOCK, found.cover.data)
    return {"texts": dict(found.texts)}


def _refusal(error: Exception, request: Request) -> dict[str, Any]:
    if isinstance(error, AudioError):
        return {"code": error.code, "detail": error.detail, "cpu_seconds": time.process_time()}
    if isinstance(error, MemoryError):
        detail = f"reading the file takes more than {request.memory_bytes} bytes of memory, the limit"
        return {"code": DecodedTooLarge.code, "detail": detail}
    if isinstance(error, OSError) and error.errno and error.filename == request.path:
        return {"errno": error.errno, "detail": error.strerror}
    lines = "".join(traceback.format_exception(error))
    return {"code": SandboxError.code, "detail": f"{type(error).__name__}: {error}", "traceback": lines}


def _send_blocks(sock: socket.socket, request: Request, limits: Limits) -> dict[str, Any]:
    """Sends the song's blocks and returns the report. The alarm runs while a block is made, not while the caller
    computes."""
    import numpy as np

    from msaas.audio.decode.decoder import Decoder

    path, skipped = Path(request.path), itertools.count(1)

    def skipping() -> None:
        """Shows the caller that the decoder is at work, which may be for minutes before a part begins."""
        if next(skipped) % SKIPPED_FRAMES == 0:
            protocol.send(sock, protocol.Kind.BLOCK, b"")
            restrictions.set_alarm(request.seconds)

    decoder = Decoder(
        path,
        sample_rate=request.sample_rate,
        channels=request.channels,
        limits=limits,
        gain=request.gain,
        part=Part(request.start_seconds, request.end_seconds),
        skipping=skipping,
    )
    restrictions.set_alarm(request.seconds)
    for block in decoder.blocks():
        restrictions.set_alarm(0)
        protocol.send(sock, protocol.Kind.BLOCK, np.ascontiguousarray(block, np.float32).tobytes())
        restrictions.set_alarm(request.seconds)
    return asdict(decoder.report)
