"""A known sound through the sandbox, before the first song: what is wrong with the sandbox is said at start.

Otherwise each song would be refused for what no song can help: packages that cannot be read behind the fences, a
limit of memory too low for the decoder, a library that is missing.
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
FAILS = "the sandbox does not read a known sound"
PROBE_SECONDS = 60.0  # a busy machine is no fault of the sandbox's

Read = Callable[[Path], None]


def check_probe(scratch: Path) -> None:
    """Raises SandboxError where the sandbox cannot tell what a file is."""
    _check(_probe, scratch)


def check_decoder(scratch: Path, limits: Limits) -> None:
    """Raises SandboxError where the sandbox does not decode, or decodes something else."""

    def decode(path: Path) -> None:
        _decode(path, limits)

    _check(decode, scratch)


def _check(read: Read, scratch: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="msaas-check-", dir=scratch) as folder:
            path = Path(folder) / "sound"
            _write(path)
            _read_at_last(read, path)
    except OSError as error:  # a full disk passes, and is told with each song that finds no room
        log.warning("sandbox not checked reason=%s", error)
        return
    _say_which_fences_stand()


def _read_at_last(read: Read, path: Path) -> None:
    """What was killed from outside, or ran out of time on a busy machine, has another try."""
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
    if status := launcher.mine().exit_status():
        raise SandboxError(f"{FAILS}: its process ends with status {status}; what it said is above") from error


def _probe(path: Path) -> None:
    found = client.ask(path, Limits(), PROBE_SECONDS, PROBE_SECONDS)
    known = {"container": "wav", "sample_rate": RATE, "channels": CHANNELS}
    if found | known != found:
        raise SandboxError(f"it is taken for {found}")


def _decode(path: Path, limits: Limits) -> None:
    """At another rate and in stereo, so that resampling and mixing are part of it."""
    import numpy as np

    from msaas.audio.sandbox.decoder import IsolatedDecoder

    decoder = IsolatedDecoder(path, sample_rate=2 * RATE, channels=2, limits=limits)
    samples = np.concatenate([np.zeros((2, 0), np.float32), *decoder.blocks()], axis=1)
    level = float(np.sqrt(2 * np.square(samples, dtype=np.float64).mean())) if samples.size else 0.0
    if samples.shape != (2, 2 * SAMPLES) or not math.isclose(level, LEVEL, rel_tol=0.01):
        raise SandboxError(f"it comes out as {samples.shape[1]} samples of level {level:.3f}")


def _write(path: Path) -> None:
    """A second of a sine of 500 Hz, whole periods of it: its level is its peak's over the square root of two."""
    tone = array.array("h", (round(32767 * LEVEL * math.sin(math.pi * at / 16)) for at in range(SAMPLES)))
    if sys.byteorder == "big":
        tone.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setparams((CHANNELS, 2, RATE, 0, "NONE", ""))
        file.writeframes(tone.tobytes())


def _say_which_fences_stand() -> None:
    stand = restrictions.try_out()
    missing = {restrictions.LANDLOCK, restrictions.SECCOMP} - set(stand)
    level = logging.WARNING if missing and sys.platform == "linux" else logging.INFO
    shown, lacking = (",".join(sorted(names)) or "none" for names in (stand, missing))
    log.log(level, "sandbox fences=%s missing=%s", shown, lacking)
