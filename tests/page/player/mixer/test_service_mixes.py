"""The mix in other formats than the browser's WAV: rendered by the service, equal to what the browser renders."""

from __future__ import annotations

import math

import mutagen
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from tests.page.conftest import in_mixer, stem_row, violations
from tests.support.audio.sounds import flac, tune

LEVELS = """
    mixer.setLevel("vocals", { db: -6.3, pan: -0.35 });
    mixer.setLevel("drums", { db: 2.5, pan: 1 });
    mixer.setLevel("bass", { db: -48 });
    mixer.setLevel("other", { db: 0, pan: 0.6 });
"""


def saved(page: Page, choice: str):
    page.select_option("#mix-format", choice)
    with page.expect_download() as download:
        page.click("#save-mix")
    return download.value


def level(sound) -> float:
    return 20 * math.log10(max(float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))), 1e-12))


@pytest.mark.parametrize("format_", ["flac", "mp3"])
def test_the_services_mix_is_the_browsers_to_ninety_decibels(page_with_stems, format_):
    page = page_with_stems(format_)
    in_mixer(page, LEVELS)
    here, _ = soundfile.read(saved(page, "wav").path(), always_2d=True)
    download = saved(page, "flac")
    assert download.suggested_filename == "Four (Mix).flac"
    there, rate = soundfile.read(download.path(), always_2d=True)
    assert (rate, there.shape) == (44_100, here.shape)
    assert level(here) > -60
    assert level(there - here) < level(here) - 90


@pytest.fixture
def page_with_stems(open_page, service):
    def make(format_: str) -> Page:
        data = flac(0.5 * tune(4, seed=870))
        songhash = service.submit(data, format=format_, filename="Four.flac")
        service.until(songhash, "done", seconds=180)
        page = open_page(f"/#/job/{songhash}")
        expect(page.locator("#save-mix")).to_be_enabled()
        return page

    return make


def test_a_mix_is_saved_as_mp3_and_again_at_once(mixer, service, song):
    stem_row(mixer, "vocals").locator(".mute").click()
    download = saved(mixer, "mp3")
    assert download.suggested_filename.endswith("-mix.mp3")
    assert mutagen.File(download.path()).info.length == pytest.approx(song.seconds, abs=0.05)
    expect(mixer.locator("#loading")).to_be_hidden()
    assert saved(mixer, "mp3").path().read_bytes() == download.path().read_bytes()
    assert violations(mixer) == []
    mixer.reload()
    expect(mixer.locator("#mix-format")).to_have_value("mp3")  # it is remembered


def test_a_mix_of_a_long_song_needs_no_stems_in_the_browser(open_page, song):
    page = open_page()
    page.route("**/apiv1/track/*-drums", lambda route: route.abort())
    page.goto(song.address)
    expect(page.locator("#toasts")).to_contain_text("The stems were not loaded")
    expect(page.locator("#save-mix")).to_be_disabled()
    assert saved(page, "wav 24").suggested_filename.endswith("-mix.wav")


def test_a_mix_that_fails_says_why_and_can_be_tried_again(mixer):
    mixer.route("**/mix", lambda route: route.fulfill(status=503, body='{"code": "queue_full", "detail": "full"}'))
    mixer.select_option("#mix-format", "flac")
    mixer.click("#save-mix")
    expect(mixer.locator("#toasts")).to_contain_text("The mix was not rendered")
    mixer.unroute("**/mix")
    with mixer.expect_download() as download:
        mixer.locator("#toasts").get_by_role("button", name="Retry").click()
    assert download.value.suggested_filename.endswith("-mix.flac")
