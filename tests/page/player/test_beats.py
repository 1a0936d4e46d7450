"""Bars and beats: on the ruler, as marks that loops snap to; measured by the service or set by the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import MAIN, PHONE, WIDE, in_mixer, position, stem_row, violations

RATE = 44_100
SECONDS = 8
TEMPO = {"bpm": 120.0, "confidence": 0.7, "first_beat_seconds": 0.25}


@pytest.fixture
def beaten(open_page: Callable[..., Page], song) -> Callable[..., Page]:
    """Opens the song as one with this tempo."""

    def make(tempo: dict[str, Any] | None = TEMPO, **options: Any) -> Page:
        page = open_page(**options)

        def answer(route: Any) -> None:
            job = route.fetch().json()
            job["analysis"] = {"loudness": None, "key": None, "tempo": tempo}
            route.fulfill(json=job)

        page.route(f"**/apiv1/jobs/{song.songhash}", answer)
        page.route(f"**/apiv1/jobs/{song.songhash}/events", lambda route: route.abort())
        page.goto(song.address)
        expect(page.locator("#save-mix")).to_be_enabled()
        return page

    return make


def wave(page: Page) -> Locator:
    return stem_row(page, "bass").locator(".wave")


def drag(page: Page, begin: float, end: float, *, key: str | None = None) -> None:
    box = wave(page).bounding_box()
    assert box is not None
    y = box["y"] + 20
    page.mouse.move(box["x"] + box["width"] * begin / SECONDS, y)
    if key:
        page.keyboard.down(key)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end / SECONDS, y, steps=4)
    page.mouse.up()
    if key:
        page.keyboard.up(key)


def loop(page: Page) -> tuple[float, float] | None:
    found = in_mixer(page, "return mixer.loop")
    return found and (found["start"] / RATE, found["end"] / RATE)


def near(*seconds: float) -> object:
    return pytest.approx(seconds, abs=0.0001)


def bars(page: Page) -> Locator:
    return page.locator("#ruler .bars span")


def grid(page: Page, script: str) -> Any:
    return page.evaluate(
        f"async () => {{ const {{ Grid, gridOf }} = await import(new URL('player/beats/grid.js', {MAIN})); {script} }}"
    )


def test_a_grid_counts_bars_from_the_first_that_begins_in_the_song(mixer):
    script = "return new Grid(120, 0.75).between(0, 3).map(({ seconds, bar, beat }) => [seconds, bar, beat])"
    assert grid(mixer, script) == [
        [0.25, 0, 4],
        [0.75, 1, 1],
        [1.25, 1, 2],
        [1.75, 1, 3],
        [2.25, 1, 4],
        [2.75, 2, 1],
    ]
    steps = "const grid = new Grid(120, 0.25); return [grid.nearest(1.4), grid.away(0.75, 1), grid.away(0.8, 1),"
    assert grid(mixer, steps + " grid.away(0.8, -1), grid.away(0.75, -4)]") == pytest.approx(
        [1.25, 1.25, 1.25, 0.75, -1.25]
    )
    known = "return [gridOf(null, {}), gridOf({ bpm: 100, first_beat_seconds: null }, {}),"
    assert grid(mixer, known + " gridOf({ bpm: 100, first_beat_seconds: null }, { one: 2 }).one]") == [None, None, 2]


def test_loops_snap_to_beats_unless_that_is_off_or_alt_is_pressed(beaten):
    page = beaten()
    expect(bars(page).first).to_have_text("1")
    drag(page, 1.2, 3.4)
    assert loop(page) == near(1.25, 3.25)
    drag(page, 3.25, 4.1)  # its end
    assert loop(page) == near(1.25, 4.25)
    drag(page, 6.2, 6.3)  # less than a beat
    assert loop(page) == near(6.25, 6.75)
    drag(page, 1.1, 3.1, key="Alt")
    assert loop(page) == pytest.approx((1.1, 3.1), abs=0.02)
    page.keyboard.press("b")
    expect(page.locator("#snap")).to_have_attribute("aria-pressed", "false")
    drag(page, 5.1, 6.1)
    assert loop(page) == pytest.approx((5.1, 6.1), abs=0.02)
    page.reload()
    expect(page.locator("#snap")).to_have_attribute("aria-pressed", "false")


def test_keys_move_a_loops_edges_by_beats_and_bars(beaten):
    page = beaten()
    in_mixer(page, "mixer.setLoop({ start: 2.25, end: 4.1 })")
    start, end = page.get_by_role("slider", name="Loop start"), page.get_by_role("slider", name="Loop end")
    end.press("ArrowRight")
    assert loop(page) == near(2.25, 4.25)
    end.press("Shift+ArrowRight")
    assert loop(page) == near(2.25, 6.25)
    start.press("ArrowLeft")
    assert loop(page) == near(1.75, 6.25)
    start.press("Alt+ArrowRight")
    assert loop(page) == near(1.85, 6.25)
    in_mixer(page, "mixer.seek(2.9)")
    page.locator("#play").focus()
    page.keyboard.press("[")
    assert loop(page) == near(2.75, 6.25)
    in_mixer(page, "mixer.seek(3.9)")
    page.keyboard.press("}")
    assert loop(page) == near(2.75, 3.9)


def test_a_user_sets_tempo_and_the_one_and_they_are_kept(beaten):
    page = beaten()
    page.click("#half-tempo")
    expect(page.locator("#bpm")).to_have_value("60")
    page.click("#double-tempo")
    page.click("#double-tempo")
    expect(page.locator("#bpm")).to_have_value("240")
    page.fill("#bpm", "100")
    page.keyboard.press("Enter")
    in_mixer(page, "mixer.seek(1)")
    page.click("#one-here")
    expect(bars(page).first).to_have_text("0.4")  # the song begins within a bar
    drag(page, 1.1, 2.1)
    assert loop(page) == near(1, 2.2)
    page.fill("#bpm", "none")
    page.keyboard.press("Enter")
    expect(page.locator("#bpm")).to_have_value("100")
    page.reload()
    expect(page.locator("#bpm")).to_have_value("100")
    page.click("#beats-reset")
    expect(page.locator("#bpm")).to_have_value("120")
    expect(page.locator("#beats-reset")).to_be_hidden()


def test_without_a_tempo_a_user_can_set_one(beaten):
    page = beaten(None)
    expect(page.locator("#beats-note")).to_contain_text("No tempo was found")
    expect(page.locator("#snap")).to_be_disabled()
    expect(bars(page)).to_have_count(0)
    drag(page, 1.1, 3.1)
    assert loop(page) == pytest.approx((1.1, 3.1), abs=0.02)
    page.fill("#bpm", "120")
    page.keyboard.press("Enter")
    expect(page.locator("#beats-note")).to_contain_text("1 here")
    in_mixer(page, "mixer.setLoop(null); mixer.seek(0.5)")
    page.keyboard.press("Shift+B")
    expect(page.locator("#snap")).to_be_enabled()
    drag(page, 1.1, 3.1)
    assert loop(page) == near(1, 3)
    assert position(page) == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("screen", [{}, WIDE, PHONE], ids=["1200", "2560", "phone"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_beats_are_accessible_and_fit(beaten, screen, colours):
    page = beaten(color_scheme=colours, **screen)
    expect(bars(page).first).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
