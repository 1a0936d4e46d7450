"""Tempo and pitch: what sounds, how long it takes, and that all lanes stay on one sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import PHONE, WIDE, in_mixer, violations
from tests.page.player.recorder import NO_POLICY, recording

RATE = 44_100
SECONDS = 8

# `give`: each lane gets these samples. `burst`: noise for a tenth of a second. `hertzOf`: by the median period of what
# is loud. `centreOf`: of the energy. `onsetsOf`: where it gets loud after a twentieth of a second of silence.
SOUNDS = """
    const give = (valueAt) => {
        const buffer = new AudioBuffer({ length: mixer.frames, numberOfChannels: 2, sampleRate: mixer.rate });
        for (let channel = 0; channel < 2; channel++)
            buffer.getChannelData(channel).forEach((_, at, samples) => { samples[at] = valueAt(at / mixer.rate, at); });
        for (const { name } of mixer.stems) mixer.setBuffer(name, buffer, true);
    };
    const noise = Float32Array.from({ length: mixer.frames }, () => Math.random() - 0.5);
    const burst = (begin) => give((seconds, at) => (seconds >= begin && seconds < begin + 0.1 ? noise[at] : 0));
    const isLoud = (value) => Math.abs(value) > 0.05;
    const loudOf = (samples) => [samples.findIndex(isLoud), samples.findLastIndex(isLoud)];
    const hertzOf = (samples) => {
        const [first, last] = loudOf(samples);
        const crossings = [];
        for (let at = first + 1; at < last; at++) if (samples[at - 1] < 0 && samples[at] >= 0)
            crossings.push(at - samples[at] / (samples[at] - samples[at - 1]));
        const periods = crossings.slice(1).map((at, index) => at - crossings[index]).sort((a, b) => a - b);
        return mixer.rate / periods[periods.length >> 1];
    };
    const centreOf = (samples) => {
        const sum = (weigh) => samples.reduce((total, value, at) => total + weigh(at) * value * value, 0);
        return sum((at) => at) / sum(() => 1);
    };
    const onsetsOf = (samples) => {
        const found = [];
        let loud = -Infinity;
        samples.forEach((value, at) => {
            if (!isLoud(value)) return;
            if (at - loud > mixer.rate / 20) found.push(at);
            loud = at;
        });
        return found;
    };
"""


@pytest.fixture
def opened(open_page: Callable[..., Page], song) -> Page:
    """The mixer with an audio context that has been started."""
    page = open_page(song.address, **NO_POLICY)
    expect(page.locator("#save-mix")).to_be_enabled()
    page.click("#play")
    recording(page, "await until(() => mixer.playing); mixer.pause()")
    return page


def heard(page: Page, script: str, argument: Any = None) -> Any:
    return recording(page, SOUNDS + script, argument)


# --- what sounds

TONE = """
    give((seconds) => (seconds >= 1.6 && seconds < 2.8 ? 0.5 * Math.sin(2 * Math.PI * 440 * seconds) : 0));
    mixer.seek(0); // a busy browser may begin late
    mixer.stretch(argument);
    await mixer.play();
    const recorder = await Recorder.of(mixer, 60);
    await until(() => mixer.position > 3);
    const lanes = await recorder.get();
    mixer.pause();
    const [first, last] = loudOf(lanes[0]);
    return { hertz: hertzOf(lanes[0]), seconds: (last - first) / mixer.rate, apart: apartOf(lanes) };
"""


@pytest.mark.parametrize(("tempo", "semitones", "cents"), [(75, 0, 1), (100, 12, 2), (150, -5, 7), (50, 0.5, 7)])
def test_a_tone_keeps_its_pitch_at_another_tempo_and_its_length_at_another_pitch(opened, tempo, semitones, cents):
    found = heard(opened, TONE, {"speed": tempo / 100, "semitones": semitones})
    assert 1200 * math.log2(found["hertz"] / 440) == pytest.approx(100 * semitones, abs=cents)
    assert found["seconds"] == pytest.approx(1.2 * 100 / tempo, abs=0.06)
    assert found["apart"] < 0.002


# All lanes get the same noise, so a lane that is one sample late is far from the others.
JUMPS = """
    give((_, at) => noise[at]);
    mixer.stretch({ speed: 0.8, semitones: 2 });
    await mixer.play();
    const recorder = await Recorder.of(mixer, 120);
    await listen(mixer, 0.3);
    for (const act of [
        () => mixer.seek(4.321), () => mixer.setLoop({ start: 2.345, end: 2.6 }), () => mixer.seek(2.5),
        () => mixer.stretch({ speed: 0.5 }), () => mixer.stretch({ semitones: -7 }),
        () => mixer.stretch({ speed: 1.5 }),
        () => mixer.setLoop(null), () => mixer.seek(1), () => mixer.seek(6), () => mixer.seek(0.1),
    ]) {
        const began = performance.now();
        act();
        while (performance.now() < began + argument);
        await listen(mixer, 0.4);
    }
    const lanes = await recorder.get();
    mixer.pause();
    return { apart: apartOf(lanes), loud: lanes[0].filter(isLoud).length };
