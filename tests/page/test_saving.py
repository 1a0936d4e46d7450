"""Names of what a browser saves."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import mutagen
import pytest
import soundfile
from playwright.sync_api import Download, Page, expect

from tests.page.conftest import in_mixer, pick, songhash_of, stem_row
from tests.support.audio.sounds import flac, tune


def tagged(data: bytes, folder: Path, **tags: str) -> bytes:
    path = folder / "tagged.flac"
    path.write_bytes(data)
    file = mutagen.File(path)
    file.update(tags)
    file.save()
    return path.read_bytes()


def sent(page: Page, name: str, data: bytes) -> Page:
    pick(page, (name, data))
    expect(page.locator("#save-mix")).to_be_enabled()
    return page


def saved(page: Page, selector: str) -> Download:
    with page.expect_download() as download:
        page.click(selector)
    return download.value


def test_stems_zip_and_mix_are_saved_by_artist_and_title(page, tmp_path):
    sent(page, "07 track.flac", tagged(flac(tune(1, seed=811)), tmp_path, artist="Sigur Rós", title="Sæglópur / 2"))
    expect(page.locator("#song-title")).to_have_text("Sigur Rós - Sæglópur - 2")
    assert saved(page, "[data-stem=vocals] .save").suggested_filename == "Sigur Rós - Sæglópur - 2 (Vocals).mp3"
    everything = saved(page, "#save-all")
    assert everything.suggested_filename == "Sigur Rós - Sæglópur - 2.zip"
    assert saved(page, "#save-mix").suggested_filename == "Sigur Rós - Sæglópur - 2 (Mix).wav"
    with zipfile.ZipFile(io.BytesIO(everything.path().read_bytes())) as archive:
        assert "Sigur Rós - Sæglópur - 2/Sigur Rós - Sæglópur - 2 (Bass).mp3" in archive.namelist()


def test_two_people_who_sent_the_same_bytes_save_each_their_own_name(open_page):
    data = flac(tune(1, seed=812))
    anna, ben = sent(open_page(), "Take 1.flac", data), sent(open_page(), "../for <ben>.flac", data)
    assert songhash_of(anna) == songhash_of(ben)
    for page, name in ((anna, "Take 1"), (ben, "for _ben_")):
        assert saved(page, "#save-all").suggested_filename == f"{name}.zip"
        with page.expect_download() as download:
            stem_row(page, "bass").locator(".save").click()
        assert download.value.suggested_filename == f"{name} (Bass).mp3"


@pytest.mark.slow
def test_a_song_that_another_browser_sent_has_its_name_here(page, open_page):
    sent(page, "Sent there.flac", flac(tune(1, seed=813)))
    other = open_page(f"/#/job/{songhash_of(page)}")
    expect(other.locator("#song-title")).to_have_text("Sent there")
    expect(other.locator("#save-mix")).to_be_enabled()
    assert saved(other, "#save-all").suggested_filename == "Sent there.zip"


def test_format_rate_and_mono_are_chosen_on_the_page(page):
    page.select_option("[name=format]", "wav 16")
    page.select_option("[name=rate]", "source")
    page.check("[name=mono]")
    page.reload()  # they are remembered
    expect(page.locator("[name=mono]")).to_be_checked()
    sent(page, "Choices.flac", flac(tune(1, seed=814, rate=48_000), 48_000))
    download = saved(page, "[data-stem=bass] .save")
    assert download.suggested_filename == "Choices (Bass).wav"
    info = soundfile.info(download.path())
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (48_000, 1, 48_000, "PCM_16")


def test_opus_has_one_rate_on_the_page(page):
    page.select_option("[name=format]", "opus 192")
    assert page.locator("[name=rate] option").all_text_contents() == ["48 kHz"]


@pytest.mark.slow
def test_a_part_is_chosen_on_the_page_and_compared_with_the_same_part(page):
    page.fill("[name=start]", "0:01")
    page.fill("[name=end]", "2,5")
    sent(page, "Part.flac", flac(tune(4, seed=815)))
    expect(page.locator("#length")).to_have_text("0:01")
    page.locator("#sides").get_by_text("Original", exact=True).click()
    expect(page.locator("#sides input[value=original]")).to_be_checked()
    frames = in_mixer(
        page,
        "while (!mixer.lane('original').buffer) await new Promise((resolve) => setTimeout(resolve, 5));"
        " return [mixer.lane('original').buffer.length, mixer.frames]",
    )
    assert frames == [66_150, 66_150]


def test_a_part_that_is_no_time_is_refused_and_not_overlooked(page):
    page.fill("[name=start]", "a minute")
    pick(page, ("Refused.flac", flac(tune(1, seed=816))))
    expect(page.locator(".toast[role=alert]")).to_contain_text("'a minute' is not a number of seconds")
