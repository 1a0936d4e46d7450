"""What a phone does with the page: its lock screen, its screen saver, its home screen. Real devices are not tested."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.page.conftest import position

NOBODY = "00000000-0000-4000-8000-000000000000"

HANDLERS = """
    window.handlers = {};
    navigator.mediaSession.setActionHandler = (action, handler) => { window.handlers[action] = handler; };
"""
LOCKS = """
    const held = [];
    const note = () => { document.documentElement.dataset.locks = held.join(); };
    navigator.wakeLock.request = async () => {
        const index = held.push('held') - 1;
        note();
        return Object.assign(new EventTarget(), { release: async () => { held[index] = 'released'; note(); } });
    };
"""


def test_the_lock_screen_names_the_song_and_plays_it(open_page, song):
    page = open_page()
    page.add_init_script(HANDLERS)
    page.goto(song.address)
    page.reload()
    expect(page.locator("#save-mix")).to_be_enabled()
    assert page.evaluate("navigator.mediaSession.metadata.title") == page.locator("#song-title").text_content()
    page.click("#play")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    assert page.evaluate("navigator.mediaSession.playbackState") == "playing"
    page.evaluate("handlers.pause({})")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    assert page.evaluate("navigator.mediaSession.playbackState") == "paused"
    page.evaluate("handlers.seekto({ seekTime: 3 })")
    assert position(page) == 3
    page.evaluate("handlers.seekforward({ seekOffset: 2 })")
    assert position(page) == 5
    page.evaluate("handlers.previoustrack({})")
    assert position(page) == 0
    page.click("#song .back")
    expect(page.locator("#drop")).to_be_visible()
    assert page.evaluate("navigator.mediaSession.playbackState") == "none"


def test_the_screen_stays_on_while_a_song_is_separated(open_page):
    page = open_page()
    page.add_init_script(LOCKS)
    job: dict[str, Any] = {"songhash": NOBODY, "state": "running", "stage": "separating", "progress": 0.5}
    job |= {
        "options": None,
        "model": "htdemucs",
        "stems": {},
        "eta_seconds": 30,
        "duration_seconds": 180,
        "error": None,
    }
    page.route("**/events", lambda route: route.abort())
    page.route(f"**/jobs/{NOBODY}", lambda route: route.fulfill(json=job))
    page.goto(f"/#/job/{NOBODY}")
    page.reload()
    expect(page.locator("#stage")).to_have_text("Separating")
    root = page.locator("html")
    expect(root).to_have_attribute("data-locks", "held")
    page.click("#song .back")
    expect(root).to_have_attribute("data-locks", "released")
    page.goto(f"/#/job/{NOBODY}")
    expect(root).to_have_attribute("data-locks", "released,held")
    job |= {"state": "failed", "error": {"code": "bad_audio", "detail": ""}}
    expect(page.locator("#ended")).to_be_visible()
    expect(root).to_have_attribute("data-locks", "released,released")


def test_the_page_can_be_installed(page):
    address = page.locator("link[rel=manifest]").get_attribute("href")
    manifest = page.evaluate("async (address) => (await fetch(address)).json()", address)
    assert (manifest["start_url"], manifest["display"]) == ("/", "standalone")
    for icon in manifest["icons"]:
        answer = page.request.get(f"{address.rpartition('/')[0]}/{icon['src']}")
        assert (answer.status, answer.headers["content-type"]) == (200, icon["type"])
    session = page.context.new_cdp_session(page)
    assert session.send("Page.getAppManifest")["errors"] == []
    errors = [error["errorId"] for error in session.send("Page.getInstallabilityErrors")["installabilityErrors"]]
    assert errors == ["in-incognito"]  # as every window of a test is
