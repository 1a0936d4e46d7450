"""From a file to four lanes: dropped, followed, interrupted, refused."""

import io
import re
import wave
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from msaas.audio.waveform import Waveforms
from msaas.catalogue import catalogue
from tests.page.conftest import STEMS, drop, ink, pick, songhash_of, stem_row, violations
from tests.support.audio.sounds import RATE, flac, tune

NOBODY = "00000000-0000-4000-8000-000000000000"
JOB_ADDRESS = re.compile(r"#/job/[0-9a-f-]{36}$")


HALF_INK = """(canvas, half) => {
    const width = canvas.width / 2;
    return canvas.getContext('2d').getImageData(half * width, 0, width, canvas.height).data.filter(Boolean).length;
}"""


def progress_until_stems(page: Page) -> list[int]:
    """Each value the bar shows on the way."""
    seen: list[int] = []
    for _ in range(900):
        if page.locator("#transport").is_visible():
            return seen
        value = page.locator("#bar").get_attribute("aria-valuenow")
        if value is not None and page.locator("#bar").is_visible() and (not seen or int(value) != seen[-1]):
            seen.append(int(value))
        page.wait_for_timeout(100)
    raise AssertionError(f"no lanes; progress was {seen}")


def test_a_dropped_song_is_followed_until_its_four_lanes_are_there(page):
    drop(page, "Night_Bus.flac", flac(tune(10, seed=702)))
    expect(page).to_have_url(JOB_ADDRESS)
    expect(page.locator("#song-title")).to_have_text("Night Bus")
    seen = progress_until_stems(page)
    assert seen == sorted(seen) and len(seen) > 1, seen
    expect(page.locator(".lane-name")).to_have_text(["vocals", "drums", "bass", "other"])
    expect(page.locator("#notice")).to_contain_text("small demonstration model")
    for stem in STEMS:
        assert ink(page, stem) > 5000


def test_a_reload_in_mid_job_loses_nothing(page):
    pick(page, ("Ferry.flac", flac(tune(12, seed=703))))
    expect(page).to_have_url(JOB_ADDRESS)
    expect(page.locator("#stage")).to_have_text("Separating")
    page.reload()
    expect(page.locator("#song-title")).to_have_text("Ferry")
    expect(page.locator("#play")).to_be_visible()
    expect(page.locator("#sides")).to_be_visible()  # the original outlived the reload, too


@pytest.mark.slow
def test_without_event_streams_the_page_asks(page):
    page.route("**/events", lambda route: route.abort())
    pick(page, ("Tram.flac", flac(tune(4, seed=704))))
    expect(page.locator("#play")).to_be_visible()
    expect(page.locator("#link")).to_be_hidden()


def test_lanes_fill_while_the_song_is_being_separated(page):
    """Half a song, as a worker leaves it in mid-run."""
    job = {"songhash": NOBODY, "state": "running", "stage": "separating", "progress": 0.5, "options": None}
    job |= {"model": "htdemucs_mini", "stems": {}, "eta_seconds": 30, "duration_seconds": 180, "error": None}
    waveforms = Waveforms(STEMS, total_samples=10_000, sample_rate=RATE)
    for stem in STEMS:
        waveforms.add(stem, tune(5000 / RATE))
    page.route("**/events", lambda route: route.abort())
    page.route(f"**/jobs/{NOBODY}", lambda route: route.fulfill(json=job))
    page.route("**/waveforms", lambda route: route.fulfill(json=waveforms.to_json()))
    page.goto(f"/#/job/{NOBODY}")
    expect(page.locator("#percent")).to_have_text("50 %")
    expect(page.locator("#eta")).to_have_text("about 30 seconds left")
    for stem in STEMS:
        canvas = stem_row(page, stem).locator("canvas")
        while not canvas.evaluate(HALF_INK, 0):  # pytest's own limit ends it
            page.wait_for_timeout(50)
        left, right = (canvas.evaluate(HALF_INK, half) for half in (0, 1))
        assert left > 2 * right > 0, stem  # a thin line where nothing is yet


def test_a_song_that_nobody_can_run_says_what_it_waits_for(page):
    job = {"songhash": NOBODY, "state": "queued", "stage": "", "progress": 0, "queue_position": 0, "options": None}
    job |= {"model": "htdemucs", "stems": {}, "eta_seconds": None, "duration_seconds": 180, "error": None}
    words = {
        "no_worker": "Waiting for a worker to start",
        "model_not_offered": "Waiting for a worker that has this model",
        None: "Next in line",
    }
    page.route("**/events", lambda route: route.abort())
    page.route(f"**/jobs/{NOBODY}", lambda route: route.fulfill(json=job))
    for code, text in words.items():
        job["waiting_for"] = code and {"code": code, "detail": "for programs"}
        page.goto(f"/#/job/{NOBODY}")
        page.reload()
        expect(page.locator("#stage")).to_have_text(text)


