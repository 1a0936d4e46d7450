"""Loops: the playhead is in them, their edges move, and beyond them they end. One time axis for all."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.conftest import PHONE, WIDE, in_mixer, position, stem_row, violations

RATE = 44_100
SECONDS = 8


def wave(page: Page) -> Locator:
    return stem_row(page, "bass").locator(".wave")


def drag(page: Page, element: Locator, begin: float, end: float) -> None:
    """Over seconds of the song."""
    box = element.bounding_box()
    assert box is not None
    left, width, y = box["x"], box["width"], box["y"] + 12
    page.mouse.move(left + width * begin / SECONDS, y)
    page.mouse.down()
    page.mouse.move(left + width * end / SECONDS, y, steps=4)
    page.mouse.up()


def click(page: Page, element: Locator, seconds: float) -> None:
    box = element.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * seconds / SECONDS, box["y"] + 12)


def loop(page: Page) -> tuple[float, float] | None:
    found = in_mixer(page, "return mixer.loop")
    return found and (found["start"] / RATE, found["end"] / RATE)


def near(*seconds: float) -> object:
    return pytest.approx(seconds, abs=0.06)


def test_a_loop_takes_the_playhead_into_it_and_keeps_it_there(mixer):
    drag(mixer, wave(mixer), 2, 3.2)
    assert loop(mixer) == near(2, 3.2)
    assert (position(mixer),) == near(2)
    in_mixer(mixer, "mixer.seek(2.5); mixer.setLoop({ start: 2.25, end: 3 })")
    assert (position(mixer),) == near(2.5)  # it was in it already
    mixer.click("#play")
    in_mixer(mixer, "mixer.setLoop({ start: 6, end: 7 })")
    assert 6 <= position(mixer) < 7
    mixer.keyboard.press("ArrowRight")  # five seconds on, in a loop of one
    assert 6 <= position(mixer) < 7
    mixer.keyboard.press("Home")
    assert 6 <= position(mixer) < 7


def test_a_click_in_a_loop_stays_in_it_and_one_beyond_it_switches_it_off(mixer):
    drag(mixer, wave(mixer), 2, 4)
    click(mixer, wave(mixer), 3)
    assert loop(mixer) == near(2, 4)
    assert (position(mixer),) == near(3)
    click(mixer, wave(mixer), 6)
    assert loop(mixer) is None
    assert (position(mixer),) == near(6)
    expect(mixer.locator("#loop")).to_have_attribute("aria-pressed", "false")
    mixer.click("#loop")  # back again
    assert loop(mixer) == near(2, 4)
    assert (position(mixer),) == near(2)


def test_the_edges_of_a_loop_are_dragged_in_lanes_and_on_the_ruler(mixer):
    ruler = mixer.locator("#ruler")
    drag(mixer, wave(mixer), 2, 4)
    drag(mixer, wave(mixer), 4, 5)
    assert loop(mixer) == near(2, 5)
    drag(mixer, ruler, 2, 1)
    assert loop(mixer) == near(1, 5)
    drag(mixer, ruler, 1, 6)  # past the other edge
    assert loop(mixer) == near(5, 6)
    drag(mixer, ruler, 0.5, 1.5)  # a new one
    assert loop(mixer) == near(0.5, 1.5)
    click(mixer, ruler, 7)
    assert (loop(mixer), (position(mixer),)) == (None, near(7))


def test_the_edges_of_a_loop_move_by_keyboard(mixer):
    in_mixer(mixer, "mixer.setLoop({ start: 2, end: 4 })")
    start, end = mixer.get_by_role("slider", name="Loop start"), mixer.get_by_role("slider", name="Loop end")
    start.press("ArrowLeft")
    start.press("Shift+ArrowLeft")
    assert loop(mixer) == pytest.approx((0.9, 4))
    end.press("PageUp")
    end.press("ArrowUp")
    assert loop(mixer) == pytest.approx((0.9, 5.1))
    expect(end).to_have_attribute("aria-valuenow", "5.10")
    expect(end).to_be_focused()
    assert position(mixer) == pytest.approx(2)
    assert violations(mixer) == []
    mixer.click("#loop")
    expect(start).to_be_hidden()


def test_a_loop_never_ends_behind_the_song(mixer):
    in_mixer(mixer, "mixer.setLoop({ start: 7.999, end: 8 })")
    assert loop(mixer) == pytest.approx((7.95, 8))


@pytest.mark.parametrize(
    "screen",
    [pytest.param({}, marks=pytest.mark.slow), WIDE, PHONE],
    ids=["1200", "2560", "phone"],
)
def test_ruler_position_and_lanes_lie_on_one_axis(open_page, song, screen):
    page = open_page(**screen)
    page.goto(song.address)
    expect(page.locator("#save-mix")).to_be_enabled()
    lane, ruler, seek = (found.bounding_box() for found in (wave(page), page.locator("#ruler"), page.locator("#seek")))
    assert lane["x"] == pytest.approx(ruler["x"], abs=0.5)
    assert lane["width"] == pytest.approx(ruler["width"], abs=0.5)
    assert (seek["x"] + 8, seek["width"] - 16) == pytest.approx((lane["x"], lane["width"]), abs=0.5)  # half a thumb
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert stem_row(page, "bass").bounding_box()["width"] > 0.88 * width
    assert stem_row(page, "bass").locator(".volume").bounding_box()["width"] >= 145


# Where the lanes are each time that the line about loading changes.
RECORD_LEVELS = """() => {
    window.tops = [];
    const note = () => window.tops.push([
        document.querySelector('#loading').hidden, document.querySelector('#lanes').getBoundingClientRect().top,
    ]);
    new MutationObserver(note).observe(document.querySelector('#loading'), { attributes: true, childList: true });
}"""


def test_nothing_moves_while_the_stems_are_loaded(open_page, song):
    page = open_page()
    held: list[Route] = []
    page.route("**/apiv1/track/**", lambda route: held.append(route))
    page.goto(song.address)
    expect(page.locator("#transport")).to_be_visible()
    page.evaluate(RECORD_LEVELS)
    page.unroute("**/apiv1/track/**")  # which lets those go on that wait
    expect(page.locator("#save-mix")).to_be_enabled()
    tops = page.evaluate("window.tops")
    assert {hidden for hidden, _ in tops} == {True, False}
    assert len({top for _, top in tops}) == 1, tops
