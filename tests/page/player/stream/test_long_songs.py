"""Long songs are played piece by piece: bounded memory, the same lanes, loops and seeks."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.page.conftest import MAIN, in_mixer, stem_row, until
from tests.page.player.recorder import NO_POLICY, recording
from tests.page.player.stream.sounds import RATE, TOOTH, encoded, put_long_song, saw_tooth

OPUS_SECONDS = 560


@pytest.fixture
def long_song(service, tmp_path) -> str:
    """The address of a song of ten minutes, whose stems are all the same saw tooth."""
    return f"/#/job/{put_long_song(service, saw_tooth(tmp_path / 'stem.flac'))}"


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
    await reached(104); // true for half of each pass, so that none is missed
    await until(() => mixer.position < 104);
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


SEEN = f"""
    const here = (path) => import(new URL(path, {MAIN}));
    const {{ CloseSound }} = await here('player/timeline/closesound.js');
    const {{ excerpt }} = await here('player/timeline/samples.js');
    const {{ start, end }} = player.view;
    const names = mixer.stems.map((lane) => lane.name);
    let close;
    await new Promise((done) => {{
        close = new CloseSound(() => names.every((name) => close.of(name, start, end)) && done());
        close.open(mixer);
        close.want(player.view);
    }});
    return names.map((name) => {{
        const {{ first, values }} = excerpt(close.of(name, start, end), start, end);
        return {{ first, values: Array.from(values, (value) => Math.round(value * {TOOTH - 1})) }};
    }});
"""


def test_a_long_song_is_seen_to_the_sample_wherever_one_zooms(open_page, long_song):
    page = open_page(long_song)
    canvas = stem_row(page, "bass").locator("canvas")
    expect(page.locator("#save-mix")).to_be_enabled()
    for start in (421.7, 0.0, 599.99):
        in_mixer(page, "player.view.set(argument, 0.01)", start)
        expect(canvas).to_have_attribute("data-drawn", "line")
        for lane in in_mixer(page, SEEN):
            frames = range(lane["first"], lane["first"] + len(lane["values"]))
            assert lane["first"] == max(0, int(start * RATE) - 1) and len(frames) >= 441
            assert lane["values"] == [frame % TOOTH for frame in frames]
    in_mixer(page, "player.view.all()")
    expect(canvas).to_have_attribute("data-drawn", "bars")
    assert in_mixer(page, "return mixer.stems.some((lane) => lane.buffer)") is False


# All that is played from the start is here.
HELD = f"""async () => {{
    const {{ mixer }} = (await import({MAIN})).player;
    return mixer.stems.every(({{ stream }}) => stream.reach(0) >= 12 * mixer.rate);
}}"""
MOVED = """
    player.view.set(argument, 0.01);
    await new Promise(requestAnimationFrame);
    return document.querySelector(".lane[data-stem=bass] canvas").dataset.drawn;
"""


def test_the_sound_of_a_close_view_is_asked_for_again_after_a_failure(open_page, long_song):
    page = open_page(long_song)
    canvas = stem_row(page, "bass").locator("canvas")
    expect(page.locator("#save-mix")).to_be_enabled()
    until(page, HELD)  # so that only the close view asks for sound
    in_mixer(page, "player.view.set(421.7, 0.01)")
    expect(canvas).to_have_attribute("data-drawn", "line")
    failed: set[str] = set()

    def fail_once(route):
        if route.request.url in failed:
            return route.fallback()
        failed.add(route.request.url)
        return route.abort()

    page.route("**/track/**", fail_once)
    assert in_mixer(page, MOVED, 423.1) == "bars"  # in the same tile of levels: the arrival of another would draw again
    expect(canvas).to_have_attribute("data-drawn", "line")
    assert len(failed) == 4


def test_a_stem_that_is_gone_leaves_the_others_in_a_close_view(open_page, long_song):
    page = open_page(long_song)
    expect(page.locator("#save-mix")).to_be_enabled()
    until(page, HELD)  # so that only the close view asks for sound
    in_mixer(page, "player.view.set(421.7, 0.01)")
    expect(stem_row(page, "bass").locator("canvas")).to_have_attribute("data-drawn", "line")
    asked: list[str] = []

    def answer(route):
        asked.append(route.request.url)
        gone = "-bass" in route.request.url
        return route.fulfill(status=404, json={"code": "not_found"}) if gone else route.fallback()

    page.route("**/track/**", answer)
    assert in_mixer(page, MOVED, 423.1) == "bars"
    for stem in ("vocals", "drums", "other"):
        expect(stem_row(page, stem).locator("canvas")).to_have_attribute("data-drawn", "line")
    before = len(asked)
    in_mixer(page, "await new Promise((resolve) => setTimeout(resolve, 600))")
    assert len(asked) == before, "nothing is asked for again"
    assert sum("-bass" in url for url in asked) == 1
    assert stem_row(page, "bass").locator("canvas").get_attribute("data-drawn") == "bars"


SHOWN = f"""async ([from, to]) => {{
    const {{ mixer, view }} = (await import({MAIN})).player;
    return mixer.playing && view.start > from && view.start < to;
}}"""
# How often lanes are drawn from now on, as bars and as a line.
COUNTED = """
    window.drawn = { bars: 0, line: 0 };
    const count = (changes) => changes.forEach(({ target }) => { window.drawn[target.dataset.drawn] += 1; });
    const observer = new MutationObserver(count);
    const lanes = document.querySelectorAll(".lane canvas");
    for (const lane of lanes) observer.observe(lane, { attributeFilter: ["data-drawn"] });