def test_the_choice_of_a_model_says_for_whom_it_is_its_stems_and_its_licence(page):
    entries = catalogue().entries
    names = ("htdemucs", "scnet_large", "mel_band_roformer_karaoke")
    models = [{"name": name, "sources": list(entries[name].sources), **entries[name].facts()} for name in names]
    own = {"name": "mine", "sources": None, "summary": None, "licence": None}
    offer = {"default": "htdemucs", "models": [*models, own], "formats": ["mp3"], "limits": {"upload_bytes": 1}}
    page.route("**/apiv1/models", lambda route: route.fulfill(json=offer))
    page.reload()
    facts, choice = page.locator("#model-facts"), page.locator("#options select[name=model]")
    expect(facts).to_contain_text("For most songs: the default")
    expect(facts).to_contain_text("Licence of its weights: for research only, no commercial use.")
    choice.select_option("scnet_large")
    expect(facts).to_contain_text("Stems: vocals, drums, bass, other. Licence of its weights: MIT.")
    choice.select_option("mel_band_roformer_karaoke")
    expect(facts).to_contain_text("Licence of its weights: not stated by its author.")
    assert violations(page) == []
    choice.select_option("mine")
    expect(facts).to_be_hidden()


def test_a_stem_can_be_separated_further_by_a_model_that_is_made_for_it(page):
    entries = catalogue().entries
    names = ("htdemucs", "mdx23c_drumsep", "mel_band_roformer_karaoke")
    models = [{"name": name, "sources": list(entries[name].sources), **entries[name].facts()} for name in names]
    offer = {"default": "htdemucs", "models": models, "formats": ["mp3"], "limits": {"upload_bytes": 10**9}}
    page.route("**/apiv1/models", lambda route: route.fulfill(json=offer))
    page.reload()
    choice = page.locator("#refine select[data-stem=drums]")
    expect(page.locator("#refine select")).to_have_count(2)
    choice.select_option(label="kick, snare, toms, hh, ride, crash")
    assert violations(page) == []
    page.reload()
    expect(choice).to_have_value("mdx23c_drumsep")  # remembered
    page.locator("#options select[name=which]").select_option("two vocals")
    expect(page.locator("#refine select")).to_have_count(1)  # no drums are made
    page.locator("#options select[name=which]").select_option("all")
    choice.select_option("mdx23c_drumsep")
    refusal = {"status": 400, "json": {"code": "not_audio", "detail": "no"}}
    page.route("**/apiv1/separate", lambda route: route.fulfill(**refusal))
    with page.expect_request("**/apiv1/separate") as posted:
        pick(page, ("Song.flac", flac(tune(1, seed=732))))
    sent = posted.value.post_data_buffer or b""
    assert b'name="refine"' in sent and b"drums=mdx23c_drumsep" in sent


def test_picked_songs_wait_with_what_they_take_here_until_they_are_started(page, service, song):
    pick(page, ("First.flac", flac(tune(2, seed=733))), ("Notes.txt", b"milk, eggs"), start=False)
    rows = page.locator("#tray .songs li")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("0:02")
    expect(page.locator("#tray-cost")).to_contain_text("without 1 file of unknown length")
    expect(page.locator("#tray-start")).to_be_focused()
    expect(page.locator("#tray-start")).to_have_text("Separate 2 songs")
    assert violations(page) == []
    page.click("#tray .songs li:last-child .remove")
    expect(rows).to_have_count(1)
    expect(page.locator("#options select[name=quality] option").first).to_contain_text("for this song")
    page.click("#tray-clear")
    expect(page.locator("#tray")).to_be_hidden()
    pick(page, ("First.flac", flac(tune(2, seed=733))))
    expect(page.locator("#play")).to_be_visible()


def test_a_song_removed_by_keyboard_leaves_the_focus_on_the_next_one(page):
    names = ("First", "Second", "Third")
    pick(page, *((f"{name}.flac", flac(tune(1, seed=733))) for name in names), start=False)
    expect(page.locator("#tray-cost")).not_to_have_text("Reading the length …")
    page.get_by_role("button", name="Remove Second").press("Enter")
    expect(page.get_by_role("button", name="Remove Third")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove First")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#pick")).to_be_focused()
    expect(page.locator("#tray")).to_be_hidden()


