"""Posts a song to an API, waits for its stems, and looks at them: four, whole, as long as each other, not silent.

MSAAS_API_KEY is the key, where the API wants one.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import requests

STEMS = {"vocals", "drums", "bass", "other"}
POLL_SECONDS = 1.0
LIMIT_SECONDS = 1800.0

session = requests.Session()
if key := os.environ.get("MSAAS_API_KEY"):
    session.headers["Authorization"] = f"Bearer {key}"


def main(url: str, song: str) -> int:
    began = time.monotonic()
    job = ended(f"{url}/apiv1/jobs/{posted(url, Path(song))}")
    if job["state"] != "done":
        return refuse(f"the job is {job['state']}: {job['error']}")
    if set(job["stems"]) != STEMS:
        return refuse(f"the stems are {sorted(job['stems'])}, not {sorted(STEMS)}")
    with tempfile.TemporaryDirectory() as folder:
        lengths = {name: length_of(url + link, Path(folder) / f"{name}.mp3") for name, link in job["stems"].items()}
    if len(set(lengths.values())) != 1:
        return refuse(f"the stems differ in length: {lengths}")
    seconds, length = time.monotonic() - began, next(iter(lengths.values()))
    sys.stdout.write(f"four stems of {length} samples each, model {job['model']}, {seconds:.1f} s\n")
    return 0


def refuse(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 1


def posted(url: str, song: Path) -> str:
    with song.open("rb") as body:
        answer = session.post(f"{url}/apiv1/separate", files={"file": body}, timeout=120)
    answer.raise_for_status()
    return str(answer.json()["songhash"])


def ended(where: str) -> dict[str, Any]:
    """The job once it has ended, or after half an hour as it is. Goes on where nobody answers: an API may restart."""
    said, deadline = None, time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            answer = session.get(where, timeout=30)
        except requests.ConnectionError as error:
            if time.monotonic() > deadline:
                raise
            sys.stderr.write(f"no answer, asking again: {error}\n")
            time.sleep(POLL_SECONDS)
            continue
        answer.raise_for_status()
        job: dict[str, Any] = answer.json()
        now = f"{job['state']} {job.get('stage') or ''} {round(job.get('progress') or 0, 1):.0%}"
        if now != said:
            sys.stdout.write(f"{job['songhash']} {now}\n")
            sys.stdout.flush()
            said = now
        if job["state"] in ("done", "failed", "cancelled") or time.monotonic() > deadline:
            return job
        time.sleep(POLL_SECONDS)


def length_of(link: str, target: Path) -> int:
    """Samples of the stem. Raises ValueError where it is silent."""
    answer = session.get(link, timeout=120)
    answer.raise_for_status()
    target.write_bytes(answer.content)
    samples, peak = 0, 0.0
    with av.open(target) as file:
        for frame in file.decode(audio=0):
            samples += frame.samples
            peak = max(peak, float(np.abs(frame.to_ndarray()).max()))
    if peak == 0:
        raise ValueError(f"{link} is silent")
    return samples


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
