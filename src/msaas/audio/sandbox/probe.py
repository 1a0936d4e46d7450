"""What a file is, found out by a process of its own: a file that breaks the decoder breaks nothing here."""

from __future__ import annotations

from pathlib import Path

from msaas.audio.decode.probe import Probe
from msaas.audio.limits import Limits
from msaas.audio.sandbox import client
from msaas.errors import Busy

_MOST = 10**24  # of anything that a probe counts: headers may lie, yet not be infinite


def probe_isolated(path: Path, limits: Limits, timeout_seconds: float = 10, cpu_seconds: float = 10) -> Probe:
    """`probe` in a process of its own, bounded in time and memory: a file that breaks the decoder breaks nothing else.

    Raises as `probe` does, AudioError too where the process ran out of time or memory or the file broke it, Busy
    where it was killed from outside. An AudioError has the processor time it took as `cpu_seconds`. Thread-safe.
    """
    path.stat()  # a missing file is the caller's fault, not the song's
    try:
        return _checked(Probe(**client.ask(path, limits, timeout_seconds, cpu_seconds)))
    except client.NONSENSE as error:
        raise Busy("the process that looked at the song answered nonsense; try again") from error


def _checked(probe: Probe) -> Probe:
    """Raises ValueError where a field is none: a decoder that was taken over says what it likes."""
    texts, counts = (probe.container, probe.codec), (probe.sample_rate, probe.channels)
    seconds = 0.0 if probe.duration_seconds is None else probe.duration_seconds
    plain = all(isinstance(text, str) for text in texts) and all(type(count) is int for count in counts)
    if not (plain and min(counts) > 0 and max(counts) < _MOST and 0 <= seconds < _MOST):
        raise ValueError(f"{probe} is no answer")
    return probe
