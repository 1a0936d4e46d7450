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


# A mixer that renders offline, so that no sample depends on how busy the machine is. Its first two lanes are the two
# channels of the result; `steps` are called at their seconds, on the rendering's own clock.
OFFLINE = """
    const { Mixer } = await import(new URL('player/mixer.js', document.querySelector('script[type=module]').src));
    const rate = 44100;
    const offline = async ({ names, frames, seconds, begin, steps }) => {
        const makeContext = () => {
            const context = new OfflineAudioContext(2, seconds * rate, rate);
            Object.defineProperty(context, 'state', { value: 'running' });
            return Object.assign(context, { resume: async () => {}, close: async () => {} });
        };
        const other = new Mixer({ names, rate, frames, makeContext });
        names.forEach((name, index) => other.setLevel(name, index < 2 ? { pan: index ? 1 : -1 } : { muted: true }));
        begin(other);
        await other.play();
        for (const [at, act] of steps) other.context.suspend(at).then(() => {
            act(other);
            OfflineAudioContext.prototype.resume.call(other.context);
        });
        const rendered = await other.context.startRendering();
        other.close();
        const afterFade = (channel) => rendered.getChannelData(channel).slice(0.1 * rate).map(Math.round);
        return [afterFade(0), afterFade(1)];
    };
    const found = (heard) => ({ apart: apartOf(heard), steps: stepsOf(heard[0]), last: heard[0].at(-1) });
"""

MANY = """
    const names = Array.from({ length: 20 }, (_, index) => `lane ${index}`);
    [names[1], names[19]] = [names[19], names[1]];
    const frames = 9 * rate;
    const ramp = rampOf(frames, rate, 1);
    const wide = new AudioBuffer({ length: frames, numberOfChannels: 2, sampleRate: rate });
    const begin = (other) => {
        names.forEach((name, index) => other.setBuffer(name, index < 2 ? ramp : wide, true));
        other.seek(3.9);
        other.setLoop({ start: 3.5, end: 8.25 });
    };
    return found(await offline({ names, frames, seconds: 6, begin, steps: [] }));
"""


def test_more_lanes_than_a_buffer_has_channels_play_windows_and_loops_without_a_gap(opened):
    found = recording(opened, OFFLINE + MANY)
    assert found["apart"] == 0
    others = {step: count for step, count in found["steps"].items() if step != "1"}
    assert others == {str(round(3.5 * RATE) - round(8.25 * RATE) + 1): 1}


SWAP = """
    const frames = 6 * rate;
    const give = (name) => (other) => other.setBuffer(name, rampOf(frames, rate, 1), true);
    const begin = (other) => ['a', 'b'].forEach((name) => other.setBuffer(name, rampOf(2 * rate, rate, 1), false));
    const steps = [[0.5, give('a')], [0.7, give('b')]];
    return found(await offline({ names: ['a', 'b'], frames, seconds: 5, begin, steps }));
"""


def test_a_songs_beginning_gives_way_to_the_whole_without_a_gap(opened):
    found = recording(opened, OFFLINE + SWAP)
    assert found["last"] > 4.5 * RATE
    assert (found["apart"], set(found["steps"])) == (0, {"1"})
