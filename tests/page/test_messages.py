"""What goes wrong is shown, with a way on: refused songs, failed cancellations, deletions and downloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.conftest import PHONE, pick, until, violations

NOBODY = "00000000-0000-4000-8000-000000000000"
POST = "**/apiv1/separate"
FLAC = b"fLaC"
BUSY = {"status": 503, "json": {"code": "queue_unavailable", "detail": "for programs"}}
NO_AUDIO = {"status": 400, "json": {"code": "not_audio", "detail": "for programs"}}
EMPTY = {"status": 400, "json": {"code": "empty_file", "detail": "for programs"}}


def songhash(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def answers(page: Page, *given: dict[str, Any] | None) -> list[str]:
    """Answers posts in turn; None accepts the song. @returns the names of the files as they are posted"""
    posted: list[str] = []

    def answer(route: Route) -> None:
        body = route.request.post_data_buffer or b""
        posted.append(body.partition(b'filename="')[2].partition(b'"')[0].decode())
        chosen = given[len(posted) - 1] if len(posted) <= len(given) else None
        accepted = {"songhash": songhash(len(posted)), "state": "queued", "name": None}
        route.fulfill(**(chosen or {"status": 202, "json": accepted}))

    page.route(POST, answer)
    page.route("**/apiv1/jobs/**", lambda route: route.fulfill(status=503, json={"code": "queue_unavailable"}))
    return posted


def hold(page: Page) -> list[Route]:
    """Leaves posts without an answer. @returns them"""
    held: list[Route] = []
    page.route(POST, lambda route: held.append(route))
    return held


def until_held(page: Page, held: list[Route]) -> None:
    """The page says that it sends before it does."""
    while not held:  # pytest's own limit ends it
        page.wait_for_timeout(20)


def listed(page: Page, name: str, state: str = "done") -> None:
    """Puts a song into this browser's list."""
    song = {"songhash": NOBODY, "name": name, "savedAs": None, "at": 1, "state": state}
    page.evaluate("song => localStorage.setItem('msaas.songs', JSON.stringify([song]))", song)
    page.reload()


def alert(page: Page) -> Locator:
    return page.locator(".toast[role=alert]")


def test_a_batch_is_summed_up_and_what_was_refused_is_back_in_the_tray(page):
    posted = answers(page, None, NO_AUDIO, BUSY, EMPTY)
    pick(page, *((f"{name}.flac", FLAC) for name in ("One", "Two", "Three", "Four")))
    expect(alert(page)).to_have_count(1)
    text = alert(page).locator(".toast-text")
    expect(text).to_contain_text("1 sent, 3 refused: This file has no readable audio")
    expect(text).to_contain_text("(Two)")
    expect(text).to_contain_text("The service is not ready at the moment. Please try again shortly (Three).")
    rows = page.locator("#tray .songs li")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("no readable audio")
    expect(page.locator("#tray-start")).to_have_text("Separate")  # the two others are hopeless
    assert violations(page) == []
    alert(page).get_by_role("button", name="Retry").click()
    expect(page.locator("#song-title")).to_have_text("Three")
    assert posted == ["One.flac", "Two.flac", "Three.flac", "Four.flac", "Three.flac"]
    expect(alert(page)).to_have_count(0)


def test_a_batch_can_be_stopped_and_goes_back_to_the_tray(page):
    held = hold(page)
    pick(page, *((f"{name}.flac", FLAC) for name in ("One", "Two", "Three")))
    expect(page.locator("#sending")).to_contain_text("Sending 1 of 3: One")
    assert violations(page) == []
    until_held(page, held)
    page.click("#stop-sending")
    expect(page.locator("#sending")).to_be_hidden()
    expect(page.locator("#tray .song-name")).to_have_text(["One", "Two", "Three"])
    expect(page.locator(".toast[role=status]")).to_contain_text("3 not sent")
    assert len(held) == 1
    assert page.evaluate("document.activeElement.id") == "pick"  # the pressed button is hidden


def test_songs_can_be_added_to_a_batch_that_is_being_sent(page):
    held = hold(page)
    pick(page, ("One.flac", FLAC), ("Two.flac", FLAC))
    expect(page.locator("#sending")).to_contain_text("Sending 1 of 2: One")
    pick(page, ("Three.flac", FLAC))
    expect(page.locator("#sending")).to_be_visible()
    until_held(page, held)
    answers(page)
    with page.expect_request(POST):
        held[0].fulfill(status=202, json={"songhash": NOBODY, "state": "queued", "name": None})
    expect(page.locator("#history .song-name")).to_have_text(["Three", "Two", "One"])
    expect(page.locator(".toast")).to_contain_text("3 songs sent")