"""


def test_a_close_view_of_what_plays_is_always_drawn_and_downloads_nothing(open_page, long_song):
    page = open_page(long_song)
    expect(page.locator("#save-mix")).to_be_enabled()
    until(page, HELD)
    asked: list[str] = []
    page.on("request", lambda request: "/track/" in request.url and asked.append(request.url))
    in_mixer(page, "mixer.setLoop({ start: 4, end: 7 }); player.view.set(4.1, 0.05)")  # of two pieces
    for canvas in page.locator(".lane canvas").all():
        expect(canvas).to_have_attribute("data-drawn", "line")
    in_mixer(page, COUNTED)
    page.click("#play")
    until(page, SHOWN, [6, 7])
    until(page, SHOWN, [3.9, 5])  # again from the loop's start
    drawn = page.evaluate("window.drawn")
    assert drawn["bars"] == 0 < drawn["line"]
    assert asked == []


MOVES = "player.view.set(argument.start, argument.span)"


@pytest.mark.parametrize("span", [0.05, 20.0])
def test_what_a_view_needs_is_asked_for_once_it_stays(open_page, long_song, span):
    page = open_page(long_song)
    expect(page.locator("#save-mix")).to_be_enabled()
    until(page, HELD)
    asked: list[str] = []
    kind = "/track/" if span < 1 else "/waveforms?"
    page.on("request", lambda request: kind in request.url and asked.append(request.url))
    page.clock.install()
    page.clock.pause_at("2030-01-01")
    for step in range(40):  # for 0.8 seconds
        in_mixer(page, MOVES, {"start": 300 + 0.5 * step, "span": span})
        page.clock.run_for(20)
    in_mixer(page, MOVES, {"start": 300, "span": span})
    page.clock.run_for(100)
    assert asked == []
    with page.expect_request(lambda request: kind in request.url):
        page.clock.run_for(100)


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


@pytest.mark.slow
def test_a_long_song_in_opus_plays_in_pieces_at_its_own_rate(open_page, service, tmp_path):
    stem = encoded(tmp_path / "stem.opus", 2, OPUS_SECONDS, rate=48_000, bitrate_kbps=64)
    page = open_page(f"/#/job/{put_long_song(service, stem, OPUS_SECONDS)}", **NO_POLICY)
    expect(page.locator("#length")).to_have_text("9:20")
    page.click("#play")
    found = recording(
        page,
        """
        mixer.seek(500);
        await mixer.play();
        await until(() => mixer.position > 500);
        const recorder = await Recorder.of(mixer, 60);
        await until(() => mixer.position > 507);
        const lanes = await recorder.get();
        mixer.pause();
        return { apart: apartOf(lanes), loud: lanes[0].filter((value) => Math.abs(value) > 0.01).length };
        """,
    )
    assert found["apart"] == 0
    assert found["loud"] > 3 * 48_000
    rates = in_mixer(page, "return [mixer.rate, mixer.frames, mixer.stems.filter((lane) => lane.buffer).length]")
    assert rates == [48_000, OPUS_SECONDS * 48_000, 0]
