"""Pieces of a stem are the samples of the whole, in each format that can be cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.page.conftest import in_mixer
from tests.page.player.stream.sounds import OPUS, RATE, VARIABLE, encoded, encoded_elsewhere, serve_ranges

# The largest difference between a stem decoded piece by piece and as a whole, and the share of samples that differ.
PIECEWISE = """
    const { name } = argument;
    const from = (path) => import(new URL(`player/stream/${path}`, document.querySelector('script[type=module]').src));
    const [{ openStems }, { Stream }, { Sound }] = await Promise.all(['open.js', 'stream.js', 'sound.js'].map(from));
    const { signal } = new AbortController();
    const { rate, cutters } = await openStems({ stem: `/${name}` }, signal);
    const data = await (await fetch(`/whole-${name}`)).arrayBuffer();
    const whole = await new OfflineAudioContext(2, 1, rate).decodeAudioData(data);
    const frames = argument.frames ?? whole.length;
    let error = null;
    const failed = (found) => { error = found; };
    const stream = new Stream(new Sound(cutters.get('stem')), { rate, frames, signal, failed });
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


@pytest.mark.parametrize(
    ("encode", "channels", "options"),
    [
        (encoded, 2, {"bitrate_kbps": 192}),
        (encoded, 1, {"bitrate_kbps": 32}),
        (encoded_elsewhere, 2, OPUS | {"compression_level": 0.2}),
        (encoded_elsewhere, 1, OPUS | {"compression_level": 0.9}),
    ],
)
def test_pieces_of_an_opus_stem_are_the_samples_of_the_whole(mixer, tmp_path, encode, channels, options):
    seconds = 23
    serve_ranges(mixer, encode(tmp_path / "stem.opus", channels, seconds, rate=48_000, **options))
    found = in_mixer(mixer, PIECEWISE, {"name": "stem.opus", "frames": seconds * 48_000})
    assert (found["rate"], found["channels"]) == (48_000, channels)
    assert found["loudest"] > 0.1
    assert found["apart"] < 1e-6


def without_tag(path: Path) -> Path:
    """As encoders write it that know nothing of such tags."""
    data = path.read_bytes()
    first = data.find(b"Info") if b"Info" in data[:200] else data.find(b"Xing")
    path.write_bytes(data[data.find(data[:2], first) :])
    return path


@pytest.mark.parametrize(
    ("channels", "rate", "quality", "tag"),
    [
        (2, 44_100, 0.1, "Xing"),
        (1, 48_000, 0.9, "Xing"),
        (2, 44_100, 0.5, "none"),
        (1, 16_000, 0.9, "none"),
        (2, 22_050, 0.5, "others behind"),
    ],
)
def test_pieces_of_an_mp3_of_variable_bit_rate_are_the_samples_of_the_whole(
    mixer, tmp_path, channels, rate, quality, tag
):
    seconds = 17
    path = encoded_elsewhere(tmp_path / "vary.mp3", channels, seconds, rate, **VARIABLE, compression_level=quality)
    if tag == "none":
        without_tag(path)
    elif tag == "others behind":
        path.write_bytes(path.read_bytes() + b"APETAGEX" + bytes(3000) + b"TAG" + bytes(125))
    serve_ranges(mixer, path)
    frames = None if tag == "none" else seconds * rate  # without a tag, a decoder does not know what to leave out
    found = in_mixer(mixer, PIECEWISE, {"name": path.name, "frames": frames})
    assert (found["rate"], found["channels"]) == (rate, channels)
    assert found["loudest"] > 0.1
    assert found["apart"] < 1e-6


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


RESAMPLED = """
    const { from, to, hertz, parts } = argument;
    const path = new URL('player/stream/sound.js', document.querySelector('script[type=module]').src);
    const { Resampled } = await import(path);
    const samples = (first, count) => {
        const buffer = new AudioBuffer({ length: count, numberOfChannels: 1, sampleRate: from });
        const data = buffer.getChannelData(0);
        data.forEach((_, at) => { data[at] = Math.sin((2 * Math.PI * hertz * (first + at)) / from); });
        return buffer;
    };
    const piece = async (first, count) => ({ buffer: samples(first, count), first: 0 });
    const sound = { rate: from, channels: 1, piece };
    const resampled = new Resampled(sound, to);
    let [apart, loudest] = [0, 0];
    for (const [first, count] of parts) {
        const { buffer, first: at } = await resampled.piece(first, count);
        buffer.getChannelData(0).subarray(at, at + count).forEach((value, index) => {
            const wanted = Math.sin((2 * Math.PI * hertz * (first + index)) / to);
            loudest = Math.max(loudest, Math.abs(value));
            apart = Math.max(apart, Math.abs(value - wanted));
        });
    }
    return [apart, loudest];
"""


