"""Mixes by one button, typed decibels, and what was measured of a song."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import PHONE, in_mixer, stem_row, violations


def off(page: Page) -> list[str]:
    return list(in_mixer(page, "return mixer.stems.filter(({ level }) => level.muted).map(({ name }) => name)"))


def test_a_preset_mutes_what_it_leaves_out_and_is_switched_off_again(mixer):
    buttons = mixer.locator("#presets button")
    expect(buttons).to_have_text(["Karaoke", "A cappella", "Drumless", "Bass practice"])
    stem_row(mixer, "other").locator(".solo").click()
    for name, muted in (("Karaoke", ["vocals"]), ("A cappella", ["drums", "bass", "other"]), ("Drumless", ["drums"])):
        button = mixer.get_by_role("button", name=name)
        button.click()
        assert off(mixer) == muted
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(mixer.locator("#presets [aria-pressed=true]")).to_have_count(1)
    assert violations(mixer) == []
    mixer.get_by_role("button", name="Drumless").click()
    assert off(mixer) == []
    stem_row(mixer, "bass").locator(".mute").click()  # by hand: the preset shows it
    expect(mixer.get_by_role("button", name="Bass practice")).to_have_attribute("aria-pressed", "true")


def test_a_preset_is_lit_only_while_it_is_what_is_heard(mixer):
    karaoke = mixer.get_by_role("button", name="Karaoke")
    karaoke.click()
    for change in ({"db": -48}, {"soloed": True}, {"muted": True}):
        in_mixer(mixer, "mixer.setLevel('drums', { db: 0, muted: false, soloed: false })")
        expect(karaoke).to_have_attribute("aria-pressed", "true")
        in_mixer(mixer, "mixer.setLevel('drums', argument)", change)
        expect(karaoke).to_have_attribute("aria-pressed", "false")
    in_mixer(mixer, "mixer.setLevel('drums', { muted: false })")
    expect(karaoke).to_have_attribute("aria-pressed", "true")
    in_mixer(mixer, "mixer.setSide('original')")
    expect(karaoke).to_have_attribute("aria-pressed", "false")
    karaoke.click()  # it is heard then
    expect(karaoke).to_have_attribute("aria-pressed", "true")
    assert in_mixer(mixer, "return mixer.side") == "stems"


TYPED = (
    ("-6", -6, "−6 dB"),
    ("+2,5 dB", 2.5, "+2.5 dB"),
    ("99", 6, "+6 dB"),
    ("-inf", -48, "−∞"),
    ("loud", -3, "−3 dB"),
)


def test_decibels_can_be_typed(mixer):
    field = mixer.get_by_role("textbox", name="Decibels of bass")
    for typed, db, shown in TYPED:
        in_mixer(mixer, "mixer.setLevel('bass', { db: -3 })")
        field.fill(typed)
        field.press("Enter")
        assert in_mixer(mixer, "return mixer.lane('bass').level.db") == db
        expect(field).to_have_value(shown)
        expect(field).not_to_be_focused()


@pytest.mark.parametrize("screen", [pytest.param({}, marks=pytest.mark.slow), PHONE], ids=["desktop", "phone"])
def test_the_longest_decibels_fit(open_page, song, screen):
    page = open_page(**screen)
    page.goto(song.address)
    expect(page.locator("#transport")).to_be_visible()
    in_mixer(page, "mixer.setLevel('bass', { db: -47.5 })")
    field = page.get_by_role("textbox", name="Decibels of bass")
    expect(field).to_have_value("−47.5 dB")
    assert field.evaluate("(element) => element.scrollWidth <= element.clientWidth")


def test_typed_keys_are_no_shortcuts_and_escape_gives_them_up(mixer):
    field = mixer.get_by_role("textbox", name="Decibels of bass")
    field.click()
    mixer.keyboard.type("1m")
    assert off(mixer) == []
    mixer.keyboard.press("Escape")
    expect(field).to_have_value("0 dB")
    assert in_mixer(mixer, "return mixer.lane('bass').level.db") == 0


def test_tempo_key_and_loudness_are_shown_where_they_are_known(open_page, song):
    page = open_page()

    def answer(route: Any, analysis: dict[str, Any]) -> None:
        route.fulfill(json=route.fetch().json() | {"analysis": analysis})

    full = {"tempo": {"bpm": 103.7}, "key": {"name": "F# minor"}, "loudness": {"integrated_lufs": -9.46}}
    page.route("**/events", lambda route: route.abort())
    page.route(f"**/jobs/{song.songhash}", lambda route: answer(route, full))
    page.goto(song.address)
    facts = page.locator("#song-facts")
    expect(facts).to_contain_text("104 BPM · F♯ minor · −9.5 LUFS")
    expect(page.locator("#transport")).to_be_visible()
    for speed, semitones, tempo, key in (
        (0.75, 0, "78 BPM (104 as recorded)", "F♯ minor"),
        (1, -3, "104 BPM", "E♭ minor (transposed from F♯ minor)"),
        (1, 4, "104 BPM", "B♭ minor (transposed from F♯ minor)"),
        (1, 12, "104 BPM", "F♯ minor (transposed by +12 st)"),
        (1, 0.25, "104 BPM", "F♯ minor +25 cents (transposed by +0.25 st)"),
        (1.5, -1.4, "156 BPM (104 as recorded)", "F minor −40 cents (transposed from F♯ minor)"),
    ):
        in_mixer(page, f"mixer.stretch({{ speed: {speed}, semitones: {semitones} }})")
        expect(facts).to_contain_text(f"{tempo} · {key} · −9.5 LUFS")
    page.click("#double-tempo")  # a corrected tempo is the song's, here as in its field
    expect(facts).to_contain_text("311 BPM (207 as recorded)")
    page.click("#beats-reset")
    page.click("#tempo-reset")
    expect(facts).to_contain_text("104 BPM · F♯ minor · −9.5 LUFS")
    page.unroute(f"**/jobs/{song.songhash}")
    nothing: dict[str, Any] = {"tempo": None, "key": None, "loudness": None}
    page.route(f"**/jobs/{song.songhash}", lambda route: answer(route, nothing))
    page.reload()
    expect(page.locator("#song-facts")).to_have_text("0:08 · htdemucs_mini · MP3 320")
