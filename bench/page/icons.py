"""Renders static/icon.svg as PNG icons for phones: `python -m bench.page.icons`. The margin is of maskable icons."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

STATIC = Path(__file__).resolve().parents[2] / "src/msaas/web/static"
SIZES = (192, 512)
PAGE = """<style>body {{ margin: 0; background: #121116; display: grid; place-items: center; height: 100vh }}
svg {{ width: 56vw; height: 56vw }}</style>{svg}"""


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for size in SIZES:
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(PAGE.format(svg=(STATIC / "icon.svg").read_text()))
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(32)
            picture.save(STATIC / f"icon-{size}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
