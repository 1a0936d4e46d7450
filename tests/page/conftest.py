"""The page in a real Chromium, on the real service with htdemucs_mini. Without a browser its tests are left out."""

from __future__ import annotations

import base64
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.support.audio.sounds import flac, tune
from tests.support.environment import LEFT_OUT
from tests.support.service import Service, shared_service

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = f"{LEFT_OUT} no Chromium on this machine (Debian: apt-get install chromium)"
ARGUMENTS = (
    "--no-sandbox",  # tests may run as root, and nothing but our own page is opened
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--autoplay-policy=user-gesture-required",
)
TIMEOUT_MS = 90_000  # machines that test are busy
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
WIDE = {"viewport": {"width": 2560, "height": 1200}}
STEMS = ("vocals", "drums", "bass", "other")
LIST_OF_SONGS = re.compile(r"/apiv1/jobs\?")
MAIN = "document.querySelector('script[type=module]').src"  # the page's own module, and no second copy

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="package")
def service(tmp_path_factory) -> Iterator[Service]:
    """API and worker for all tests of the page; each uses songs of its own."""
    with shared_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, service: Service) -> Iterator[Callable[..., Page]]:
    """A page of a browser that has seen nothing yet. At the end: nothing came from elsewhere, nothing was in error.

    `library`: it lists the service's songs, those of other tests too; otherwise the service seems to have none.
    """
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    errors: list[str] = []

    def make(path: str = "/", *, library: bool = False, **options: Any) -> Page:
        usual = {
            "viewport": {"width": 1200, "height": 900},
            "service_workers": "block",
        }  # whose requests are not routed
        context = browser.new_context(base_url=service.url, **usual | options)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        if not library:
            context.route(LIST_OF_SONGS, lambda route: route.fulfill(json={"jobs": [], "next": None}))
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: _note(message, errors))
        page.goto(path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not [url for url in asked if not url.startswith((service.url, f"blob:{service.url}"))]
    assert not errors


def _note(message: Any, errors: list[str]) -> None:
    """Chromium logs each answer of 400 and above; those are for each test to judge."""
    if message.type == "error" and "Failed to load resource" not in message.text:
        errors.append(message.text)


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


@dataclass(frozen=True)
class Song:
    songhash: str
    seconds: float
    data: bytes

    @property
    def address(self) -> str:
        return f"/#/job/{self.songhash}"


@pytest.fixture(scope="package")
def song(service: Service) -> Song:
    """One that is separated already, for tests that only listen."""
    data = flac(tune(8, seed=701))
    songhash = service.submit(data)
    service.until(songhash, "done", seconds=180)
    return Song(songhash, 8, data)


@pytest.fixture
def mixer(open_page: Callable[..., Page], song: Song) -> Page:
    """The page with that song's mixer open and its stems loaded. Loops do not snap to beats that the song may have."""
    page = open_page(song.address)
    expect(page.locator("#save-mix")).to_be_enabled()
    page.evaluate(f"async () => {{ const {{ player }} = await import({MAIN}); player.beats.snaps = false; }}")
    return page


# --- what tests do with a page


def drop(page: Page, name: str, data: bytes) -> None:
    """As a file manager does it."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name));
            return transfer;
        }""",
        [name, base64.b64encode(data).decode()],
    )
    for kind in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#drop", kind, {"dataTransfer": transfer})
    page.click("#tray-start")


def pick(page: Page, *files: tuple[str, bytes], start: bool = True) -> None:
    payloads = [{"name": name, "mimeType": "audio/flac", "buffer": data} for name, data in files]
    page.set_input_files("#file", payloads)
    if start:
        page.click("#tray-start")


def stem_row(page: Page, stem: str) -> Locator:
    return page.locator(f".lane[data-stem={stem}]")


def in_mixer(page: Page, script: str, argument: Any = None) -> Any:
    """Runs `script`, the body of a function of (mixer, argument): the page's own mixer, by the page's own module."""
    return page.evaluate(
        f"async (argument) => {{ const {{ player }} = await import({MAIN});"
        f" return (async (mixer, argument) => {{ {script} }})(player.mixer, argument); }}",
        argument,
    )


def until(page: Page, condition: str, argument: Any = None) -> None:
    """Waits until `condition`, a function of the page, returns something true, or a promise of it.

    Playwright's `wait_for_function` does not wait for promises: it takes the promise itself for true.
    """
    page.evaluate(
        f"""async ([argument, milliseconds]) => {{
            const condition = {condition};
            const end = performance.now() + milliseconds;
            while (!(await condition(argument))) {{
                if (performance.now() > end) throw new Error(`still not true: ${{condition}}`);
                await new Promise((done) => setTimeout(done, 20));
            }}
        }}""",
        [argument, TIMEOUT_MS],
    )


def position(page: Page) -> float:
    return float(in_mixer(page, "return mixer.position"))


def gains(page: Page) -> dict[str, float]:
    """What each lane's fader is at in the sound itself, not on the page."""
    return dict(
        in_mixer(page, "return Object.fromEntries(mixer.stems.map((lane) => [lane.name, lane.strip.gain.gain.value]))")
    )


def expect_gains(page: Page, expected: dict[str, float]) -> None:
    """Faders glide, on a clock that stands still while the machine is busy."""
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while gains(page) != pytest.approx(expected, abs=1e-6):
        assert time.monotonic() < deadline, gains(page)
        page.wait_for_timeout(50)


def ink(page: Page, stem: str) -> int:
    """How many bytes of the lane's picture are not empty."""
    count = "all => all.getContext('2d').getImageData(0, 0, all.width, all.height).data.filter(Boolean).length"
    return int(stem_row(page, stem).locator("canvas").evaluate(count))


def songhash_of(page: Page) -> str:
    return page.url.rpartition("/")[2]


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe objects to: rule and places."""
    found = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found]
