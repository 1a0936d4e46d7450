"""The options of a song: what they offer, and what they keep."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import PHONE, WIDE, pick, violations
from tests.support.audio.sounds import flac, tune

FOUR = ["drums", "bass", "other", "vocals"]
SIX = [*FOUR, "guitar", "piano"]


def model(name: str, sources: list[str]) -> dict[str, Any]:
    return {"name": name, "sources": sources, "refines": [], "summary": None, "licence": None}


@pytest.fixture
def offered(open_page):
    def make(models: list[dict[str, Any]] | None = None, **screen: Any) -> Page:
        models = models or [model("four", FOUR), model("six", SIX)]
        page = open_page(**screen)
        offer: dict[str, Any] = {
            "default": "four",
            "models": models,
            "formats": ["mp3"],
        }
        offer |= {"limits": {"upload_bytes": 1}, "qualities": {"balanced": {"work": 1}, "best": {"work": 5}}}
        page.route("**/apiv1/models", lambda route: route.fulfill(json=offer))
        page.reload()
        expect(page.locator("[name=model] option")).to_have_count(len(models))
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


ROOM = """(select) => {
    const text = document.createElement('span');
    text.style.cssText = `font: ${getComputedStyle(select).font}; position: absolute; white-space: nowrap`;
    text.textContent = select.selectedOptions[0].text;
    document.body.append(text);
    const { paddingLeft, paddingRight } = getComputedStyle(select);
    const room = select.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight) - text.offsetWidth;
    text.remove();
    return room;
}"""


@pytest.mark.parametrize("screen", [{}, WIDE], ids=["1200", "2560"])
def test_choices_that_belong_together_stand_in_one_row_and_the_quality_is_read_in_full(offered, screen):
    models = [model("four", FOUR) | {"seconds_per_audio_second": 6}]
    page = offered(models, **screen)
    pick(page, ("Song.flac", flac(tune(20, seed=737))), start=False)
    quality = page.locator("[name=quality]")
    expect(quality.locator("option").first).to_contain_text("for this song")
    assert quality.evaluate(ROOM) >= 0
    names = ("format", "rate", "start", "end")
    tops = {page.locator(f"[name={name}]").bounding_box()["y"] for name in names}
    assert len(tops) == 1


def test_the_rest_beside_vocals_is_called_instrumental(offered):
    page = offered()
    expect(page.locator("[name=which] option[value='two vocals']")).to_have_text("Vocals and instrumental")
    expect(page.locator("[name=which] option[value='two drums']")).to_have_text("Drums and all but drums")


def test_a_refined_stem_takes_the_time_of_the_model_that_refines_it(offered):
    models = [
        model("four", FOUR) | {"seconds_per_audio_second": 0.5},
        model("kit", ["kick", "snare"]) | {"seconds_per_audio_second": 6, "refines": ["drums"]},
        model("choir", ["lead", "backing"]) | {"seconds_per_audio_second": None, "refines": ["vocals"]},
    ]
    page = offered(models)
    pick(page, ("Song.flac", flac(tune(20, seed=735))), start=False)
    cost = page.locator("#tray-cost")
    expect(cost).to_have_text("Takes about 10 seconds here.")
    page.select_option("#refine [data-stem=drums]", "kit")
    expect(cost).to_have_text("Takes about 2 minutes here.")  # 20 s · (0.5 + 6)
    page.select_option("#refine [data-stem=vocals]", "choir")
    expect(cost).to_contain_text("No song was separated here yet")


def test_a_model_that_no_worker_runs_says_so_instead_of_a_time(offered):
    waiting = {"waiting_for": {"code": "model_not_offered", "detail": "for programs"}, "seconds_per_audio_second": 1}
    kit = model("kit", ["kick", "snare"]) | waiting | {"refines": ["drums"]}
    ready = {"waiting_for": None, "seconds_per_audio_second": 1}
    page = offered([model("four", FOUR) | ready, model("six", SIX) | waiting, kit])
    choice, quality, cost = page.locator("[name=model]"), page.locator("[name=quality]"), page.locator("#tray-cost")
    reason = "waiting for a worker that has this model"
    expect(choice.locator("option")).to_have_text(["four", f"six ({reason})", f"kit ({reason})"])
    expect(page.locator("#refine [data-stem=drums] option").last).to_have_text(f"kick, snare ({reason})")
    pick(page, ("Song.flac", flac(tune(20, seed=736))), start=False)
    expect(cost).to_have_text("Takes about 20 seconds here.")
    choice.select_option("six")
    expect(cost).to_have_text("Waiting for a worker that has this model. Songs that are sent now wait, too.")
    expect(quality.locator("option")).to_have_text([f"Balanced ({reason})", f"Best ({reason})"])
    assert violations(page) == []
    choice.select_option("four")
    expect(quality.locator("option").first).to_have_text("Balanced (0:20 for this song)")
    page.select_option("#refine [data-stem=drums]", "kit")
    expect(cost).to_contain_text("Songs that are sent now wait, too.")
