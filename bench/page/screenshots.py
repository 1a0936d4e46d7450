"""Takes pictures of the page of a running `make serve`: `python -m bench.page.screenshots [URL]`.

Leaves docs/img/page-{empty,separating,mixing}-{desktop,phone}-{light,dark}.png. The half-done song is posed: the
finished song's own waveforms, cut in the middle, so that the picture does not depend on the machine.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SONG = ROOT / "data" / "harbour-lights.mp3"
IMAGES = ROOT / "docs" / "img"
SCREENS = {
    "desktop": {"viewport": {"width": 1200, "height": 780}},
    "phone": {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True},
}
COLOURS = ("light", "dark")
MINUTES_MS = 600_000
HALF = 0.56
POSE = """async () => {
    const { player } = await import(document.querySelector('script[type=module]').src);
    player.seek(14.2);
    player.mixer.setLevel('drums', { pan: -0.3 });
    player.mixer.setLevel('bass', { db: -6 });
    player.mixer.setLevel('vocals', { soloed: true });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes the pictures of the page in docs/img.")
    parser.add_argument("url", nargs="?", default="http://localhost:5000", help="of a running `make serve`")
    url = parser.parse_args().url
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for screen in SCREENS:
            for colours in COLOURS:
                photograph(browser, url, screen, colours)
        browser.close()


def photograph(browser: Browser, url: str, screen: str, colours: str) -> None:
    context = browser.new_context(base_url=url, color_scheme=colours, **SCREENS[screen])
    page = context.new_page()
    page.goto("/")
    page.wait_for_timeout(500)
    take(page, f"page-empty-{screen}-{colours}")
    page.set_input_files("#file", {"name": "Harbour Lights.mp3", "mimeType": "audio/mpeg", "buffer": SONG.read_bytes()})
    page.click("#tray-start")
    page.locator("#save-mix:enabled").wait_for(timeout=MINUTES_MS)
    pose_mixing(page)
    take(page, f"page-mixing-{screen}-{colours}")
    pose_separating(page)
    take(page, f"page-separating-{screen}-{colours}")
    context.close()


def pose_mixing(page: Page) -> None:
    page.evaluate(POSE)
    page.mouse.move(0, 0)
    page.wait_for_timeout(400)


def pose_separating(page: Page) -> None:
    songhash = page.url.rpartition("/")[2]
    job = page.request.get(f"/apiv1/jobs/{songhash}").json()
    drawing = page.request.get(f"/apiv1/jobs/{songhash}/waveforms").json()
    job |= {
        "state": "running",
        "stage": "separating",
        "progress": HALF,
        "eta_seconds": 40,
        "stems": {},
        "analysis": None,
    }
    event = f"event: job\nid: running-1\ndata: {json.dumps(job)}\n\n"
    page.route("**/events", lambda route: route.fulfill(body=event, content_type="text/event-stream"))
    page.route(f"**/jobs/{songhash}", lambda route: route.fulfill(json=job))
    page.route("**/waveforms", lambda route: route.fulfill(json=cut(drawing)))
    page.reload()
    page.wait_for_timeout(1500)


def cut(drawing: dict[str, Any]) -> dict[str, Any]:
    stems = {stem: {kind: halved(text) for kind, text in kinds.items()} for stem, kinds in drawing["stems"].items()}
    return drawing | {"stems": stems, "done_samples": int(drawing["total_samples"] * HALF)}


def halved(text: str) -> str:
    data = base64.b64decode(text)
    keep = int(len(data) * HALF)
    return base64.b64encode(data[:keep] + bytes(len(data) - keep)).decode()


def take(page: Page, name: str) -> None:
    """Flat colours compress well once there are few of them; the rare ones are the lanes'."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shot.png"
        page.screenshot(path=path)
        picture = (
            Image.open(path).convert("RGB").quantize(96, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
        )
        picture.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
