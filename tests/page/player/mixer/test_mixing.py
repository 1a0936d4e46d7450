"""The mixer: what is heard is what is shown."""

import io
import re

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from tests.page.conftest import STEMS, expect_gains, in_mixer, ink, pick, position, stem_row
from tests.support.audio.sounds import decode_with_av, flac, tune

RATE = 44_100


def slide(page: Page, stem: str, control: str, value: float) -> None:
    stem_row(page, stem).locator(control).fill(str(value))


def test_it_plays_pauses_and_seeks_by_click(mixer):
    expect(mixer.locator("#length")).to_have_text("0:08")
    mixer.click("#play")
    expect(mixer.locator("#play")).to_have_attribute("aria-label", "Pause")
    expect(mixer.locator("#time")).to_have_text(re.compile("0:0[1-7]"))
    mixer.click("#play")
    stands = position(mixer)
    mixer.wait_for_timeout(300)
    assert position(mixer) == stands
    wave = stem_row(mixer, "drums").locator(".wave")
    wave.click(position={"x": wave.bounding_box()["width"] * 0.75, "y": 20})
    assert position(mixer) == pytest.approx(6, abs=0.05)


def test_it_stops_at_the_end_and_starts_anew_from_there(mixer):
    in_mixer(mixer, "mixer.seek(7.7)")
    mixer.click("#play")
    expect(mixer.locator("#play")).to_have_attribute("aria-label", "Play")
    assert position(mixer) == 8
    mixer.click("#play")
    expect(mixer.locator("#play")).to_have_attribute("aria-label", "Pause")
    assert position(mixer) < 4


def test_solo_mute_and_fader_are_heard(mixer):
    mixer.click("#play")
    stem_row(mixer, "bass").locator(".solo").click()
    expect_gains(mixer, {"vocals": 0, "drums": 0, "bass": 1, "other": 0})
    stem_row(mixer, "bass").locator(".solo").click()
    stem_row(mixer, "vocals").locator(".mute").click()
    slide(mixer, "drums", ".volume", -6)
    slide(mixer, "other", ".volume", -48)
    expect_gains(mixer, {"vocals": 0, "drums": 10**-0.3, "bass": 1, "other": 0})
    expect(stem_row(mixer, "other").locator(".level")).to_have_value("−∞")
    mixer.click("#reset-mix")
    expect_gains(mixer, dict.fromkeys(STEMS, 1))


def test_switches_look_on_while_they_are_pointed_at(mixer):
    colour = "element => getComputedStyle(element).backgroundColor"
    for switch, on in ((".mute", "rgb(201, 42, 62)"), (".solo", "rgb(255, 212, 59)")):
        button = stem_row(mixer, "bass").locator(switch)
        button.click()
        assert button.evaluate("element => element.matches(':hover')")
        assert button.evaluate(colour) == on
        button.click()
        assert button.evaluate(colour) != on


def test_past_its_loaded_beginning_a_song_waits_and_goes_on(mixer):
    mixer.click("#play")
    mixer.click("#play")
    states = in_mixer(
        mixer,
        """
        const whole = mixer.stems.map((lane) => [lane.name, lane.buffer]);
        const [name, buffer] = whole[0];
        Object.assign(mixer.lane(name), { buffer: null, whole: false });
        mixer.seek(2);
        await mixer.play();
        const waiting = [mixer.waiting, mixer.playing, mixer.position];
        mixer.setBuffer(name, buffer, true);
        return [waiting, [mixer.waiting, mixer.playing]];
        """,
    )
    assert states == [[True, False, 2], [False, True]]


def test_a_drag_over_a_waveform_loops_it(mixer):
    box = stem_row(mixer, "bass").locator(".wave").bounding_box()
    mixer.keyboard.down("Alt")  # to the sample, not to the beat
    mixer.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 30)
    mixer.mouse.down()
    mixer.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 30, steps=4)
    mixer.mouse.up()
    mixer.keyboard.up("Alt")
    expect(mixer.locator("#loop")).to_have_attribute("aria-pressed", "true")
    loop = in_mixer(mixer, "return mixer.loop")
    assert (loop["start"] / RATE, loop["end"] / RATE) == pytest.approx((2, 3.2), abs=0.05)
    in_mixer(mixer, "mixer.seek(3)")
    mixer.click("#play")
    for _ in range(10):
        mixer.wait_for_timeout(150)
        assert position(mixer) < 3.25


def test_the_downloaded_mix_is_the_sum_of_the_stems_as_they_stand(mixer, service, song):
    stem_row(mixer, "vocals").locator(".mute").click()
    slide(mixer, "drums", ".volume", -6)
    slide(mixer, "bass", ".pan", -50)
    slide(mixer, "other", ".volume", 3)
    with mixer.expect_download() as download:
        mixer.click("#save-mix")
    assert download.value.suggested_filename.endswith(" (Mix).wav")
    mix, rate = soundfile.read(download.value.path(), dtype="float32", always_2d=True)
    drums, bass, other = (decode_with_av(service.stem(song.songhash, stem)) for stem in ("drums", "bass", "other"))
    left, right = bass
    # StereoPannerNode's own law for two channels: the left one keeps, the right one moves over
    x = (-0.5 + 1) * np.pi / 2
    panned = np.stack([left + right * np.cos(x), right * np.sin(x)])
    expected = drums * 10**-0.3 + panned + other * 10**0.15
    assert (rate, mix.shape) == (RATE, expected.T.shape)
    assert np.abs(mix.T - expected).max() < 2e-4  # two MP3 decoders apart


def test_the_original_is_at_hand_for_comparing_and_lies_on_the_same_sample(page):
    samples = tune(1.5, seed=730)
    pick(page, ("Compare.flac", flac(samples)))
    expect(page.locator("#save-mix")).to_be_enabled()
    page.click("#play")
    page.click("#sides label >> nth=1")
    expect_gains(page, dict.fromkeys(STEMS, 0))
    heard = in_mixer(
        page,
        "const part = ({ buffer }) => Array.from(buffer.getChannelData(0).subarray(20000, 40000));"
        " const original = mixer.lane('original');"
        " return [original.strip.gain.gain.value, part(original), mixer.stems.map(part)]",
    )
    gain, original, stems = heard[0], np.array(heard[1]), np.sum(np.array(heard[2]), axis=0)
    assert gain == 1
    assert np.abs(original - samples[0, 20000:40000]).max() < 1e-4
    lags = range(-3, 4)
    matches = [float(np.dot(original[100:-100], stems[100 + lag : len(stems) - 100 + lag])) for lag in lags]
    assert lags[int(np.argmax(matches))] == 0


def test_without_the_file_there_is_nothing_to_compare_with(mixer):
    expect(mixer.locator("#sides")).to_be_hidden()


def test_lanes_are_drawn_without_the_servers_waveforms(open_page, song):
    page = open_page()
    page.route("**/waveforms", lambda route: route.fulfill(status=404, body="{}"))
    page.goto(song.address)
    expect(page.locator("#save-mix")).to_be_enabled()
    assert ink(page, "drums") > 5000


def test_all_stems_come_as_one_zip_and_each_by_itself(mixer, song):
    for selector, name in (
        ("#save-all", f"{song.songhash}.zip"),
        ("[data-stem=bass] .save", f"{song.songhash}-bass.mp3"),
    ):
        with mixer.expect_download() as download:
            mixer.click(selector)
        assert download.value.suggested_filename == name
        assert len(io.FileIO(download.value.path()).read()) > 1000
