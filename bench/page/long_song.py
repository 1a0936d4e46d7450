"""What a long song takes in the page: time to first sound anywhere in it, memory, CPU. Starts a service of its own.

    python -m bench.page.long_song [MINUTES] [AT]

The stems are not separated: a minute of MP3 at 320 kb/s, repeated, is put into the store four times.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from bench.page.playback import MIXER, megabytes, until
from tests.support.audio.sounds import RATE, flac, mp3, tune
from tests.support.service import Service, shared_service

FRAME = 1152  # samples of MPEG-1 layer III
DELAY = 576
STEMS = ("vocals", "drums", "bass", "other")
PLAYED_SECONDS = 30


def repeated(minute: bytes, minutes: int) -> tuple[bytes, int]:
    """An MP3 of that many minutes and its number of samples: frames repeated, and the Info tag's number of frames."""
    mark = minute.find(b"Info", 0, 64)
    frames = struct.unpack_from(">I", minute, mark + 8)[0]
    first = minute.find(b"\xff\xfb", 4)
    head = bytearray(minute[:first])
    struct.pack_into(">I", head, mark + 8, frames * minutes)
    return bytes(head) + minute[first:] * minutes, frames * minutes * FRAME - DELAY - FRAME


def long_song(service: Service, folder: Path, minutes: int) -> str:
    songhash = service.submit(flac(tune(1, seed=1)))
    service.until(songhash, "done")
    samples = tune(60) + np.random.default_rng(1).normal(scale=0.05, size=(2, 60 * RATE)).astype(np.float32)
    data, total = repeated(mp3(samples, folder), minutes)
    (folder / "stem.mp3").write_bytes(data)
    for stem in STEMS:
        service.storage.put_stem(f"{songhash}-{stem}.mp3", folder / "stem.mp3")
    drawn = json.loads(service.storage.read_waveforms(songhash) or b"{}")
    service.storage.put_waveforms(
        songhash, json.dumps(drawn | {"total_samples": total, "done_samples": total}).encode()
    )
    return songhash


def cpu_seconds() -> float:
    """Of the browser's processes that show pages."""
    found = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in " ".join(process.cmdline()):
                found += sum(process.cpu_times()[:2])
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def played(page: Page, at: float) -> None:
    marks = [0.0]
    page.evaluate(MIXER % f"seek({at * 60})")
    began = time.monotonic()
    page.locator("#play").click()
    until(f"playing && player.mixer.position > {at * 60}", page, marks)
    print(f"minute {at:g}: first sound {time.monotonic() - began:.2f} s after the click")
    busy = cpu_seconds()
    began = time.monotonic()
    while (passed := time.monotonic() - began) < PLAYED_SECONDS:
        marks.append(megabytes())
        time.sleep(0.5)
    print(f"playing: {(cpu_seconds() - busy) / passed:.0%} of a core; at most {max(marks):.0f} MB", end="")
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    print(f", {megabytes():.0f} MB without garbage")
    page.locator("#play").click()


def main() -> None:
    parser = argparse.ArgumentParser(description="What a long song takes in the page.")
    parser.add_argument("minutes", nargs="?", type=int, default=120, help="length of the song")
    parser.add_argument("at", nargs="?", type=float, default=100, help="the minute that is played")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, shared_service(Path(folder)) as service:
        songhash = long_song(service, Path(folder), options.minutes)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"{service.url}/#/job/{songhash}")
            page.locator("#play").click()
            print(
                f"song of {options.minutes} minutes, {len(STEMS)} stems; length {page.locator('#length').inner_text()}"
            )
            print(f"first sound after {until('position > 0', page, [0.0]):.2f} s; {megabytes():.0f} MB")
            page.locator("#play").click()
            played(page, options.at)
            browser.close()


if __name__ == "__main__":
    main()
