"""The service's songs in the list of a browser that did not send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import LIST_OF_SONGS, PHONE, pick, position, until, violations
from tests.support.audio.sounds import flac, tune

Query = dict[str, str]


def job(number: int, name: str | None, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "songhash": f"00000000-0000-4000-8000-{number:012d}",
        "name": name,
        "state": "done",
        "stems": {},
    }
    found |= {"created_at": f"2026-01-01T10:00:{59 - number:02d}Z", "duration_seconds": 201, "model": "htdemucs"}
    return found | {"options": {"format": "mp3", "bitrate": 320}, "progress": 1} | fields


def query_of(url: str) -> Query:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture
def listing(open_page) -> Callable[..., Page]:
    """A page of a service that answers each call for its list with `answer(query)`: jobs and `next`, or a status."""

    def make(answer: Callable[[Query], tuple[list[Any], str | None] | int], **screen: Any) -> Page:
        def fulfil(route: Route) -> None:
            found = answer(query_of(route.request.url))
            if isinstance(found, int):
                return route.fulfill(status=found, json={"code": "queue_unavailable"})
            return route.fulfill(json={"jobs": found[0], "next": found[1]})

        page = open_page(**screen)
        page.route(LIST_OF_SONGS, fulfil)
        page.reload()
        return page

    return make


def names(page: Page) -> list[str]:
    return page.locator("#history li:not([hidden]) .song-name").all_text_contents()


def own(page: Page, *songs: dict[str, Any]) -> None:
    page.evaluate("songs => localStorage.setItem('msaas.songs', JSON.stringify(songs))", list(songs))
    page.reload()


def test_a_second_browser_lists_opens_and_plays_the_songs_of_the_first(open_page, song):
    first = open_page(library=True)
    pick(first, ("Harbour Lights.flac", flac(tune(3, seed=901))))
    expect(first.locator("#save-mix")).to_be_enabled()
    second = open_page(library=True)
    expect(second.locator("#history-note")).to_have_text("Sent from this browser, and others on the service.")
    second.fill("#search", "harbour")
    found = second.locator("#history li:not([hidden])")
    expect(found).to_have_count(1)
    expect(found).to_contain_text("0:03")
    assert violations(second) == []
    found.locator(".song-link").click()
    expect(second.locator("#song-title")).to_have_text("Harbour Lights")
    expect(second.locator("#save-mix")).to_be_enabled()
    second.click("#play")
    until(second, "() => document.querySelector('#play').ariaLabel === 'Pause'")
    expect(second.locator("#time")).not_to_have_text("0:00")
    assert position(second) > 0
    second.click("#delete")
    second.click("#confirm button[value=delete]")
    expect(second.locator("#drop")).to_be_visible()
    expect(second.locator("#none-found")).to_have_text("No song matches.")  # the search stays
    expect(second.locator("#show-hidden")).to_be_hidden()  # once the service has answered: it does not list it any more


def test_what_this_browser_knows_of_a_song_goes_before_what_the_service_says(listing):
    page = listing(lambda query: ([job(1, "By_the_service"), job(2, None), job(3, "Gone", state="failed")], None))
    expect(page.locator("#history .song-name")).to_have_text(["By the service", "Song 00000000"])
    expect(page.locator("#history .song-state").first).to_contain_text("3:21 · htdemucs · MP3 320")
    song = {"songhash": job(1, None)["songhash"], "name": "As I call it", "at": 5, "state": "done", "facts": "mine"}
    own(page, song, song | {"songhash": job(9, None)["songhash"], "name": "Gone there", "state": "gone"})
    expect(page.locator("#history .song-name")).to_have_text(["Song 00000000", "As I call it", "Gone there"])
    expect(page.locator("#history .song-state").nth(1)).to_contain_text("mine")
    expect(page.locator("#history .song-state").last).to_contain_text("No longer on the server")


def test_more_songs_are_read_page_by_page(listing):
    pages: dict[str, tuple[list[Any], str | None]] = {
        "": ([job(1, "One"), job(2, "Two")], "p2"),
        "p2": ([job(3, "Three"), job(4, "Four")], None),
    }
    page = listing(lambda query: pages[query.get("before", "")])
    expect(page.locator("#history .song-name")).to_have_text(["One", "Two"])
    assert violations(page) == []
    page.locator("#more-songs").press("Enter")
    expect(page.locator("#history .song-name")).to_have_text(["One", "Two", "Three", "Four"])
    expect(page.locator("#history li .song-link").nth(2)).to_be_focused()
    expect(page.locator("#more-songs")).to_be_hidden()


def test_a_search_finds_songs_of_the_service_that_are_not_listed_yet(listing):
    asked: list[str] = []

    def answer(query: Query) -> tuple[list[Any], str | None]:
        asked.append(query.get("q", ""))
        if query.get("q") == "abbey road":
            return [job(7, "By its album alone")], None
        return ([], "on") if "q" in query else ([job(1, "One")], "more")

    page = listing(answer)
    expect(page.locator("#history .song-name")).to_have_text(["One"])
    page.locator("#search").press_sequentially("abbey road")
    expect(page.locator("#history li:not([hidden]) .song-name")).to_have_text(["By its album alone"])
    assert "abbey road" in asked
    page.fill("#search", "nobody")
    expect(page.locator("#none-found")).to_have_text("No song matches so far.")
    expect(page.locator("#more-songs")).to_be_visible()
    expect(page.locator("#search")).to_be_focused()
    assert violations(page) == []
    page.fill("#search", "")
    expect(page.locator("#history li:not([hidden]) .song-name")).to_have_text(["One"])


@pytest.mark.parametrize(
    ("status", "note"),
    [
        (404, "Kept in this browser only."),
        (401, "Kept in this browser only."),
        (503, "Sent from this browser. The service's list cannot be read at the moment."),
    ],
)
def test_without_the_services_list_the_browsers_own_is_shown(listing, status, note):
    page = listing(lambda query: status)
    expect(page.locator("#history")).to_be_hidden()
    own(page, {"songhash": job(1, None)["songhash"], "name": "Mine", "at": 5, "state": "done", "facts": ""})
    expect(page.locator("#history-note")).to_have_text(note)
    assert names(page) == ["Mine"]
    expect(page.locator(".toast")).to_have_count(0)


def test_a_song_that_is_removed_here_does_not_come_back_until_it_is_asked_for(listing):
    page = listing(lambda query: ([job(1, "One"), job(2, "Two")], None), **PHONE)
    page.get_by_role("button", name="Delete One").click()
    expect(page.locator("#confirm-text")).to_contain_text("off this browser's list; the service keeps it")
    page.click("#confirm button[value=forget]")
    expect(page.locator("#history .song-name")).to_have_text(["Two"])
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#history .song-name")).to_have_text(["One", "Two"])
    page.get_by_role("button", name="Delete Two").click()
    page.click("#confirm button[value=forget]")
    expect(page.locator("#history .song-name")).to_have_text(["One"])  # once the dialog has closed
    page.reload()
    expect(page.locator("#history .song-name")).to_have_text(["One"])
    expect(page.locator("#show-hidden")).to_have_text("Show 1 removed song")
    assert violations(page) == []
    page.click("#show-hidden")
    expect(page.locator("#history .song-name")).to_have_text(["One", "Two"])
    expect(page.locator("#show-hidden")).to_be_hidden()


def test_songs_whose_stems_were_removed_say_so_here_and_when_they_are_opened(listing):
    stems = {"vocals": "/apiv1/track/x-vocals", "drums": "/apiv1/track/x-drums"}
    gone, partly = job(1, "One", stems=stems, removed=list(stems)), job(2, "Two", stems=stems, removed=["drums"])
    message = "The stems were removed; post the song again to recreate them."
    page = listing(lambda query: ([gone, partly, job(3, "Three", stems=stems)], None))
    own(page, {"songhash": gone["songhash"], "name": "Mine", "at": 5, "state": "done", "facts": "mine"})
    states = page.locator("#history .song-state")
    expect(page.locator("#history .song-name")).to_have_text(["Two", "Three", "Mine"])
    expect(states.last).to_contain_text("Stems deleted")
    for other in (0, 1):
        expect(states.nth(other)).not_to_contain_text("Stems deleted")
    page.route("**/apiv1/jobs/*/events", lambda route: route.fulfill(status=503))
    page.route("**/apiv1/jobs/*", lambda route: route.fulfill(json=gone | {"message": message}))
    page.locator("#history .song-link").last.click()
    expect(page.locator("#ended-title")).to_have_text("Its stems were deleted")
    expect(page.locator("#notice")).to_be_hidden()
    assert violations(page) == []


def test_songs_of_the_service_are_followed_and_keep_the_focus(listing):
    state: dict[str, Any] = {"state": "running", "stage": "separating", "progress": 0.25}
    songs: list[Any] = []
    page = listing(lambda query: (songs, None))
    page.route("**/apiv1/jobs/*", lambda route: route.fulfill(json=job(1, "One", **state)))  # before it is asked for
    songs += [job(1, "One", **state), job(2, "Two")]
    page.reload()
    expect(page.locator("#history .song-state").first).to_have_text("Separating, 25 %")
    page.locator("#history .song-link").first.focus()
    state |= {"state": "done", "progress": 1}
    expect(page.locator("#history .song-state").first).to_contain_text("3:21 · htdemucs")
    expect(page.locator("#history .song-link").first).to_be_focused()
