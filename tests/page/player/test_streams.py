"""Long songs are played piece by piece: exact samples, bounded memory, the same lanes, loops and seeks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, Route, expect

from msaas.audio.encode.open_writer import open_writer
from tests.page.conftest import STEMS, in_mixer
from tests.page.player.recorder import NO_POLICY, recording
from tests.support.audio.sounds import flac, tune

RATE = 44_100
LONG_SECONDS = 600  # four stems of it are more than a browser is asked to hold decoded
TOOTH = 2**15  # frames until the test signal repeats; a sample is one step of 16 bits above the one before it


def encoded(path: Path, channels: int, seconds: float, **options: Any) -> Path:
    samples = tune(seconds, seed=5)[:channels]
    samples += np.random.default_rng(1).normal(scale=0.05, size=samples.shape).astype(np.float32)
    with open_writer(
        path,
        path.suffix[1:],
        sample_rate=RATE,
        channels=channels,
        total_samples=samples.shape[1],
        **options,
    ) as writer:
        writer.write(samples)
    return path


def serve_ranges(page: Page, path: Path) -> None:
    data = path.read_bytes()

    def answer(route: Route) -> None:
        first, last = map(int, route.request.headers["range"].removeprefix("bytes=").split("-"))
        headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        route.fulfill(status=206, body=data[first : last + 1], headers=headers)

    page.route(f"**/{path.name}", answer)
    page.route(f"**/whole-{path.name}", lambda route: route.fulfill(body=data))


# The largest difference between a stem decoded piece by piece and as a whole, and the share of samples that differ.
PIECEWISE = """
    const { name, frames } = argument;
    const from = (path) => import(new URL(`player/stream/${path}`, document.querySelector('script[type=module]').src));
    const [{ openStems }, { Stream }] = await Promise.all([from('open.js'), from('stream.js')]);
    const { signal } = new AbortController();
    const { rate, cutters } = await openStems({ stem: `/${name}` }, signal);
    const data = await (await fetch(`/whole-${name}`)).arrayBuffer();
    const whole = await new OfflineAudioContext(2, 1, rate).decodeAudioData(data);
    let error = null;
    const stream = new Stream(cutters.get('stem'), { frames, signal, failed: (found) => { error = found; } });
    stream.want([{ from: 0, count: frames }]);
    while (stream.reach(0) < frames && !error) await new Promise((resolve) => setTimeout(resolve, 5));
    if (error) throw error;
    const targets = Array.from({ length: stream.channels }, () => new Float32Array(frames));
    stream.copy(targets, 0, 0, frames);
    const apart = (target, channel) => whole.getChannelData(channel).reduce(
        (most, value, at) => Math.max(most, Math.abs(value - target[at])), 0);
    const differing = (target, channel) => whole.getChannelData(channel).reduce(
        (count, value, at) => count + (Math.abs(value - target[at]) > 1e-6), 0) / frames;
    const loudest = targets[0].reduce((most, value) => Math.max(most, value), 0);
    return { rate, apart: Math.max(...targets.map(apart)), channels: whole.numberOfChannels, loudest,
             differing: Math.max(...targets.map(differing)) };
"""


@pytest.mark.parametrize(
    ("name", "channels", "options"),
    [
        ("high.mp3", 2, {"bitrate_kbps": 320}),
        ("low.mp3", 1, {"bitrate_kbps": 64}),
        ("deep.flac", 2, {"bit_depth": "24"}),
        ("flat.flac", 1, {"bit_depth": "16"}),
        ("float.wav", 2, {"bit_depth": "32f"}),
        ("deep.wav", 1, {"bit_depth": "24"}),
    ],
)
def test_pieces_of_a_stem_are_the_samples_of_the_whole(mixer, tmp_path, name, channels, options):
    seconds = 13
    serve_ranges(mixer, encoded(tmp_path / name, channels, seconds, **options))
    found = in_mixer(mixer, PIECEWISE, {"name": name, "frames": seconds * RATE})
    assert (found["rate"], found["channels"]) == (RATE, channels)
    assert found["loudest"] > 0.1
    assert found["apart"] < 1e-6


@pytest.mark.parametrize("channels", [1, 2])
def test_pieces_of_an_aac_stem_are_those_of_the_whole_but_for_noise_that_the_decoder_makes_up(
    mixer, tmp_path, channels
):
    seconds = 13
    serve_ranges(mixer, encoded(tmp_path / "stem.m4a", channels, seconds, bitrate_kbps=128 * channels))
    found = in_mixer(mixer, PIECEWISE, {"name": "stem.m4a", "frames": seconds * RATE})
    assert (found["rate"], found["channels"]) == (RATE, channels)
    assert found["loudest"] > 0.1
    assert found["differing"] < 0.05  # one sample late would be all


OPENED = """
    const path = new URL('player/stream/open.js', document.querySelector('script[type=module]').src);
    return (await (await import(path)).openStems({ stem: `/${argument}` }, new AbortController().signal)) !== null;