def test_an_upload_whose_view_is_left_goes_on(page):
    held = hold(page)
    pick(page, ("One.flac", FLAC))
    expect(page.locator("#stage")).to_have_text("Uploading")
    page.click("#song .back")
    expect(page.locator("#sending")).to_contain_text("Sending One")
    until_held(page, held)
    answers(page)
    held[0].fulfill(status=202, json={"songhash": NOBODY, "state": "queued", "name": None})
    expect(page.locator("#history .song-name")).to_have_text(["One"])
    expect(page.locator("#sending")).to_be_hidden()


def test_a_cancelled_upload_is_back_in_the_tray(page):
    page.route(POST, lambda route: None)
    pick(page, ("One.flac", FLAC))
    page.click("#cancel")
    expect(page.locator("#tray .song-name")).to_have_text(["One"])
    expect(page.locator(".toast")).to_contain_text("1 not sent")


def test_a_failed_deletion_is_shown_and_can_be_tried_again(page):
    listed(page, "Kept")
    page.route("**/apiv1/jobs/*", lambda route: route.abort())
    page.get_by_role("button", name="Delete Kept").click()
    page.click("#confirm button[value=delete]")
    expect(alert(page)).to_contain_text("“Kept” was not deleted. The service cannot be reached.")
    assert violations(page) == []
    page.route("**/apiv1/jobs/*", lambda route: route.fulfill(status=404, json={"code": "job_unknown"}))
    alert(page).get_by_role("button", name="Retry").press("Enter")
    expect(page.locator(".toast[role=status]")).to_contain_text("“Kept” was deleted")
    expect(page.locator("#history")).to_be_hidden()


def test_a_song_taken_off_the_list_can_be_put_back(page):
    listed(page, "Back")
    page.get_by_role("button", name="Delete Back").click()
    page.click("#confirm button[value=forget]")
    expect(page.locator("#history")).to_be_hidden()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator("#history .song-name")).to_have_text(["Back"])
    page.reload()
    expect(page.locator("#history .song-name")).to_have_text(["Back"])


def running(**changes: Any) -> dict[str, Any]:
    job = {"songhash": NOBODY, "state": "running", "stage": "separating", "progress": 0.5, "options": None}
    job |= {"model": "htdemucs_mini", "stems": {}, "eta_seconds": 30, "duration_seconds": 180, "error": None}
    return job | changes


def test_a_failed_cancellation_is_shown_and_can_be_tried_again(page):
    page.route("**/events", lambda route: route.abort())
    state = {"GET": {"json": running()}, "DELETE": BUSY}
    page.route(f"**/jobs/{NOBODY}", lambda route: route.fulfill(**state[route.request.method]))
    page.goto(f"/#/job/{NOBODY}")
    page.click("#cancel")
    expect(alert(page)).to_contain_text("was not cancelled. The service is not ready")
    state["DELETE"] = {"json": running(state="cancelled")}
    alert(page).get_by_role("button", name="Retry").click()
    expect(page.locator("#ended-title")).to_have_text("Cancelled")


def test_a_failed_download_with_a_key_is_shown_and_can_be_tried_again(page):
    page.evaluate("sessionStorage.setItem('msaas.apikey', 'msaas_one')")
    page.route("**/links*", lambda route: route.fulfill(**BUSY))
    page.evaluate(
        """path => {
            const link = document.createElement('a');
            Object.assign(link, { href: path, download: '', textContent: 'get it' });
            document.querySelector('#main').append(link);
        }""",
        f"/apiv1/jobs/{NOBODY}/stems.zip",
    )
    page.get_by_text("get it").click()
    expect(alert(page)).to_contain_text("The download failed. The service is not ready")
    with page.expect_request("**/links*"):
        alert(page).get_by_role("button", name="Retry").click()


def test_stems_that_did_not_arrive_can_be_loaded_again(open_page, song):
    page = open_page()
    page.route("**/apiv1/track/**", lambda route: route.abort())
    page.goto(song.address)
    expect(alert(page)).to_contain_text("The stems were not loaded. The service cannot be reached.")
    page.unroute("**/apiv1/track/**")
    alert(page).get_by_role("button", name="Retry").click()
    expect(page.locator("#save-mix")).to_be_enabled()


