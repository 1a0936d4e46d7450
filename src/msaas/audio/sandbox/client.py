"""Sends requests to sandboxed processes and maps their answers, and missing answers, to results and errors."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher, protocol
from msaas.audio.sandbox.protocol import Request
from msaas.errors import (
    AudioError,
    AudioTooLong,
    Busy,
    ChildDied,
    DecodedTooLarge,
    MSaaSError,
    NotAudio,
    SandboxError,
)

log = logging.getLogger(__name__)

PROBE_MEMORY_BYTES = 512 << 20
INVALID_ANSWER = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
_LONGEST_TEXT, _LONGEST_TRACEBACK = 500, 16_000
START_SECONDS = 20.0  # for the fork server itself, on a machine that is busy with songs

_ERRORS: dict[str, type[AudioError]] = {kind.code: kind for kind in (NotAudio, AudioTooLong, DecodedTooLarge)}
# Signals that only the file can have caused; a kill from outside uses another.
_OF_THE_FILE = frozenset(
    (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS)
)


def ask(path: Path, limits: Limits, timeout_seconds: float, cpu_seconds: float) -> dict[str, Any]:
    """Returns the fields of a Probe.

    Raises AudioError if the probe did, or if the file crashed it or took too long, with the processor time used; Busy
    if the process was killed from outside; SandboxError if it failed twice through no fault of the file.
    """
    request = Request(
        work="probe",
        path=str(path.absolute()),
        max_duration_seconds=limits.max_duration_seconds,
        max_decoded_bytes=limits.max_decoded_bytes,
        seconds=timeout_seconds,
        memory_bytes=PROBE_MEMORY_BYTES,
        cpu_seconds=cpu_seconds,
    )
    try:
        return _probed(request)
    except SandboxError:
        return _probed(request)


def _probed(request: Request) -> dict[str, Any]:
    started = time.monotonic()
    message = _first_message(request, request.seconds + START_SECONDS)
    if message is None and time.monotonic() - started >= request.seconds:
        raise _too_slow(request)
    try:
        return read_answer(request, message)
    except ChildDied as error:
        raise Busy("the process that probed the song was killed; retry") from error


def _first_message(request: Request, timeout_seconds: float) -> tuple[protocol.Kind, bytearray] | None:
    try:
        with launcher.connect(request, timeout_seconds) as sock:
            return protocol.receive(sock)
    except OSError:
        return None  # the child has ended, or its alarm will end it


def read_answer(request: Request, message: tuple[protocol.Kind, bytearray] | None) -> dict[str, Any]:
    """The fields of the last message. Raises the error it stands for; ChildDied if the file is not to blame."""
    if message is None:
        raise ChildDied("the process that read the song ended without an answer")
    try:
        return _parse(request, *message)
    except INVALID_ANSWER as error:
        raise ChildDied(
            f"the process that read the song returned an invalid answer ({type(error).__name__})"
        ) from error


def _parse(request: Request, kind: protocol.Kind, payload: bytearray) -> dict[str, Any]:
    """Parses a message without trusting it: the decoder may be compromised. Raises one of INVALID_ANSWER if
    malformed."""
    fields = json.loads(payload, parse_constant=_refuse_constant)
    if kind is protocol.Kind.DIED:
        raise _died(request, fields)
    if kind is protocol.Kind.REFUSAL:
        if "errno" in fields:
            raise OSError(int(fields["errno"]), _line(fields["detail"]))
        raise _refused(request, fields)
    return _sanitized(request, fields)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _sanitized(request: Request, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Limits each text to one line, and processor time to the limit: it is charged to the caller."""
    sanitized = {name: _line(value) if isinstance(value, str) else value for name, value in fields.items()}
    if "cpu_seconds" in sanitized:
        sanitized["cpu_seconds"] = min(max(float(sanitized["cpu_seconds"]), 0.0), request.cpu_seconds)
    return sanitized


def _line(text: str) -> str:
    """Makes a text safe for a log line and an answer."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_LONGEST_TEXT])


def _lines(text: str) -> str:
    return "\n".join(f"  | {_line(line)}" for line in text[-_LONGEST_TRACEBACK:].splitlines())


def _refused(request: Request, fields: dict[str, Any]) -> MSaaSError:
    kind, sanitized = _ERRORS.get(fields["code"]), _sanitized(request, fields)
    if kind is not None:
        return _with_cpu_seconds(sanitized.get("cpu_seconds", 0.0), kind(_line(fields["detail"])))
    log.error("unexpected error in the sandboxed process work=%s\n%s", request.work, _lines(fields["traceback"]))
    return SandboxError(f"the process that reads songs failed: {sanitized['detail']}")


def _died(request: Request, number: int) -> MSaaSError:
    if number == signal.SIGALRM:
        return _too_slow(request)
    if number == signal.SIGXCPU:
        reason = f"reading the file takes more than {request.cpu_seconds:g} seconds of processor time"
        return _with_cpu_seconds(request.cpu_seconds, NotAudio(reason))
    if number in _OF_THE_FILE:  # the processor time used until then is unknown
        return _with_cpu_seconds(request.cpu_seconds, NotAudio("the file crashed the decoder"))
    return ChildDied(f"the process that read the song was killed by {signal.Signals(number).name}")


def _too_slow(request: Request) -> AudioError:
    return _with_cpu_seconds(
        request.cpu_seconds, NotAudio(f"the file could not be read within {request.seconds:g} seconds")
    )


def _with_cpu_seconds(cpu_seconds: float, error: AudioError) -> AudioError:
    error.cpu_seconds = cpu_seconds
    return error