"""


@pytest.mark.parametrize(
    "head", [b"OggS", b"\0\0\0\x1cftypM4A ", b"ID3", b"\xff\xfb\x90\x40", b"fLaC", b"RIFF", b"This is no music."]
)
def test_what_cannot_be_cut_is_left_to_the_whole_decoder(mixer, tmp_path, head):
    name = "stem"
    (tmp_path / name).write_bytes(head + b" " * 9000)
    serve_ranges(mixer, tmp_path / name)
    assert in_mixer(mixer, OPENED, name) is False


# --- the page


@pytest.fixture
def long_song(service, tmp_path) -> str:
    """The address of a song of ten minutes, whose stems are all the same saw tooth: it shows each missing sample."""
    songhash = service.submit(flac(tune(1, seed=733)), format="flac")
    service.until(songhash, "done")
    frames = LONG_SECONDS * RATE
    tooth = (np.arange(frames, dtype=np.int32) % TOOTH).astype(np.int16)
    soundfile.write(tmp_path / "stem.flac", tooth, RATE, format="FLAC", subtype="PCM_16")
    for stem in STEMS:
        service.storage.put_stem(f"{songhash}-{stem}.flac", tmp_path / "stem.flac")
    drawn = json.loads(service.storage.read_waveforms(songhash))
    drawn |= {"total_samples": frames, "done_samples": frames}
    service.storage.put_waveforms(songhash, json.dumps(drawn).encode())
    return f"/#/job/{songhash}"


LISTEN = f"""
    const steps = (samples) => {{
        const counts = {{}};
        samples.forEach((value, at) => {{
            if (!value || !samples[at - 1]) return; // silence, also of the tooth's first sample
            const step = Math.round((value - samples[at - 1]) * {TOOTH - 1}); // browsers scale positive samples so
            counts[step] = (counts[step] ?? 0) + 1;
        }});
        return counts;
    }};
    const reached = (seconds) => until(() => mixer.playing && mixer.position >= seconds);
    mixer.seek(571);
    await mixer.play();
    await reached(571);
    const recorder = await Recorder.of(mixer, 60);
    await reached(574);
    mixer.seek(100.5);
    await until(() => mixer.position < 200);
    await reached(101);
    mixer.setLoop({{ start: 101, end: 107.25 }}); // longer than a piece and than a window
    await reached(107);
    await until(() => mixer.position < 103);
    await listen(mixer, 1);
    const heard = await recorder.get();
    mixer.pause();
    return {{ apart: apartOf(heard), steps: steps(heard[0]), played: heard[0].filter(Boolean).length,
              buffers: mixer.stems.filter((lane) => lane.buffer).length }};
"""


def test_a_long_song_plays_anywhere_on_one_sample_without_being_loaded(open_page, long_song):
    page = open_page(long_song, **NO_POLICY)
    expect(page.locator("#length")).to_have_text("10:00")
    page.click("#play")
    found = recording(page, LISTEN)
    assert (found["apart"], found["buffers"]) == (0, 0)
    assert found["played"] > 8 * RATE
    others = {int(step): count for step, count in found["steps"].items() if step != "1"}
    loop = (round(101 * RATE) - round(107.25 * RATE) + 1) % TOOTH
    assert [count for step, count in others.items() if step % TOOTH == loop] == [1], others
    assert sum(others.values()) <= 2, others  # and the seek; all other samples follow each other


STRETCHED = """
    mixer.stretch({ speed: 1.5, semitones: -2 });
    mixer.seek(571);
    await mixer.play();
    await until(() => mixer.playing);
    const recorder = await Recorder.of(mixer, 60);
    await until(() => mixer.position > 581);
    const lanes = await recorder.get();
    mixer.pause();
    return { apart: apartOf(lanes), loud: lanes[0].filter((value) => Math.abs(value) > 0.01).length };
"""


@pytest.mark.slow
def test_a_long_song_plays_at_another_tempo(open_page, long_song):
    page = open_page(long_song, **NO_POLICY)
    expect(page.locator("#length")).to_have_text("10:00")
    page.click("#play")
    found = recording(page, STRETCHED)
    assert found["apart"] < 0.01
    assert found["loud"] > 4 * RATE


def test_the_mix_of_a_long_song_is_rendered_by_the_service(open_page, long_song):
    page = open_page(long_song)
    problem = {"status": 503, "content_type": "application/problem+json", "body": '{"code": "queue_unavailable"}'}
    page.route("**/mix", lambda route: route.fulfill(**problem))
    expect(page.locator("#save-mix")).to_be_enabled()
    expect(page.locator("#heavy")).to_be_hidden()
    expect(page.locator("#play")).to_be_enabled()
    with page.expect_request("**/mix") as asked:
        page.click("#save-mix")
    assert asked.value.post_data_json["format"] == "wav"
    expect(page.locator(".toast[role=alert]")).to_contain_text("was not rendered")
