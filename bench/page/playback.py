"""Memory of the page and time to first sound, of a running `make serve`.

    python -m bench.page.playback [URL] [MINUTES]

Sends a generated song where it is not there yet, opens it in Chromium and prints what the browser's processes take.
"""

from __future__ import annotations

import argparse
import io
import shutil
import time

import numpy as np
import psutil
import requests
import soundfile
from playwright.sync_api import Page, sync_playwright

RATE = 44_100
MEGABYTE = 1e6
MIXER = """async () => {
    const { player } = await import(document.querySelector('script[type=module]').src);
    return player.mixer?.%s;
}"""


def song(minutes: float) -> bytes:
    """The same each time: a beat, a bass and a chord that moves."""
    t = np.arange(int(minutes * 60 * RATE)) / RATE
    beat = np.random.default_rng(8).normal(size=t.size) * np.exp(-((t * 2) % 1) * 20) * 0.2
    bass = 0.2 * np.sin(2 * np.pi * 55 * t)
    chord = 0.1 * np.sin(2 * np.pi * (220 + 40 * np.sin(t / 9)) * t)
    file = io.BytesIO()
    soundfile.write(file, np.stack([beat + bass + chord, beat + bass - chord]).T, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def separated(url: str, minutes: float) -> str:
    answer = requests.post(f"{url}/apiv1/separate", files={"file": ("bench.flac", song(minutes))}, timeout=120)
    answer.raise_for_status()
    songhash = str(answer.json()["songhash"])
    while (job := requests.get(f"{url}/apiv1/jobs/{songhash}", timeout=30).json())["state"] in ("queued", "running"):
        print(f"\rseparating {job['progress']:.0%} ", end="", flush=True)
        time.sleep(2)
    assert job["state"] == "done", job
    print("\r", end="")
    return songhash


def megabytes() -> float:
    """Held by the browser's processes that show pages and by nobody else (USS)."""
    return sum(map(_held, psutil.Process().children(recursive=True))) / MEGABYTE


def _held(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss) if "--type=renderer" in " ".join(process.cmdline()) else 0
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


def until(condition: str, page: Page, marks: list[float]) -> float:
    """Seconds until `condition` of the mixer holds; notes the memory meanwhile."""
    began = time.monotonic()
    while not page.evaluate(MIXER % condition):
        marks.append(megabytes())
        time.sleep(0.02)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of the page and time to first sound.")
    parser.add_argument("url", nargs="?", default="http://localhost:5000", help="of a running `make serve`")
    parser.add_argument("minutes", nargs="?", type=float, default=8, help="length of the song")
    options = parser.parse_args()
    url, minutes = options.url, options.minutes
    songhash = separated(url, minutes)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        page.wait_for_timeout(1000)
        empty, marks = megabytes(), [0.0]
        began = time.monotonic()
        page.goto(f"{url}/#/job/{songhash}")
        page.locator("#play").click()
        shown = time.monotonic() - began
        first = shown + until("position > 0", page, marks)
        whole = first + until("whole", page, marks)
        page.wait_for_timeout(3000)
        print(f"song {minutes:g} minutes; stems {len(page.locator('.lane').all())}")
        print(f"Play pressed after {shown:.2f} s, first sound after {first:.2f} s, all after {whole:.1f} s")
        print(f"memory: empty page {empty:.0f} MB, at most {max(marks):.0f} MB, playing {megabytes():.0f} MB")
        with page.expect_download(timeout=300_000):
            began = time.monotonic()
            page.click("#save-mix")
        print(f"mixdown {time.monotonic() - began:.1f} s; afterwards {megabytes():.0f} MB")
        browser.close()


if __name__ == "__main__":
    main()