@pytest.mark.parametrize(
    ("rate", "to", "hertz"), [(48_000, 44_100, 9_000), (44_100, 48_000, 15_000), (96_000, 44_100, 1_000)]
)
def test_another_rate_has_the_same_sound_at_the_same_moment_in_each_piece(mixer, rate, to, hertz):
    parts = [(2_000, 5_000), (to * 3_000, 5_000), (to * 3_000 + 5_000, 1)]
    apart, loudest = in_mixer(mixer, RESAMPLED, {"from": rate, "to": to, "hertz": hertz, "parts": parts})
    assert loudest > 0.9
    assert apart < 2e-4  # one sample late would be more than 0.1


def test_what_a_lower_rate_cannot_hold_is_left_out(mixer):
    _, loudest = in_mixer(mixer, RESAMPLED, {"from": 48_000, "to": 44_100, "hertz": 23_500, "parts": [(2_000, 5_000)]})
    assert loudest < 1e-3


# A stream at 8000 Hz, in pieces of 40,000 frames. The value of a frame is its number. `loads` has the requests, which
# wait for `give`.
PARTS = """
    const { src } = document.querySelector('script[type=module]');
    const { Stream } = await import(new URL('player/stream/stream.js', src));
    const loads = [];
    const piece = (from, count, signal) => new Promise((resolve, reject) => {
        const buffer = new AudioBuffer({ length: count + 7, numberOfChannels: 1, sampleRate: 8000 });
        buffer.getChannelData(0).forEach((_, at, samples) => { samples[at] = from + at - 7; });
        signal.addEventListener('abort', () => reject(signal.reason));
        loads.push({ from, count, give: () => resolve({ buffer, first: 7 }) });
    });
    const { signal } = new AbortController();
    const failed = (error) => { throw error; };
    const stream = new Stream({ channels: 1, piece }, { rate: 8000, frames: 1_000_000, signal, failed });
    const settled = () => new Promise((resolve) => setTimeout(resolve));
    const results = [];
    const asks = async (from, count, act = () => {}) => {
        const before = loads.length;
        const part = stream.part(from, count, signal);
        await act();
        await settled();
        const asked = loads.slice(before).map((load) => [load.from, load.count]);
        for (const load of loads) load.give();
        const buffer = await part;
        await settled();
        const samples = buffer.getChannelData(0);
        results.push({ asked, right: samples.length === count && samples.every((sample, at) => sample === from + at) });
    };
    stream.want([{ from: 0, count: 80_000 }]);
    await asks(10_000, 20_000); // on its way
    await asks(30_000, 20_000); // half of it here, half on its way
    await asks(30_000, 20_000); // here
    await asks(70_000, 20_000); // half of it
    await asks(205_000, 9_000); // nothing
    stream.want([{ from: 120_000, count: 1 }]);
    await asks(121_000, 500, () => stream.want([])); // given up while it is on its way
    stream.want([{ from: 40_000, count: 1 }]);
    loads.at(-1).give();
    await settled();
    await asks(30_000, 60_000); // its middle is here
    const there = [[40_000, 40_000], [39_999, 2], [79_999, 2]].map((part) => stream.held(...part)?.length ?? 0);
    stream.want([{ from: 160_000, count: 1 }]);
    const own = new AbortController();
    const part = stream.part(161_000, 500, own.signal).then(() => 'copied', ({ name }) => name);
    own.abort();
    loads.at(-1).give();
    return { results, there, aborted: await part };
"""


def test_a_part_is_loaded_only_where_no_piece_has_it_or_will_have_it(mixer):
    found = in_mixer(mixer, PARTS)
    assert all(part["right"] for part in found["results"]), found
    asked = [part["asked"] for part in found["results"]]
    assert asked[:3] == [[], [], []]
    assert asked[3:6] == [[[80_000, 10_000]], [[205_000, 9_000]], [[121_000, 500]]]
    assert asked[6:] == [[[30_000, 10_000], [80_000, 10_000]]]
    assert found["there"] == [40_000, 0, 0]
    assert found["aborted"] == "AbortError"
