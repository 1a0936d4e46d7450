"""The original of a long song is compared piece by piece, on the sample, where its format can be cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import MAIN
from tests.page.player.recorder import NO_POLICY, recording
from tests.page.player.stream.sounds import LONG_SECONDS, RATE, encoded_elsewhere, put_long_song, saw_tooth


@pytest.fixture
def compared(open_page, service, tmp_path) -> Callable[..., Page]:
    """The page with a long song that this browser has sent itself, from a file with these bytes."""

    def make(original: Path, first: int = 0, **options: str) -> Page:
        """`first`: frame of the saw tooth that the stems begin with; `options`: of the job."""
        songhash = put_long_song(service, saw_tooth(tmp_path / "stem.flac", first=first), **options)
        page = open_page("/", **NO_POLICY)
        page.route("**/original", lambda route: answer(route, original))
        page.evaluate(
            f"""async (songhash) => {{
                const path = new URL('song/originals.js', {MAIN});
                const file = new File([await (await fetch('/original')).blob()], 'original');
                await (await import(path)).keepOriginal(songhash, file);
                location.hash = `#/job/${{songhash}}`;
            }}""",
            songhash,
        )
        expect(page.locator("#play")).to_be_visible()
        expect(page.locator("#save-mix")).to_be_enabled()
        return page

    return make


def answer(route: Route, path: Path) -> None:
    route.fulfill(body=path.read_bytes(), content_type="audio/flac")


COMPARED = """
    const lanes = [...mixer.stems, mixer.lane('original')];
    mixer.seek(argument.at);
    await mixer.play();
    await until(() => mixer.playing && mixer.position > argument.at);
    document.querySelector('#sides input[value=original]').click();
    await until(() => mixer.side === 'original' && mixer.inspect()?.lanes.includes('original'));
    const side = lanes.map(({ strip }) => strip.gain.gain.value);
    await listen(mixer, 0.2);
    const gains = lanes.map(({ strip }) => strip.gain.gain);
    const heard = gains.map(({ value }) => value);
    for (const gain of gains) { gain.cancelScheduledValues(0); gain.value = 1; } // all at once, to compare them
    const recorder = await Recorder.of({ context: mixer.context, stems: lanes }, 60);
    const from = mixer.position;
    await until(() => mixer.position > from + 6);
    mixer.seek(argument.then);
    await until(() => mixer.playing && mixer.position > argument.then + 2 && mixer.position < argument.then + 30);
    const found = await recorder.get();
    mixer.pause();
    return { apart: apartOf(found), loud: found.at(-1).filter((value) => Math.abs(value) > 0.001).length, heard,
             buffer: mixer.lane('original').buffer };
"""


def test_the_original_of_a_long_song_plays_on_the_same_sample(compared, tmp_path):
    page = compared(saw_tooth(tmp_path / "original.flac"))
    expect(page.locator("#sides")).to_be_visible()
    found = recording(page, COMPARED, {"at": 300, "then": 571})
    assert found["heard"] == [0, 0, 0, 0, 1]
    assert found["buffer"] is None  # nothing was decoded as a whole
    assert found["loud"] > 6 * RATE
    assert found["apart"] == 0


@pytest.mark.slow
def test_a_part_of_an_original_is_compared_with_the_same_part(compared, tmp_path):
    original = saw_tooth(tmp_path / "original.flac", frames=(LONG_SECONDS + 1) * RATE)
    page = compared(original, first=RATE // 4, start="0.25")
    found = recording(page, COMPARED, {"at": 100, "then": 200})
    assert found["loud"] > 6 * RATE
    assert found["apart"] == 0


@pytest.mark.parametrize("options", [{"format": "OGG", "subtype": "VORBIS"}, {"format": "AIFF", "subtype": "PCM_16"}])
def test_an_original_that_cannot_be_played_in_pieces_is_said_to_be_one(compared, tmp_path, options):
    page = compared(encoded_elsewhere(tmp_path / "original", 2, 5, RATE, **options))
    expect(page.locator("#sides-note")).to_contain_text("No comparison with the original")
    expect(page.locator("#sides")).to_be_hidden()
    page.keyboard.press("a")
    expect(page.locator("#sides input[value=stems]")).to_be_checked()