"""


@pytest.mark.parametrize("held_up_ms", [0, 150])
def test_stretched_lanes_stay_on_one_sample_through_seeks_loops_and_changes(opened, held_up_ms):
    found = heard(opened, JUMPS, held_up_ms)
    assert found["loud"] > RATE
    assert found["apart"] < 0.01


PLACES = """
    burst(3);
    mixer.seek(2.5);
    mixer.stretch({ speed: 0.75 });
    await mixer.play();
    const recorder = await Recorder.of(mixer, 60);
    await until(() => mixer.position > 2.6);
    mixer.stretch({ speed: 1.25 });
    mixer.stretch({ speed: 0.5, semitones: 1 });
    const { when, offset, speed } = mixer.inspect();
    const timed = [mixer.context.currentTime, mixer.position];
    await until(() => mixer.position > 3.4);
    const passed = [mixer.context.currentTime - timed[0], mixer.position - timed[1]];
    const [lane] = await recorder.get();
    mixer.pause();
    const expected = when + (3.05 * mixer.rate - offset) / speed;
    return { late: (recorder.began + centreOf(lane) - expected) / mixer.rate, pace: passed[1] / passed[0] };
"""


def test_what_sounds_is_what_the_position_says_after_changes_too(opened):
    found = heard(opened, PLACES)
    assert found["late"] == pytest.approx(0, abs=0.02)
    assert found["pace"] == pytest.approx(0.5, abs=0.1)  # the first tenth of a second was faster


LOOP = """
    burst(1.3);
    mixer.stretch({ speed: 0.5 });
    mixer.setLoop({ start: 1, end: 1.5 });
    await mixer.play();
    const recorder = await Recorder.of(mixer, 60);
    await listen(mixer, 4);
    const [lane] = await recorder.get();
    mixer.pause();
    const onsets = onsetsOf(lane);
    return onsets.slice(1).map((at, index) => (at - onsets[index]) / mixer.rate);
"""


def test_a_loop_takes_its_length_divided_by_the_tempo(opened):
    found = heard(opened, LOOP)
    assert len(found) >= 2
    assert found == pytest.approx([1.0] * len(found), abs=0.02)


END = """
    give((_, at) => noise[at]);
    mixer.seek(7);
    mixer.stretch({ speed: 1.5 });
    await mixer.play();
    const began = mixer.context.currentTime;
    await until(() => !mixer.playing && !mixer.waiting);
    return [mixer.position, mixer.context.currentTime - began];
"""


def test_a_stretched_song_ends(opened):
    position, took = heard(opened, END)
    assert position == SECONDS
    assert took > 0.66


# --- as recorded

RECORDED = """
    let nodes = 0;
    const { prototype } = AudioNode;
    const { connect } = prototype;
    prototype.connect = function (...to) {
        nodes += this instanceof AudioWorkletNode;
        return connect.apply(this, to);
    };
    for (const { name } of mixer.stems) mixer.setBuffer(name, rampOf(mixer.frames, mixer.rate), true);
    await mixer.play();
    const before = nodes;
    mixer.stretch({ speed: 0.75, semitones: 3 });
    await until(() => mixer.inspect()?.speed === 0.75);
    const between = nodes;
    mixer.stretch({ speed: 1, semitones: 0 });
    await until(() => mixer.inspect()?.speed === 1);
    await until(() => mixer.context.currentTime * mixer.rate > mixer.inspect().when + mixer.rate / 10);
    const after = nodes;
    const recorder = await Recorder.of(mixer, 60);
    await listen(mixer, 0.5);
    const lanes = await recorder.get();
    mixer.pause();
    prototype.connect = connect;
    return { nodes: [before, between, after], apart: apartOf(lanes), steps: stepsOf(lanes[0]) };