def test_a_message_takes_no_focus_and_gives_it_back_when_it_is_closed(page):
    listed(page, "Kept")
    page.route("**/apiv1/jobs/*", lambda route: route.abort())
    page.get_by_role("button", name="Delete Kept").press("Enter")
    page.locator("#confirm button[value=delete]").press("Enter")
    expect(alert(page)).to_be_visible()
    expect(page.get_by_role("button", name="Delete Kept")).to_be_focused()
    alert(page).get_by_role("button", name="Close this message").focus()
    page.keyboard.press("Escape")
    expect(alert(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Delete Kept")).to_be_focused()


def test_good_news_goes_by_itself_but_not_while_it_is_pointed_at(page: Page, open_page: Callable[..., Page]):
    page.clock.install()
    page.evaluate(
        """async main => (await import(new URL('common/toasts.js', main))).tell('All is well')""",
        page.evaluate("document.querySelector('script[type=module]').src"),
    )
    toast = page.locator(".toast")
    toast.hover()
    page.clock.run_for(20_000)
    expect(toast).to_have_text("All is well")
    page.mouse.move(5, 5)
    page.clock.run_for(20_000)
    expect(toast).to_have_count(0)


@pytest.mark.parametrize("width", [390, pytest.param(1200, marks=pytest.mark.slow)])
def test_messages_fit_every_width(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    answers(page, *[NO_AUDIO] * 5)
    pick(page, *((f"A song with a name that hardly ends {number}.flac", FLAC) for number in range(5)))
    expect(alert(page)).to_contain_text("5 refused")
    expect(alert(page)).to_contain_text("and 2 more")
    box = alert(page).bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_service_that_is_down_is_said_and_nothing_is_claimed_about_the_song(page):
    page.route("**/events", lambda route: route.abort())
    page.route(f"**/jobs/{NOBODY}", lambda route: route.abort())
    page.goto(f"/#/job/{NOBODY}")
    link = page.locator("#link")
    expect(link).to_have_text(
        "The service cannot be reached. Check your network connection. This page tries again by itself."
    )
    assert violations(page) == []
    page.route(
        f"**/jobs/{NOBODY}", lambda route: route.fulfill(json=running(state="failed", error={"code": "bad_audio"}))
    )
    expect(page.locator("#ended-title")).to_have_text("Failed")
    expect(link).to_be_hidden()


def test_the_list_says_so_too(page):
    page.route("**/apiv1/jobs/*", lambda route: route.abort())
    listed(page, "Waits", state="running")
    expect(page.locator("#history .song-state")).to_have_text(
        "The service cannot be reached. Check your network connection."
    )


@pytest.mark.parametrize(
    "how", ["cancelled", *(pytest.param(how, marks=pytest.mark.slow) for how in ("failed", "gone"))]
)
def test_a_song_that_ended_is_sent_again_with_its_options_and_without_being_picked(page, how):
    posted = answers(page)
    page.select_option("[name=format]", "wav 16")
    jobs = {"cancelled": {"json": running(state="cancelled")}, "gone": {"status": 404, "json": {"code": "job_unknown"}}}
    jobs["failed"] = {"json": running(state="failed", error={"code": "out_of_memory", "detail": ""})}
    page.route("**/events", lambda route: route.abort())
    page.route(f"**/jobs/{songhash(1)}", lambda route: route.fulfill(**jobs[how]))
    pick(page, ("Again.flac", FLAC))
    expect(page.locator("#ended")).to_be_visible()
    expect(page.locator("#send-again")).to_be_visible()
    assert violations(page) == []
    page.reload()  # the file is kept by the browser
    page.evaluate("localStorage.removeItem('msaas.options')")
    with page.expect_request(POST) as again:
        page.click("#send-again")
    assert b"wav" in (again.value.post_data_buffer or b"")
    expect(page.locator("#song-title")).to_have_text("Again")
    assert posted == ["Again.flac", "Again.flac"]


def test_an_error_goes_when_its_song_is_sent_again_from_the_tray(page):
    answers(page, BUSY)
    pick(page, ("One.flac", FLAC))
    expect(alert(page)).to_contain_text("One: The service is not ready")
    page.click("#tray-start")
    expect(page.locator("#song-title")).to_have_text("One")
    expect(alert(page)).to_have_count(0)


CONTROLS = """[...document.querySelectorAll('header, main, #transport')].flatMap((part) =>
    [part.id === 'transport' ? part : null, ...part.querySelectorAll('button, a[href], input, select')]).filter((one) =>
    one?.checkVisibility()).map((one) => [one.ariaLabel || one.id, one.getBoundingClientRect()])"""
TOASTS = "[...document.querySelectorAll('.toast')].map((one) => one.getBoundingClientRect())"
CROSS = "one.left < box.right && one.right > box.left && one.top < box.bottom && one.bottom > box.top"
UNDER_TOASTS = f"{CONTROLS}.filter(([, one]) => {TOASTS}.some((box) => {CROSS})).map(([name]) => name)"
SEEN = f"{CONTROLS}.filter(([, one]) => one.top >= 80 && one.bottom <= innerHeight).map(([name]) => name)"

# The page has made room for the messages of now, not for those that have just gone.
ROOM = (
    "() => parseFloat(getComputedStyle(document.body).paddingTop) === "
    "Math.ceil(document.querySelector('#toasts').getBoundingClientRect().height)"
)
TOPS = (
    "['#song .back', '#transport', '#save-mix'].map((one) => document.querySelector(one).getBoundingClientRect().top)"
)


@pytest.mark.parametrize("screen", [{}, PHONE], ids=["desktop", "phone"])
def test_no_control_stays_under_a_message(open_page, song, screen):
    page = open_page(song.address, **screen)
    expect(page.locator("#save-mix")).to_be_enabled()
    add = "async ([main, text]) => (await import(new URL('common/toasts.js', main))).warn(text)"
    main = page.evaluate("document.querySelector('script[type=module]').src")
    places = page.evaluate(TOPS)
    page.evaluate(add.replace("warn", "tell"), [main, "It went well"])  # which goes by itself
    expect(page.locator(".toast.brief")).to_be_visible()
    assert page.evaluate(TOPS) == places
    page.evaluate(add, [main, "Something went wrong"])
    page.evaluate("for (const one of document.querySelectorAll('.toast.brief')) one.close()")  # if it is still there
    expect(alert(page)).to_be_visible()
    until(page, ROOM)
    until(page, f"() => ({UNDER_TOASTS}).length === 0")
    page.evaluate("scrollTo(0, 150)")  # what comes now covers nothing that is seen
    seen = page.evaluate(SEEN)
    page.evaluate(add, [main, "Something else went wrong, and this is a text of several lines that says what it was"])
    expect(alert(page)).to_have_count(2)
    until(page, f"() => ({UNDER_TOASTS}).filter((name) => {seen}.includes(name)).length === 0")
    alert(page).last.get_by_role("button", name="Close this message").click()
    for place, control in (("0", "#song .back"), ("document.body.scrollHeight", "#reset-mix")):
        page.evaluate(f"scrollTo(0, {place})")
        page.locator(control).click(trial=True)  # fails where something lies over it
        toast, box = alert(page).bounding_box(), page.locator(control).bounding_box()
        assert toast is not None and box is not None
        assert box["y"] >= toast["y"] + toast["height"] or box["y"] + box["height"] <= toast["y"]


def test_no_waveform_is_asked_for_before_a_segment_is_done(page):
    job: dict[str, Any] = {
        "songhash": NOBODY,
        "state": "running",
        "stage": "decoding",
        "progress": 0,
        "model": "htdemucs",
    }
    job |= {"options": None, "stems": {}, "eta_seconds": 30, "duration_seconds": 180, "error": None}
    asked: list[str] = []
    page.route("**/events", lambda route: route.abort())
    page.route(f"**/jobs/{NOBODY}", lambda route: route.fulfill(json=job))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/#/job/{NOBODY}")
    expect(page.locator("#stage")).to_have_text("Listening to the song")
    with page.expect_request(f"**/jobs/{NOBODY}"):
        pass  # the state is asked for again, so it was shown once
    assert not [url for url in asked if url.endswith("/waveforms")]
    job |= {"stage": "separating", "progress": 0.5}
    page.route("**/waveforms", lambda route: route.fulfill(status=404, json={"code": "waveforms_unknown"}))
    with page.expect_request("**/waveforms"):
        expect(page.locator("#stage")).to_have_text("Separating")
