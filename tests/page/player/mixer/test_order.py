"""The order of the lanes: dragged, moved by keys, kept with the mix and in its address."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import PHONE, in_mixer, stem_row, violations


def expect_order(page: Page, *stems: str) -> None:
    for place, stem in enumerate(stems):
        expect(page.locator("#lanes .lane").nth(place)).to_have_attribute("data-stem", stem)
    assert in_mixer(page, "return mixer.stems.map(({ name }) => name)") == list(stems)


def drag(page: Page, stem: str, onto: str) -> None:
    """By its handle, in small steps, as a hand does it."""
    handle, target = stem_row(page, stem).locator(".handle").bounding_box(), stem_row(page, onto).bounding_box()
    assert handle is not None and target is not None
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    up = target["y"] < y
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, target["y"] + (0.1 if up else 0.9) * target["height"], steps=12)
    page.mouse.up()


def test_lanes_are_dragged_to_other_places(mixer):
    expect_order(mixer, "vocals", "drums", "bass", "other")
    drag(mixer, "vocals", "bass")
    expect_order(mixer, "drums", "bass", "vocals", "other")
    drag(mixer, "other", "drums")
    expect_order(mixer, "other", "drums", "bass", "vocals")
    expect(mixer.locator(".dragged")).to_have_count(0)


def test_lanes_are_moved_by_keys_and_keep_the_focus(mixer):
    handle = mixer.get_by_role("button", name="Move bass")
    handle.press("ArrowUp")
    expect_order(mixer, "vocals", "bass", "drums", "other")
    expect(handle).to_be_focused()
    expect(mixer.locator("#say")).to_have_text("bass at place 2 of 4")
    for _ in range(3):
        handle.press("ArrowDown")
    expect_order(mixer, "vocals", "drums", "other", "bass")
    expect(handle).to_be_focused()
    mixer.locator("#play").focus()
    mixer.keyboard.press("Shift+ArrowUp")  # the selected lane, which had the focus
    expect_order(mixer, "vocals", "drums", "bass", "other")
    mixer.keyboard.press("Shift+3")  # keys count the lanes as they stand
    expect(stem_row(mixer, "bass").locator(".mute")).to_have_attribute("aria-pressed", "true")
    assert violations(mixer) == []


def test_the_order_is_kept_and_shared_and_reset(mixer, song, open_page):
    mixer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    mixer.get_by_role("button", name="Move vocals").press("ArrowDown")
    mixer.click("#share-mix")
    expect(mixer.locator(".toast")).to_contain_text("was copied")
    address = mixer.evaluate("navigator.clipboard.readText()")
    assert address.endswith(f"{song.address}?order=drums,vocals,bass,other")
    mixer.reload()
    expect(mixer.locator("#save-mix")).to_be_enabled()
    expect_order(mixer, "drums", "vocals", "bass", "other")
    mixer.click("#reset-mix")
    expect_order(mixer, "vocals", "drums", "bass", "other")
    other = open_page(f"{song.address}?order=nothing,other,original,other,bass")
    expect(other.locator("#save-mix")).to_be_enabled()
    expect_order(other, "other", "bass", "vocals", "drums")


@pytest.mark.parametrize("screen", [{}, PHONE], ids=["desktop", "phone"])
def test_handles_are_accessible_and_fit(open_page, song, screen):
    page = open_page(song.address, **screen)
    expect(page.locator("#save-mix")).to_be_enabled()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
