"""Identifies a file in a sandboxed process, so that a file that crashes the decoder does no harm here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from msaas.audio.decode.probe import Probe
from msaas.audio.limits import Limits
from msaas.audio.sandbox import client
from msaas.errors import Busy
from msaas.song_names import clean_tags

_MAX_BYTES = 10**24  # upper bound for numbers in a probe's answer: headers can be wrong, but not infinite


def probe_isolated(path: Path, limits: Limits, timeout_seconds: float = 10, cpu_seconds: float = 10) -> Probe:
    """Runs `probe` in a sandboxed process with limited time and memory, so that a malicious file cannot harm this one.

    Raises what `probe` raises, AudioError too if the process ran out of time or memory or the file crashed it, and Busy
    if it was killed from outside. An AudioError carries the processor time as `cpu_seconds`. Thread-safe.
    """
    path.stat()  # a missing file is the caller's error, not the song's
    try:
        found = _checked(Probe(**client.ask(path, limits, timeout_seconds, cpu_seconds)))
    except client.INVALID_ANSWER as error:
        raise Busy("the process that probed the song returned an invalid answer; retry") from error
    return replace(found, tags=clean_tags(found.tags))


def _checked(probe: Probe) -> Probe:
    """Raises ValueError if a field is invalid: a compromised decoder can send anything."""
    texts, counts = (probe.container, probe.codec), (probe.sample_rate, probe.channels)
    seconds = 0.0 if probe.duration_seconds is None else probe.duration_seconds
    plain = all(isinstance(text, str) for text in texts) and all(type(count) is int for count in counts)
    if not (plain and min(counts) > 0 and max(counts) < _MAX_BYTES and 0 <= seconds < _MAX_BYTES):
        raise ValueError(f"{probe} is invalid")
    return probe