def test_a_length_that_arrives_moves_no_focus(page):
    pick(page, ("First.flac", flac(tune(1, seed=733))), start=False)
    page.get_by_role("button", name="Remove First").focus()
    page.evaluate("document.querySelector('#tray-start').focus = () => {}")
    pick(page, ("Second.flac", flac(tune(1, seed=733))), start=False)
    expect(page.locator("#tray .songs li").last).to_contain_text("0:01")
    expect(page.get_by_role("button", name="Remove First")).to_be_focused()


def test_files_of_which_the_browser_never_says_anything_do_not_hold_up_the_cost(open_page):
    page = open_page()
    page.clock.install()
    page.evaluate("() => { window.Audio = class extends EventTarget { removeAttribute() {} }; }")
    pick(page, *((f"Song {number}.flac", b"fLaC") for number in range(9)), start=False)
    expect(page.locator("#tray-cost")).to_have_text("Reading the length …")
    for _ in range(9):
        page.clock.run_for(10_000)
    expect(page.locator("#tray-cost")).not_to_have_text("Reading the length …")


def test_what_is_chosen_here_stays_when_a_song_is_added_whatever_the_browser_keeps(page):
    choice = page.locator("#options select[name=format]")
    choice.select_option("flac 16")
    page.evaluate("localStorage.clear()")  # by the user, or another tab of the page has other choices
    with page.expect_response("**/apiv1/models"):
        pick(page, ("First.flac", flac(tune(1, seed=733))), start=False)
    expect(page.locator("#tray-cost")).not_to_have_text("Reading the length …")
    page.evaluate("new Promise((done) => setTimeout(done))")
    expect(choice).to_have_value("flac 16")


def test_the_cost_of_a_song_follows_model_quality_and_what_waits(page):
    model = {"sources": ["drums", "vocals"], "refines": [], "summary": None, "licence": None}
    models = [
        {"name": "quick", **model, "seconds_per_audio_second": 0.5},
        {"name": "slow", **model, "seconds_per_audio_second": 4, "refines": ["drums"]},
    ]
    limits = {"upload_bytes": 10**9}
    offer: dict[str, Any] = {"default": "quick", "models": models, "formats": ["mp3"], "limits": limits}
    offer |= {"qualities": {"balanced": {"work": 1}, "best": {"work": 5}}, "seconds_until_free": 600}
    page.route("**/apiv1/models", lambda route: route.fulfill(json=offer))
    page.reload()
    pick(page, ("Song.flac", flac(tune(20, seed=734))), start=False)
    cost, choice = page.locator("#tray-cost"), page.locator("#options select[name=quality]")
    expect(cost).to_have_text("Takes about 10 seconds here, after about 10 minutes for the songs before it.")
    expect(choice.locator("option").last).to_have_text("Best (0:50 for this song)")
    choice.select_option("best")
    expect(cost).to_contain_text("about 50 seconds")
    page.locator("#options select[name=model]").select_option("slow")
    expect(cost).to_contain_text("about 7 minutes")
    page.locator("#refine select").select_option("slow")
    expect(cost).to_contain_text("about 13 minutes")


def test_with_one_model_there_is_nothing_to_choose_and_no_line_about_it(page):
    expect(page.locator("#options select[name=format]")).to_be_visible()
    expect(page.locator("#model-field")).to_be_hidden()
    expect(page.locator("#model-facts")).to_be_hidden()


