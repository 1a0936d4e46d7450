"""The page where the service takes keys: asked for, kept by choice, shown in a header and never in an address."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Page, expect

from msaas.auth.keys import new_key
from tests.page.conftest import STEMS, ink, pick, songhash_of, stem_row, violations
from tests.support.audio.sounds import flac, tune
from tests.support.service import Service

ANNA, ANNAS = new_key("anna", ["use"])
BEN, BENS = new_key("ben", ["use"])
ASKED: list[str] = []


@pytest.fixture(scope="module")
def service(service: Service) -> Iterator[Service]:
    """One that takes keys, in front of the same worker."""
    with service.another_api(MSAAS_API_KEYS=f"{ANNAS.line}\n{BENS.line}") as keyed:
        yield keyed


@pytest.fixture
def page(open_page) -> Iterator[Page]:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert not [url for url in asked if ANNA in url or BEN in url]


def give_key(page: Page, text: str, *, remember: bool = False) -> None:
    expect(page.locator("#key")).to_be_visible()
    page.fill("#key [name=key]", text)
    page.set_checked("#key [name=remember]", remember)
    page.click("#key .primary")


def test_a_song_goes_its_whole_way_with_a_key(page):
    assert violations(page) == []
    give_key(page, ANNA)
    expect(page.locator("#limits")).to_contain_text("200 MB")
    pick(page, ("Keyed.flac", flac(tune(2, seed=801))))
    expect(page.locator("#save-mix")).to_be_enabled()
    assert all(ink(page, stem) > 5000 for stem in STEMS)
    with page.expect_download() as stem:
        stem_row(page, "bass").locator(".save").click()
    assert stem.value.suggested_filename == "Keyed (Bass).mp3"
    assert stem.value.path().stat().st_size > 10_000
    with page.expect_download() as everything:
        page.click("#save-all")
    assert everything.value.suggested_filename == "Keyed.zip"
    assert everything.value.path().read_bytes()[:2] == b"PK"
    page.click("#delete")
    page.click("#confirm button[value=delete]")
    expect(page.locator("#drop")).to_be_visible()


def test_each_key_lists_its_own_songs(open_page, service):
    bearer = {"Authorization": f"Bearer {ANNA}"}
    files = {"file": ("Annas Song.flac", flac(tune(1, seed=804)))}
    assert requests.post(f"{service.url}/apiv1/separate", files=files, headers=bearer, timeout=60).ok
    page = open_page(library=True)
    give_key(page, ANNA)
    song = page.locator("#history li", has_text="Annas Song")
    expect(song).to_be_visible()
    page.click("#open-key")
    with page.expect_response(re.compile(r"/apiv1/jobs\?")) as answer:
        give_key(page, BEN)
    assert answer.value.json()["jobs"] == []
    expect(page.locator("#history")).to_be_hidden()
    page.click("#open-key")
    with page.expect_response(re.compile(r"/apiv1/jobs\?")) as answer:
        page.click("#key-forget")
    assert answer.value.status == 401
    page.click("#key-close")
    expect(page.locator("#history")).to_be_hidden()
    expect(page.locator(".toast[role=alert]")).to_have_count(0)


@pytest.mark.slow
def test_another_tenants_song_is_not_here(page, open_page):
    give_key(page, ANNA)
    pick(page, ("Hers.flac", flac(tune(2, seed=802))))
    expect(page.locator("#play")).to_be_visible()
    others = open_page(f"/#/job/{songhash_of(page)}")
    expect(others.locator("#notice")).to_contain_text("requires a key")
    give_key(others, BEN)
    expect(others.locator("#ended-title")).to_have_text("No longer available")


def test_a_wrong_key_is_told_and_another_may_be_given(page):
    give_key(page, "msaas_wrong")
    expect(page.locator("#key-text")).to_have_text("This service does not know that key.")
    give_key(page, ANNA)
    expect(page.locator("#limits")).to_contain_text("200 MB")


@pytest.mark.parametrize("remember", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_key_is_kept_for_the_tab_or_in_the_browser_and_forgotten_when_told(page, remember):
    give_key(page, ANNA, remember=remember)
    expect(page.locator("#limits")).to_contain_text("200 MB")
    page.reload()
    expect(page.locator("#limits")).to_contain_text("200 MB")
    other_tab = page.context.new_page()
    other_tab.goto("/")
    expect(other_tab.locator("#key" if not remember else "#open-key")).to_be_visible()
    assert other_tab.locator("#key").is_visible() is not remember
    page.click("#open-key")
    page.click("#key-forget")
    expect(page.locator("#key")).to_be_visible()  # which the next call asks for again
    assert page.evaluate("Object.values(localStorage).concat(Object.values(sessionStorage)).join()").count(ANNA) == 0


def test_a_dialog_that_was_closed_does_not_come_back_by_itself(page):
    page.click("#key-close")
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status == 401 else None)
    page.reload()
    expect(page.locator("#key")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#main")).to_be_focused()
    pick(page, ("Nobody.flac", flac(tune(1, seed=803))))
    expect(page.locator(".toast[role=alert]")).to_contain_text("requires a key")
    expect(page.locator("#key")).to_be_hidden()
    expect(page.locator("#open-key")).to_be_visible()
    page.goto("/#/job/00000000-0000-4000-8000-000000000000")
    expect(page.locator("#notice")).to_contain_text("requires a key")
    assert len(refused) == 1  # the first call found out
    page.click("#open-key")
    give_key(page, "msaas_wrong")
    expect(page.locator("#key-text")).to_have_text("This service does not know that key.")
    assert len(refused) == 2
    give_key(page, "msaas_wrong")  # it may be known by now
    expect(page.locator("#key-text")).to_have_text("This service does not know that key.")
    give_key(page, ANNA)
    expect(page.locator("#ended-title")).to_have_text("No longer available")
    assert len(refused) == 3
