"""Songs like no others: made, posted, followed to their end, and their stems looked at."""

from __future__ import annotations

import array
import io
import json
import math
import random
import time
import wave
from typing import Any

from deploy.tools.drill.records import DrillError, Song
from deploy.tools.drill.service import RETRY_SECONDS, Service

STEMS = {"vocals", "drums", "bass", "other"}
RATE = 44_100  # samples a second
ENDED = ("done", "failed", "cancelled")


def music(seed: int, seconds: int) -> bytes:
    """A WAV like no other: stereo chords that change each second."""
    chance = random.Random(seed)  # noqa: S311
    file = io.BytesIO()
    with wave.open(file, "wb") as song:
        song.setparams((2, 2, RATE, 0, "NONE", ""))
        chords = [chord(chance) for _ in range(min(seconds, 4))]
        for second in range(seconds):
            song.writeframes(chords[second % len(chords)])
    return file.getvalue()


def chord(chance: random.Random) -> bytes:
    tones = [(chance.uniform(60, 2000) * 2 * math.pi / RATE, chance.uniform(1000, 5000)) for _ in range(3)]
    left = [int(sum(size * math.sin(step * at) for step, size in tones)) for at in range(RATE)]
    right = left[RATE // 3 :] + left[: RATE // 3]
    return array.array("h", [sample for pair in zip(left, right, strict=True) for sample in pair]).tobytes()


def play(song: Song, service: Service) -> None:
    """Posts a song, follows it to its end, and looks at its stems."""
    began = time.monotonic()
    try:
        answer = json.loads(service.ask("/apiv1/separate?format=wav&bit_depth=16", music(song.seed, song.length)))
        song.songhash = answer["songhash"]
    except (DrillError, ValueError, LookupError) as error:
        song.lost = str(error) or repr(error)
    else:
        look_at(song, service)
    song.seconds = time.monotonic() - began


def look_at(song: Song, service: Service) -> None:
    """Follows a song to its end and looks at its stems; notes what is wrong with them."""
    try:
        job = follow(song, service)
        if job["state"] != "done":
            raise DrillError(f"the job is {job['state']}: {job['error']}")
        look_at_stems(job["stems"], service, song.length)
    except (DrillError, ValueError, LookupError) as error:
        song.lost = str(error) or repr(error)


def follow(song: Song, service: Service) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = json.loads(service.ask(f"/apiv1/jobs/{song.songhash}"))
        song.state, song.attempts = job["state"], job["attempts"]
        if job["started_at"]:
            song.starts.add(job["started_at"])
        if job["state"] in ENDED:
            return job
        if time.monotonic() > service.deadline:
            raise DrillError(f"the job is still {job['state']}")
        time.sleep(RETRY_SECONDS)


def look_at_stems(links: dict[str, str], service: Service, seconds: int) -> None:
    """Raises DrillError unless there are four, as long as the song, and one of them sounds."""
    if set(links) != STEMS:
        raise DrillError(f"the stems are {sorted(links)}, not {sorted(STEMS)}")
    sounds = False
    for name, link in links.items():
        with wave.open(io.BytesIO(service.ask(link))) as stem:
            if stem.getnframes() != seconds * RATE:
                raise DrillError(f"{name} has {stem.getnframes()} samples, not {seconds * RATE}")
            sounds |= any(stem.readframes(stem.getnframes()))
    if not sounds:
        raise DrillError("all stems are silent")
