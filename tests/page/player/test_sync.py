"""The lanes never part by a sample, even if the browser is too busy to keep its times."""

from __future__ import annotations

import random

import pytest
from playwright.sync_api import expect

from tests.page.conftest import STEMS, in_mixer
from tests.page.player.recorder import NO_POLICY, recording

RATE = 44_100

# Each lane plays its own index, sample for sample, through jumps that are half a second of sound apart.
JUMP = """
    for (const { name } of mixer.stems) mixer.setBuffer(name, rampOf(mixer.frames, mixer.rate), true);
    const recorder = await Recorder.of(mixer, 60);
    await mixer.play();
    const { prototype } = AudioBufferSourceNode;
    const { start, stop } = prototype;
    if (argument.heldUpMs) {
        const late = (method) => function (...times) {
            for (const began = performance.now(); performance.now() < began + argument.heldUpMs;);
            return method.apply(this, times);
        };
        Object.assign(prototype, { start: late(start), stop: late(stop) });
    }
    for (const [kind, a, b] of argument.jumps) {
        if (kind === 'seek') mixer.seek(a);
        else mixer.setLoop(kind === 'loop' ? { start: a, end: b } : null);
        await listen(mixer, 0.5);
    }
    const heard = await recorder.get();
    mixer.pause();
    Object.assign(prototype, { start, stop });
    return { played: heard[0].filter(Boolean).length, apart: apartOf(heard), steps: stepsOf(heard[0]) };
"""


@pytest.fixture
def opened(open_page, song):
    """The mixer with a running audio context."""
    page = open_page(song.address, **NO_POLICY)
    expect(page.locator("#save-mix")).to_be_enabled()
    page.click("#play")
    recording(page, "await until(() => mixer.playing); mixer.pause()")
    return page


@pytest.mark.parametrize("held_up_ms", [0, 60])
def test_the_lanes_stay_on_one_sample_through_any_seeks_and_loops(opened, held_up_ms):
    rng = random.Random(8)
    jumps = [["seek", rng.uniform(0, 6), 0] for _ in range(4)]
    jumps += [["loop", 1.0, 1.111], ["seek", 1.05, 0], ["loop", 2.345, 2.6], ["off", 0, 0], ["seek", 4.2, 0]]
    found = recording(opened, JUMP, {"jumps": jumps, "heldUpMs": held_up_ms})
    assert found["apart"] == 0  # a lane one sample late would be 1 apart all along
    assert found["played"] > RATE
    assert found["steps"]["1"] > 0.99 * found["played"]  # whole samples in their order, but for the jumps


@pytest.mark.slow
def test_every_lane_starts_at_the_same_moment_and_place(opened):
    opened.click("#play")
    rng = random.Random(9)
    for _ in range(10):
        seconds = rng.uniform(0, 7)
        found = in_mixer(opened, "mixer.seek(argument); return mixer.inspect()", seconds)
        assert (found["lanes"], found["offset"]) == (list(STEMS), round(seconds * RATE))


MANY = """
    const { Mixer } = await import(new URL('player/mixer.js', document.querySelector('script[type=module]').src));
    const rate = 44100, frames = 9 * rate;
    const names = Array.from({ length: 20 }, (_, index) => `lane ${index}`);
    const other = new Mixer({ names, rate, frames });
    names.forEach((name, index) => other.setBuffer(name, rampOf(frames, rate, index % 3 ? 2 : 1), true));
    await other.play();
    const recorder = await Recorder.of(other, 20);
    await listen(other, 0.3);
    other.seek(3.9);
    other.setLoop({ start: 3.5, end: 8.25 });
    await until(() => other.position > 8);
    await until(() => other.position < 5);
    await listen(other, 0.2);
    const heard = await recorder.get();
    other.close();
    const most = heard[0].reduce((a, b) => Math.max(a, b));
    return { lanes: heard.length, apart: apartOf(heard), steps: stepsOf(heard[0]), most };
"""


def test_more_lanes_than_a_buffer_has_channels_play_windows_and_loops_without_a_gap(opened):
    found = recording(opened, MANY)
    assert (found["lanes"], found["apart"]) == (20, 0)
    assert found["most"] == round(8.25 * RATE) - 1
    others = {step: count for step, count in found["steps"].items() if step != "1"}
    assert sum(others.values()) <= 2, others  # the seek and the end of the loop
    assert others[str(round(3.5 * RATE) - round(8.25 * RATE) + 1)] == 1


SWAP = """
    const { Mixer } = await import(new URL('player/mixer.js', document.querySelector('script[type=module]').src));
    const rate = 44100, frames = 6 * rate;
    const other = new Mixer({ names: ['a', 'b'], rate, frames });
    for (const name of ['a', 'b']) other.setBuffer(name, rampOf(2 * rate, rate), false);
    await other.play();
    const recorder = await Recorder.of(other, 20);
    await listen(other, 0.5);
    for (const name of ['a', 'b']) {
        other.setBuffer(name, rampOf(frames, rate), true);
        await listen(other, 0.2);
    }
    await listen(other, 2.5);
    const heard = await recorder.get();
    other.seek(5);
    const waits = other.waiting;
    other.close();
    return { waits, apart: apartOf(heard), steps: stepsOf(heard[0]), played: heard[0].filter(Boolean).length };
"""


def test_a_songs_beginning_gives_way_to_the_whole_without_a_gap(opened):
    found = recording(opened, SWAP)
    assert not found["waits"]
    assert found["played"] > 2 * RATE
    assert (found["apart"], set(found["steps"])) == (0, {"1"})
