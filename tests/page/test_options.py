"""The options of a song: what they offer, and what they keep."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import PHONE, WIDE

FOUR = ["drums", "bass", "other", "vocals"]
SIX = [*FOUR, "guitar", "piano"]


def model(name: str, sources: list[str]) -> dict[str, Any]:
    return {"name": name, "sources": sources, "refines": [], "summary": None, "licence": None}


@pytest.fixture
def offered(open_page):
    def make(**screen: Any) -> Page:
        page = open_page(**screen)
        offer: dict[str, Any] = {
            "default": "four",
            "models": [model("four", FOUR), model("six", SIX)],
            "formats": ["mp3"],
        }
        offer |= {"limits": {"upload_bytes": 1}, "qualities": {"balanced": {"work": 1}, "best": {"work": 5}}}
        page.route("**/apiv1/models", lambda route: route.fulfill(json=offer))
        page.reload()
        expect(page.locator("[name=model] option")).to_have_count(2)
        return page

    return make


def ticked(page: Page) -> list[str]:
    return page.locator("#some-stems input:checked").evaluate_all("boxes => boxes.map(({ value }) => value)")


def test_the_stems_of_another_model_are_ticked_and_what_was_unticked_stays_so(offered):
    page = offered()
    page.select_option("[name=which]", "some")
    assert ticked(page) == ["vocals", "drums", "bass", "other"]
    page.uncheck("#some-stems [value=bass]")
    page.select_option("[name=model]", "six")
    assert ticked(page) == ["vocals", "drums", "guitar", "piano", "other"]
    page.uncheck("#some-stems [value=piano]")
    page.select_option("[name=model]", "four")
    page.reload()
    assert ticked(page) == ["vocals", "drums", "other"]
    page.select_option("[name=model]", "six")
    assert ticked(page) == ["vocals", "drums", "guitar", "other"]


@pytest.mark.parametrize(
    "screen",
    [WIDE, pytest.param({}, marks=pytest.mark.slow), pytest.param(PHONE, marks=pytest.mark.slow)],
    ids=["2560", "1200", "phone"],
)
def test_the_choices_keep_their_places_when_the_stems_are_shown(offered, screen):
    page = offered(**screen)
    boxes = "[...document.querySelectorAll('#options > .field')].map(e => [e.offsetLeft, e.offsetTop, e.offsetWidth])"
    before = page.evaluate(boxes)
    page.select_option("[name=which]", "some")
    expect(page.locator("#some-stems")).to_be_visible()
    assert page.evaluate(boxes) == before


def test_the_rest_beside_vocals_is_called_instrumental(offered):
    page = offered()
    expect(page.locator("[name=which] option[value='two vocals']")).to_have_text("Vocals and instrumental")
    expect(page.locator("[name=which] option[value='two drums']")).to_have_text("Drums and all but drums")
