"""The songs sent from this browser: found, selected, deleted, put back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import PHONE, violations

LONG = "A title with all of its featured artists, remixers and years " * 5
SONGS = {
    "Harbour Lights": "3:21 · htdemucs · MP3 320",
    "Sæglópur": "7:38 · scnet · FLAC 24",
    LONG: "0:45 · htdemucs · WAV 16",
}


def songhash(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def listed(page: Page) -> Page:
    songs = [
        {"songhash": songhash(number), "name": name, "at": 10 - number, "state": "done", "facts": facts}
        for number, (name, facts) in enumerate(SONGS.items())
    ]
    page.evaluate("songs => localStorage.setItem('msaas.songs', JSON.stringify(songs))", songs)
    page.reload()
    return page


def names(page: Page) -> list[str]:
    return page.locator("#history li:not([hidden]) .song-name").all_text_contents()


def test_songs_are_found_by_name_and_options_without_accents(page):
    listed(page)
    expect(page.locator("#history .song-state").first).to_contain_text("3:21 · htdemucs · MP3 320")
    for text, found in (("saeglopur", []), ("glopur", ["Sæglópur"]), ("HTDEMUCS wav", [LONG]), ("", list(SONGS))):
        page.fill("#search", text)
        assert names(page) == found
    page.fill("#search", "nothing like it")
    expect(page.locator("#none-found")).to_have_text("No song matches.")
    assert violations(page) == []


def test_several_songs_are_taken_off_the_list_and_put_back(page):
    listed(page)
    page.get_by_role("checkbox", name="Select Harbour Lights").check()
    page.get_by_role("checkbox", name="Select Sæglópur").check()
    assert violations(page) == []
    page.click("#delete-chosen")
    expect(page.locator("#confirm-title")).to_have_text("Delete 2 songs?")
    page.click("#confirm button[value=forget]")
    expect(page.locator("#history li:not([hidden]) .song-name")).to_have_text([LONG])  # once the dialog has closed
    expect(page.locator("#delete-chosen")).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    assert names(page) == list(SONGS)


def test_several_songs_are_deleted_and_one_message_says_what_was_not(page):
    deleted: list[str] = []
    down = {songhash(1)}

    def answer(route: Any) -> None:
        found = re.search(r"(?:jobs|remove)/([0-9a-f-]{36})", route.request.url)
        assert found
        if found[1] in down:
            return route.fulfill(status=503, json={"code": "storage_unavailable"})
        if route.request.method == "DELETE":
            deleted.append(route.request.url.rpartition("/")[2])
        job = {"songhash": found[1], "state": "done", "stems": {"bass": "/"}}
        return route.fulfill(json=job)

    page.route("**/apiv1/jobs/*", answer)
    page.route("**/apiv1/remove/*", answer)
    listed(page)
    page.click("#choose-all")
    page.get_by_role("checkbox", name=f"Select {LONG}").uncheck()
    page.click("#delete-chosen")
    page.click("#confirm button[value=delete]")
    expect(page.locator(".toast[role=status]")).to_contain_text("“Harbour Lights” was deleted")
    expect(page.locator(".toast[role=alert]")).to_contain_text("“Sæglópur” was not deleted. The service is not ready")
    assert names(page) == ["Sæglópur", LONG]
    down.clear()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#history li")).to_have_count(1)
    assert deleted == [f"{songhash(0)}-bass", f"{songhash(1)}-bass"]


def test_select_all_means_those_that_the_search_shows(page):
    listed(page)
    page.fill("#search", "htdemucs")
    page.click("#choose-all")
    expect(page.locator("#delete-chosen")).to_have_text("Delete 2 songs …")
    page.fill("#search", "")
    expect(page.get_by_role("checkbox", name="Select Sæglópur")).not_to_be_checked()
    page.click("#choose-all")
    expect(page.locator("#choose-all")).to_have_text("Select none")
    page.click("#choose-all")
    expect(page.locator("#delete-chosen")).to_be_hidden()


def test_after_a_deletion_the_focus_is_on_the_next_song(page):
    listed(page)
    page.get_by_role("button", name="Delete Harbour Lights").press("Enter")
    page.locator("#confirm button[value=forget]").press("Enter")
    expect(page.get_by_role("button", name="Delete Sæglópur")).to_be_focused()


@pytest.mark.parametrize("screen", [pytest.param({}, marks=pytest.mark.slow), PHONE], ids=["desktop", "phone"])
def test_a_long_title_takes_two_lines(open_page, screen):
    page = listed(open_page(**screen))
    page.route("**/apiv1/jobs/**", lambda route: route.abort())
    assert page.locator("#history li").last.bounding_box()["height"] < 130
    page.goto(f"/#/job/{songhash(2)}")
    title = page.locator("#song-title")
    expect(title).to_have_attribute("title", LONG)
    assert title.bounding_box()["height"] < 100
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_buttons_without_text_say_what_they_do_when_pointed_at(mixer):
    silent = "(one) => one.checkVisibility() && !one.textContent.trim() && !one.title"
    assert (
        mixer.evaluate(f"[...document.querySelectorAll('button, a')].filter({silent}).map((one) => one.outerHTML)")
        == []
    )
