"""Row 1m: kill -9 of workers that separate with htdemucs_mini. The known bytes are those of an undisturbed run."""

from __future__ import annotations

import random
import time
import wave
from pathlib import Path

from msaas.worker.process import COMMAND
from tests.chaos.lab.account import stems_in
from tests.chaos.lab.lab import MODEL, Lab, RowResult
from tests.chaos.scale import Scale

CHILD = " ".join(COMMAND)
RATE = 44_100


def killed_workers_with_the_small_model(lab: Lab, scale: Scale) -> RowResult:
    """kill -9 of workers in mid-separation; the second run's stems must be the first's, byte for byte."""
    result = lab.row("1m", "the same, separating with `htdemucs_mini`")
    lab.environ |= {"MSAAS_LEASE_SECONDS": "2", "MSAAS_MAX_ATTEMPTS": "20"}
    lab.environ |= {"MSAAS_CPU_THREADS": "1", "CHAOS_CHILD": CHILD}
    worker = lab.worker()
    songs = [_song(lab) for _ in range(scale(2, 4))]
    for song in songs:
        lab.submit(song)
    result.claim(lab.until_ended(songs, 240), "the undisturbed run did not end")
    for song, etags in stems_in(lab.shared_storage).items():
        lab.wishes[song]["etags"] = etags
    for song in songs:
        lab.shared_storage.remove_stems_of(song)
        lab.queue.submit(song, {"model": MODEL}, stems_missing=True)
    for _ in range(scale(1, 5)):
        lab.until(lambda: any(lab.job(song).stage == "separating" for song in songs), 120, "a run")
        time.sleep(lab.random.uniform(0.0, 0.4))
        worker.kill()
        worker = lab.worker()
    result.claim(lab.until_ended(songs, 300), "songs are left that never ended")
    result.injected = len(lab.kills)
    lab.kills.clear()  # the next worker has its model to load first: no figure for the table
    lab.close_account(result)
    result.claim(result.account.done == len(songs), "not every song was published")
    return result


def _song(lab: Lab) -> str:
    """Noise, as a WAV file: loud in every segment, and cheap to make."""
    songhash = lab.new_song("noise")
    path = lab.folder / "noise.wav"
    _write_noise(path, lab.random)
    lab.shared_storage.put_input(songhash, path)
    return songhash


def _write_noise(path: Path, source: random.Random, seconds: int = 10) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(source.randbytes(2 * 2 * RATE * seconds))