def test_what_was_amiss_with_a_song_stands_above_its_lanes(page, service):
    whole = flac(tune(6, seed=731))
    pick(page, ("Torn.flac", whole[: len(whole) // 2]))
    expect(page.locator("#play")).to_be_visible()
    expect(page.locator("#notice")).to_contain_text("seconds less audio than its header declares")
    codes = [warning["code"] for warning in service.job(songhash_of(page))["warnings"]]
    assert codes == ["packets_skipped", "cut_short"]


def test_cancel_stops_the_song(page, service):
    pick(page, ("Long.flac", flac(tune(60, seed=706))))
    expect(page).to_have_url(JOB_ADDRESS)
    expect(page.locator("#stage")).to_have_text("Separating")
    page.click("#cancel")
    expect(page.locator("#ended-title")).to_have_text("Cancelled")
    assert service.job(songhash_of(page))["state"] == "cancelled"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [("notes.txt", b"milk, eggs, bread\n" * 200, "no readable audio"), ("empty.mp3", b"", "empty")],
)
def test_a_bad_file_is_refused_in_plain_words(page, name, data, words):
    drop(page, name, data)
    alert = page.locator(".toast[role=alert]")
    expect(alert).to_be_visible()
    expect(alert).to_contain_text(words)
    expect(alert).to_contain_text(name.split(".")[0])
    expect(page.locator("#drop")).to_be_visible()
    expect(page.locator("#history")).to_be_hidden()


def test_options_are_sent_and_remembered(page, service):
    expect(page.locator("[name=quality] option:checked")).to_have_text(re.compile(r"Balanced \("))
    page.select_option("[name=quality]", "fast")
    page.select_option("[name=which]", "two vocals")
    page.select_option("[name=format]", "flac")
    pick(page, ("Duo.flac", flac(tune(3, seed=707))))
    expect(page.locator(".lane-name")).to_have_text(["vocals", "Instrumental"])
    expect(page.locator("#play")).to_be_visible()
    options = service.job(songhash_of(page))["options"]
    assert (options["two_stems"], options["format"], options["overlap"]) == ("vocals", "flac", 0.1)
    page.goto("/")
    page.reload()
    expect(page.locator("[name=format]")).to_have_value("flac")


def test_several_songs_are_sent_in_turn_and_listed(page):
    pick(page, *((f"Part {n}.flac", flac(tune(1, seed=710 + n))) for n in range(3)))
    expect(page.locator("#history .song-name")).to_have_text(["Part 2", "Part 1", "Part 0"])
    page.click("#history .song-link >> nth=0")
    expect(page.locator("#song-title")).to_have_text("Part 2")


def test_a_deleted_song_is_gone_from_the_server_and_from_the_list(page, service):
    pick(page, ("Away.flac", flac(tune(1, seed=720))))
    expect(page.locator("#play")).to_be_visible()
    songhash = songhash_of(page)
    page.click("#delete")
    page.click("#confirm button[value=delete]")
    expect(page.locator("#drop")).to_be_visible()
    expect(page.locator("#history")).to_be_hidden()
    tracks = page.request.get(f"/apiv1/track/{songhash}-vocals")
    assert (tracks.status, tracks.json()["code"]) == (404, "track_removed")
    assert page.request.get(f"/apiv1/jobs/{songhash}/waveforms").status == 404
    page.goto(f"/#/job/{songhash}")
    expect(page.locator("#ended-title")).to_have_text("Its stems were deleted")


@pytest.mark.slow
def test_a_large_song_goes_in_parts_and_goes_on_when_it_is_chosen_again(page, service, tmp_path):
    path, part = tmp_path / "Large.wav", 8 * 1024 * 1024
    path.write_bytes(wide_wav(21_000_000))
    sent: list[int] = []
    held: list[Any] = []

    def handle(route: Any) -> None:
        request = route.request
        if request.method == "PATCH":
            sent.append(int(request.headers["upload-offset"]))
        if request.method == "PATCH" and len(sent) == 2:
            route.abort("connectionreset")
        elif request.method == "PATCH" and len(sent) == 4:
            held.append(route)  # the last part never gets through
        else:
            route.continue_()

    page.route("**/apiv1/uploads/*", handle)
    page.set_input_files("#file", path)
    page.click("#tray-start")
    for _ in range(600):
        if held:
            break
        page.wait_for_timeout(100)
    page.click("#cancel")
    expect(page.locator("#drop")).to_be_visible()
    page.unroute("**/apiv1/uploads/*")
    again: list[int] = []
    offset = "upload-offset"
    page.on("request", lambda one: again.append(int(one.headers[offset])) if one.method == "PATCH" else None)
    page.reload()
    page.set_input_files("#file", path)
    page.click("#tray-start")
    expect(page).to_have_url(JOB_ADDRESS)
    assert (sent, again) == ([0, part, part, 2 * part], [2 * part])
    assert service.job(songhash_of(page))["name"] == "Large"
    assert page.evaluate("localStorage.getItem('msaas.uploads')") == "{}"
    page.click("#cancel")


def wide_wav(size: int) -> bytes:
    """Few seconds in many bytes: eight channels of 192 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((8, 4, 192_000, 0, "NONE", ""))
        writer.writeframes(bytes(range(32)) * (size // 32))
    return file.getvalue()


def test_an_unknown_song_is_told(open_page):
    page = open_page(f"/#/job/{NOBODY}")
    expect(page.locator("#ended-title")).to_have_text("No longer available")
