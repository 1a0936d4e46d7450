"""A song shared by a link: opened by a second browser that has no key, read only, until the link is revoked."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from msaas.auth.keys import new_key
from msaas.local.processes.child import wait_until
from tests.page.conftest import in_mixer, stem_row, violations
from tests.support.audio.sounds import flac, tune

GERMAN_DATE = r"\d{1,2}\. [A-Z][a-zä]+\.? \d{4}"  # 5. Dez. 2026


@pytest.fixture(scope="module")
def locked(service):
    """The same service with keys: its address, and Anna's key."""
    text, key = new_key("anna", ["use"])
    with service.another_api(MSAAS_API_KEYS=key.line) as locked:
        yield locked, text


@pytest.fixture(scope="module")
def annas(locked):
    api, text = locked
    headers = {"Authorization": f"Bearer {text}"}
    data = flac(tune(2, seed=890))
    sent = requests.post(f"{api.url}/apiv1/separate?filename=Ours.flac", data=data, headers=headers, timeout=60)
    songhash = sent.json()["songhash"]

    def is_done() -> bool:
        view = requests.get(f"{api.url}/apiv1/jobs/{songhash}", headers=headers, timeout=60).json()
        return view["state"] == "done"

    assert wait_until(is_done, 180, pause_seconds=0.1)
    return songhash


@pytest.fixture
def visit(browser, locked):
    """A page of a browser of its own, on the service with keys."""
    contexts = []

    def visit(path: str, key: str = "", **options: Any) -> Page:
        usual = {"permissions": ["clipboard-read", "clipboard-write"], "service_workers": "block"}
        context = browser.new_context(base_url=locked[0].url, **usual | options)
        contexts.append(context)
        context.set_default_timeout(90_000)
        page = context.new_page()
        if key:
            page.goto("/apiv1")
            page.evaluate("key => sessionStorage.setItem('msaas.apikey', key)", key)
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()


def test_a_second_browser_without_a_key_opens_the_link_with_its_mix(visit, locked, annas):
    anna = visit(f"/#/job/{annas}", locked[1])
    expect(anna.locator("#save-mix")).to_be_enabled()
    in_mixer(anna, "mixer.setLevel('vocals', { db: -6, pan: 0, muted: true }); mixer.setLoop({ start: 0.5, end: 1 })")
    in_mixer(anna, "mixer.setLevel('bass', { db: -48, pan: -1, soloed: true }); mixer.setOrder(['other', 'bass'])")
    in_mixer(anna, "mixer.stretch({ speed: 0.755, semitones: -2.25 })")
    anna.click("#share-mix")
    expect(anna.locator("#toasts")).to_contain_text("without a key until")
    link = anna.evaluate("navigator.clipboard.readText()")
    assert re.search(r"/#/share/share_[0-9a-f]{16}_[\w-]{43}$", link)

    ben = visit(link, locale="de-DE")
    expect(ben.locator("#song-title")).to_have_text("Ours")
    expect(ben.locator("#shared-note")).to_have_text(re.compile(rf"^Shared with you until {GERMAN_DATE}\.$"))
    expect(ben.locator("#save-mix")).to_be_enabled()
    expect(stem_row(ben, "vocals").locator(".mute")).to_have_attribute("aria-pressed", "true")
    assert in_mixer(ben, "return mixer.loop.start / mixer.rate") == pytest.approx(0.5)
    assert in_mixer(ben, "return [mixer.speed, mixer.semitones, mixer.stems[0].name]") == [0.755, -2.25, "other"]
    for hidden in ("#delete", "#share-mix", "#open-links", "#mix-format", "#song .back", "#open-key"):
        expect(ben.locator(hidden)).to_be_hidden()
    expect(ben.locator("#key")).to_be_hidden()  # no key is asked for
    expect(ben.get_by_role("link", name="My own mix")).to_be_hidden()  # which needs a key
    assert violations(ben) == []
    stem_row(ben, "drums").locator(".mute").click()
    for selector, name in (("[data-stem=bass] .save", "Ours (Bass).mp3"), ("#save-all", "Ours.zip")):
        with ben.expect_download() as download:
            ben.click(selector)
        assert download.value.suggested_filename == name
        assert download.value.path().stat().st_size > 1000
    ben.evaluate("localStorage.setItem('msaas.mixFormat', '\"mp3\"')")  # chosen for songs of one's own
    ben.reload()
    expect(ben.locator("#save-mix")).to_be_enabled()
    expect(stem_row(ben, "drums").locator(".mute")).to_have_attribute("aria-pressed", "true")
    kept = ben.evaluate("JSON.stringify(localStorage)")
    assert link.rpartition("_")[2] not in kept
    ben.get_by_role("button", name="The link's mix").click()
    expect(stem_row(ben, "drums").locator(".mute")).to_have_attribute("aria-pressed", "false")
    expect(stem_row(ben, "vocals").locator(".mute")).to_have_attribute("aria-pressed", "true")
    with ben.expect_download() as download:
        ben.click("#save-mix")
    assert download.value.suggested_filename == "Ours (Mix).wav"

    anna.locator("#toasts").get_by_role("button", name="Revoke").click()
    expect(anna.locator("#toasts")).to_contain_text("The link was revoked")
    ben.reload()
    expect(ben.locator("#ended-title")).to_have_text("This link opens no song")
    expect(ben.locator("#ended-text")).to_have_text("It has expired or was revoked.")
    assert violations(ben) == []