"""


def test_without_a_change_of_tempo_and_pitch_the_recorded_samples_are_played(opened):
    found = heard(opened, RECORDED)
    before, between, after = found["nodes"]
    assert before == 0
    assert after == between >= 1  # more than one where the browser was held up and began again
    assert found["apart"] == 0
    assert set(found["steps"]) == {"1"}


# --- the controls


def values(page: Page) -> tuple[float, float]:
    speed, semitones = in_mixer(page, "return [mixer.speed, mixer.semitones]")
    return round(100 * speed, 6), semitones


def plays_to(page: Page, seconds: float) -> None:
    wait = "while (mixer.position < argument) await new Promise((resolve) => setTimeout(resolve, 20));"
    in_mixer(page, wait, seconds)


def test_tempo_and_pitch_are_typed_dragged_and_reset(mixer):
    tempo, pitch = mixer.get_by_label("Tempo in percent"), mixer.get_by_label("Pitch in semitones")
    expect(mixer.locator("#tempo-reset")).to_be_disabled()
    message = mixer.locator(".toast .toast-text")
    ranges = {tempo: "Tempo: a number from 50 to 150 %.", pitch: "Pitch: a number from −12 to +12 st."}
    for field, typed, shown, is_taken in (
        (tempo, "75", "75 %", True),
        (tempo, "10", "50 %", False),
        (tempo, "82,5 %", "82.5 %", True),
        (tempo, "900", "150 %", False),
        (tempo, "fast", "150 %", False),
        (pitch, "-2", "−2 st", True),
        (pitch, "13", "+12 st", False),
        (pitch, "+0.25 st", "+0.25 st", True),
        (pitch, "−13", "−12 st", False),
        (pitch, "", "−12 st", False),
    ):
        field.fill(typed)
        field.press("Enter")
        expect(field).to_have_value(shown)
        expect(message).to_have_text([] if is_taken else [ranges[field]])
    level, beats = mixer.get_by_label("Decibels of bass"), mixer.get_by_label("Tempo in beats a minute")
    decibels, bpm = "Volume: decibels from −48 (silence) to +6.", "Beats: a number from 20 to 400 BPM."
    for field, typed, said in ((level, "7", decibels), (beats, "10", bpm), (level, "loud", decibels), (beats, "", bpm)):
        field.fill(typed)
        field.press("Enter")
        expect(message).to_have_text([said])
    assert values(mixer) == (150, -12)
    expect(mixer.locator("#tempo-note")).to_contain_text("Downloads stay as recorded.")
    assert violations(mixer) == []
    mixer.get_by_role("slider", name="Tempo").fill("60")
    mixer.get_by_role("slider", name="Pitch").fill("3")
    expect(tempo).to_have_value("60 %")
    expect(pitch).to_have_value("+3 st")
    mixer.get_by_role("slider", name="Tempo").dblclick()
    expect(tempo).to_have_value("100 %")
    mixer.click("#tempo-reset")
    assert values(mixer) == (100, 0)
    expect(mixer.locator("#tempo-note")).to_have_text("")


def test_keys_change_tempo_and_pitch(mixer):
    for key in ("<", "<", ">", "p", "P", "o"):
        mixer.keyboard.press(key)
    assert values(mixer) == (95, 1)
    expect(mixer.get_by_role("slider", name="Pitch")).to_have_attribute("aria-valuetext", "+1 semitones")
    mixer.keyboard.press("r")
    assert values(mixer) == (100, 0)


def test_tempo_and_pitch_are_kept_with_the_mix_and_shared(mixer, song, open_page):
    mixer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    in_mixer(mixer, "mixer.stretch({ speed: 0.75, semitones: -2.5 })")
    mixer.click("#share-mix")
    expect(mixer.locator(".toast")).to_contain_text("was copied")
    address = mixer.evaluate("navigator.clipboard.readText()")
    assert address.endswith(f"{song.address}?tempo=75&pitch=-2.5")
    mixer.reload()
    expect(mixer.locator("#tempo-typed")).to_have_value("75 %")
    other = open_page(address)
    expect(other.locator("#pitch-typed")).to_have_value("−2.5 st")
    assert values(other) == (75, -2.5)
    other.goto("/")
    other.goto(f"{song.address}?tempo=9000&pitch=x")
    expect(other.locator("#tempo-typed")).to_have_value("150 %")
    assert values(other) == (150, 0)


def test_the_page_under_its_policy_plays_stretched_and_tells_the_lock_screen(open_page, song):
    page = open_page()
    page.add_init_script("navigator.mediaSession.setPositionState = (state) => { window.state = state; };")
    page.goto(song.address)
    page.reload()
    expect(page.locator("#save-mix")).to_be_enabled()
    page.get_by_label("Tempo in percent").fill("75")
    page.click("#play")  # which leaves the field
    plays_to(page, 2)
    assert in_mixer(page, "return mixer.inspect().speed") == 0.75
    assert page.evaluate("state.playbackRate") == 0.75
    expect(page.locator(".toast")).to_have_count(0)


def test_a_browser_without_webassembly_says_so_and_plays_as_recorded(open_page, song):
    page = open_page()
    page.add_init_script("WebAssembly.Module = function () { throw new Error('not allowed'); };")
    page.goto(f"{song.address}?tempo=75")
    expect(page.locator("#tempo-typed")).to_have_value("75 %")
    page.reload()
    expect(page.locator("#save-mix")).to_be_enabled()
    page.click("#play")
    expect(page.locator(".toast[role=alert]")).to_contain_text("cannot change tempo and pitch")
    expect(page.locator("#tempo-typed")).to_have_value("100 %")
    plays_to(page, 1)


@pytest.mark.parametrize("screen", [{}, WIDE, PHONE], ids=["1200", "2560", "phone"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_tempo_and_pitch_are_accessible_and_fit(open_page, song, screen, colours):
    page = open_page(f"{song.address}?tempo=62.5&pitch=-11.75", color_scheme=colours, **screen)
    typed = page.locator("#pitch-typed")
    expect(typed).to_have_value("−11.75 st")
    assert typed.evaluate("(element) => element.scrollWidth <= element.clientWidth")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
