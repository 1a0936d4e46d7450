"""Runs a known sound through the sandbox before the first song, so that a broken sandbox fails at start.

Otherwise every song would be rejected for a fault that is not its own: packages that are unreadable inside the sandbox,
a memory limit too low for the decoder, a missing library.
"""

from __future__ import annotations

import array
import logging
import math
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

from msaas.audio.limits import Limits
from msaas.audio.sandbox import client, launcher, restrictions
from msaas.errors import MSaaSError, SandboxError

log = logging.getLogger(__name__)

RATE, CHANNELS, SAMPLES, LEVEL = 16_000, 1, 16_000, 0.5
TRIES = 3
PAUSE_SECONDS = 1.0
FAILS = "the sandbox failed to decode a test sound"
PROBE_SECONDS = 60.0  # generous, for a busy machine

Read = Callable[[Path], None]


def check_probe(scratch: Path) -> None:
    """Raises SandboxError if the sandbox cannot identify a known file."""
    _check(_probe, scratch)


def check_decoder(scratch: Path, limits: Limits) -> None:
    """Raises SandboxError if the sandbox does not decode a known file to the expected samples."""

    def decode(path: Path) -> None:
        _decode(path, limits)

    _check(decode, scratch)


def _check(read: Read, scratch: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="msaas-check-", dir=scratch) as folder:
            path = Path(folder) / "sound"
            _write(path)
            _read_with_retries(read, path)
    except OSError as error:  # a full disk is temporary, and reported by each song that finds no room
        log.warning("sandbox not checked reason=%s", error)
        return
    _log_restrictions()


def _read_with_retries(read: Read, path: Path) -> None:
    """Retries after a kill from outside or a timeout on a busy machine."""
    for left in reversed(range(TRIES)):
        try:
            read(path)
            return
        except MSaaSError as error:
            _raise_if_final(error, last=not left)
        launcher.stop()
        time.sleep(PAUSE_SECONDS)


def _raise_if_final(error: MSaaSError, *, last: bool) -> None:
    if last or isinstance(error, SandboxError):
        raise SandboxError(f"{FAILS}: {error}") from error
    if status := launcher.current().exit_status():
        raise SandboxError(f"{FAILS}: its process ends with status {status}; its output is above") from error


def _probe(path: Path) -> None:
    found = client.ask(path, Limits(), PROBE_SECONDS, PROBE_SECONDS)
    known = {"container": "wav", "sample_rate": RATE, "channels": CHANNELS}
    if found | known != found:
        raise SandboxError(f"identified as {found}")


def _decode(path: Path, limits: Limits) -> None:
    """Uses another rate and stereo, to cover resampling and mixing."""
    import numpy as np

    from msaas.audio.sandbox.decoder import IsolatedDecoder

    decoder = IsolatedDecoder(path, sample_rate=2 * RATE, channels=2, limits=limits)
    samples = np.concatenate([np.zeros((2, 0), np.float32), *decoder.blocks()], axis=1)
    level = float(np.sqrt(2 * np.square(samples, dtype=np.float64).mean())) if samples.size else 0.0
    if samples.shape != (2, 2 * SAMPLES) or not math.isclose(level, LEVEL, rel_tol=0.01):
        raise SandboxError(f"decoded to {samples.shape[1]} samples of level {level:.3f}")


def _write(path: Path) -> None:
    """One second of a 500 Hz sine, in whole periods: its RMS level is the peak over the square root of two."""
    tone = array.array("h", (round(32767 * LEVEL * math.sin(math.pi * at / 16)) for at in range(SAMPLES)))
    if sys.byteorder == "big":
        tone.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setparams((CHANNELS, 2, RATE, 0, "NONE", ""))
        file.writeframes(tone.tobytes())


def _log_restrictions() -> None:
    active = restrictions.detect()
    missing = {restrictions.LANDLOCK, restrictions.SECCOMP} - set(active)
    level = logging.WARNING if missing and sys.platform == "linux" else logging.INFO
    shown, lacking = (",".join(sorted(names)) or "none" for names in (active, missing))
    log.log(level, "sandbox restrictions=%s missing=%s", shown, lacking)