def test_leaving_a_shared_song_gives_up_its_link(visit, locked, annas):
    headers = {"Authorization": f"Bearer {locked[1]}"}
    made = requests.post(f"{locked[0].url}/apiv1/jobs/{annas}/shares", json={}, headers=headers, timeout=60).json()
    page = visit(made["url"])
    expect(page.locator("#shared-note")).to_be_visible()
    lefts = [page.locator(selector).bounding_box()["x"] for selector in ("#song-title", "#shared-note")]
    assert lefts[0] == lefts[1]
    page.click(".brand")
    expect(page.locator("#key")).to_be_visible()  # the list needs a key
    page.click("#key-close")
    expect(page.locator("#song")).to_be_hidden()


def test_the_links_of_a_song_are_listed_and_revoked_one_by_one(visit, locked, annas):
    headers = {"Authorization": f"Bearer {locked[1]}"}
    shares = f"{locked[0].url}/apiv1/jobs/{annas}/shares"
    for old in requests.get(shares, headers=headers, timeout=60).json()["shares"]:
        requests.delete(f"{shares}/{old['id']}", headers=headers, timeout=60)
    for mix in ("", "mix=vocals:0:0:m"):
        made = requests.post(shares, json={"days": 2, "mix": mix}, headers=headers, timeout=60).json()
    page = visit(f"/#/job/{annas}", locked[1], locale="de-DE")
    page.click("#open-links")
    dialog = page.get_by_role("dialog", name="Links to this song")
    rows = dialog.get_by_role("listitem")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("with a mix")  # the newest
    expect(rows.first).to_contain_text(re.compile(rf"Made {GERMAN_DATE}.*until {GERMAN_DATE}"))
    assert violations(page) == []
    rows.first.get_by_role("button", name="Revoke").click()
    expect(rows).to_have_count(1)
    expect(rows.get_by_role("button")).to_be_focused()
    ids = [share["id"] for share in requests.get(shares, headers=headers, timeout=60).json()["shares"]]
    assert len(ids) == 1 and made["id"] not in ids
    page.route("**/shares/*", lambda route: route.abort())
    rows.first.get_by_role("button", name="Revoke").click()
    expect(dialog).to_contain_text("cannot be reached")
    page.unroute("**/shares/*")
    rows.first.get_by_role("button", name="Revoke").click()
    expect(dialog).to_contain_text("No link opens this song.")
    expect(page.locator("#links-close")).to_be_focused()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#open-links")).to_be_focused()


def test_without_keys_there_is_no_list_of_links(mixer):
    expect(mixer.locator("#open-links")).to_be_hidden()
