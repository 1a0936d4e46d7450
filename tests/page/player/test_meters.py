"""Level meters: of what is heard, only while it is heard, with a lamp that stays after a clip."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import MAIN, PHONE, WIDE, in_mixer, stem_row, until, violations

# A lane plays a square wave at a level, so that its peak and its RMS are equal.
LEVEL = """
    for (const { name } of mixer.stems) {
        const buffer = new AudioBuffer({ length: mixer.frames, numberOfChannels: 2, sampleRate: mixer.rate });
        const level = argument[name] ?? 0;
        for (const channel of [0, 1]) {
            const samples = buffer.getChannelData(channel);
            for (let at = 0; at < samples.length; at++) samples[at] = at % 100 < 50 ? level : -level;
        }
        mixer.setBuffer(name, buffer, true);
    }
    mixer.setLoop({ start: 0, end: 8 });
"""


def meter(page: Page, stem: str) -> Locator:
    root = page.locator("#mix-meter") if stem == "mix" else stem_row(page, stem)
    return root.locator(".meter")


def shows(page: Page, stem: str, kind: str, low: float, high: float) -> None:
    """Waits until a meter is within these decibels."""
    script = """async ([element, main, kind, low, high]) => {
        const { LOWEST_DB, HIGHEST_DB } = await import(new URL('player/meters/scale.js', main));
        const db = LOWEST_DB + Number(element.style.getPropertyValue('--' + kind)) * (HIGHEST_DB - LOWEST_DB);
        return db >= low && db <= high;
    }"""
    main = page.evaluate(f"() => {MAIN}")
    until(page, script, [meter(page, stem).element_handle(), main, kind, low, high])


def test_meters_show_peak_and_rms_of_lanes_and_mix(mixer):
    in_mixer(mixer, LEVEL, {"bass": 0.25, "drums": 0.125})
    mixer.click("#play")
    shows(mixer, "bass", "rms", -12.3, -11.8)
    shows(mixer, "bass", "peak", -12.3, -11.8)
    shows(mixer, "drums", "rms", -18.4, -17.8)
    shows(mixer, "mix", "rms", -8.8, -8.2)
    shows(mixer, "vocals", "rms", -60, -60)
    in_mixer(mixer, "mixer.setLevel('bass', { db: -6 })")
    shows(mixer, "bass", "rms", -18.4, -17.8)
    in_mixer(mixer, "mixer.setLevel('bass', { muted: true })")
    shows(mixer, "bass", "rms", -60, -60)
    shows(mixer, "mix", "rms", -18.4, -17.8)
    mixer.click("#play")
    shows(mixer, "mix", "rms", -60, -60)
    shows(mixer, "mix", "peak", -60, -60)
    assert in_mixer(mixer, "return mixer.playing") is False


COUNT = """() => {
    window.asked = 0;
    const ask = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (act) => { window.asked += 1; return ask(act); };
}"""
ASKED_IN_HALF_A_SECOND = """async () => {
    window.asked = 0;
    await new Promise((done) => setTimeout(done, 500));
    return window.asked;
}"""


def test_nothing_is_drawn_while_a_song_is_paused(mixer):
    mixer.evaluate(COUNT)
    mixer.click("#play")
    until(mixer, "() => window.asked > 3")
    mixer.click("#play")
    in_mixer(mixer, "mixer.seek(1)")
    shows(mixer, "mix", "peak", -60, -60)
    until(mixer, f"async () => await ({ASKED_IN_HALF_A_SECOND})() === 0")
    assert mixer.evaluate(ASKED_IN_HALF_A_SECOND) == 0, "and it stays so"


def test_a_clip_stays_lit_until_it_is_clicked(mixer):
    lamp = mixer.locator("#mix-meter .clip")
    in_mixer(mixer, LEVEL, {"bass": 0.7, "drums": 0.7})
    mixer.click("#play")
    expect(lamp).to_be_visible()
    expect(lamp).to_have_attribute("aria-label", "The mix: up to 2.9 dB above full scale. Click to clear")
    expect(stem_row(mixer, "bass").locator(".clip")).to_be_hidden()
    expect(mixer.locator("#say")).to_have_text("The mix clipped")
    mixer.click("#play")
    expect(lamp).to_be_visible()
    assert violations(mixer) == []
    lamp.focus()
    mixer.keyboard.press("Enter")
    expect(lamp).to_be_hidden()
    in_mixer(mixer, "mixer.setLevel('bass', { db: 6 })")
    mixer.click("#play")
    expect(stem_row(mixer, "bass").locator(".clip")).to_be_visible()


def test_with_reduced_motion_only_the_lamps_change(open_page, song):
    page = open_page(song.address, reduced_motion="reduce")
    expect(page.locator("#save-mix")).to_be_enabled()
    in_mixer(page, LEVEL, {"bass": 0.7, "drums": 0.7})
    page.click("#play")
    expect(page.locator("#mix-meter .clip")).to_be_visible()
    expect(meter(page, "mix")).to_be_hidden()
    assert meter(page, "bass").evaluate("element => element.style.getPropertyValue('--rms')") in ("", "0", "0.000")


@pytest.mark.parametrize("screen", [{}, WIDE, PHONE], ids=["1200", "2560", "phone"])
def test_lit_lamps_fit(open_page, song, screen: dict[str, Any]):
    page = open_page(song.address, **screen)
    expect(page.locator("#save-mix")).to_be_enabled()
    in_mixer(page, LEVEL, {"bass": 2, "drums": 2, "vocals": 2, "other": 2})
    page.click("#play")
    for stem in ("bass", "drums", "vocals", "other"):
        expect(stem_row(page, stem).locator(".clip")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
