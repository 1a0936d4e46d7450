"""Bars and beats: on the ruler, as marks that loops snap to; measured by the service or set by the user."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import MAIN, PHONE, WIDE, in_mixer, position, stem_row, until, violations

RATE = 44_100
SECONDS = 8
TEMPO = {"bpm": 120.0, "confidence": 0.7, "first_beat_seconds": 0.25}


@pytest.fixture
def beaten(open_page: Callable[..., Page], song) -> Callable[..., Page]:
    """Opens the song as one with this tempo."""

    def make(tempo: dict[str, Any] | None = TEMPO, **options: Any) -> Page:
        page = open_page(**options)

        job = page.request.get(f"/apiv1/jobs/{song.songhash}").json()
        job["analysis"] = {"loudness": None, "key": None, "tempo": tempo}
        page.route(f"**/apiv1/jobs/{song.songhash}", lambda route: route.fulfill(json=job))
        page.route(f"**/apiv1/jobs/{song.songhash}/events", lambda route: route.abort())
        page.goto(song.address)
        expect(page.locator("#save-mix")).to_be_enabled()
        return page

    return make


def wave(page: Page) -> Locator:
    return stem_row(page, "bass").locator(".wave")


def drag(page: Page, begin: float, end: float, *, key: str | None = None) -> None:
    box = wave(page).bounding_box()
    assert box is not None
    y = box["y"] + 20
    page.mouse.move(box["x"] + box["width"] * begin / SECONDS, y)
    if key:
        page.keyboard.down(key)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end / SECONDS, y, steps=4)
    page.mouse.up()
    if key:
        page.keyboard.up(key)


def loop(page: Page) -> tuple[float, float] | None:
    found = in_mixer(page, "return mixer.loop")
    return found and (found["start"] / RATE, found["end"] / RATE)


def near(*seconds: float) -> object:
    return pytest.approx(seconds, abs=0.0001)


def bars(page: Page) -> Locator:
    return page.locator("#ruler .bars span")


def grid(page: Page, script: str) -> Any:
    return page.evaluate(
        f"async () => {{ const {{ Grid, gridOf }} = await import(new URL('player/beats/grid.js', {MAIN})); {script} }}"
    )


def test_a_grid_counts_bars_from_the_first_that_begins_in_the_song(mixer):
    script = "return new Grid(120, 0.75).between(0, 3).map(({ seconds, bar, beat }) => [seconds, bar, beat])"
    assert grid(mixer, script) == [
        [0.25, 0, 4],
        [0.75, 1, 1],
        [1.25, 1, 2],
        [1.75, 1, 3],
        [2.25, 1, 4],
        [2.75, 2, 1],
    ]
    steps = "const grid = new Grid(120, 0.25); return [grid.nearest(1.4), grid.away(0.75, 1), grid.away(0.8, 1),"
    assert grid(mixer, steps + " grid.away(0.8, -1), grid.away(0.75, -4)]") == pytest.approx(
        [1.25, 1.25, 1.25, 0.75, -1.25]
    )
    known = "return [gridOf(null, {}), gridOf({ bpm: 100, first_beat_seconds: null }, {}),"
    assert grid(mixer, known + " gridOf({ bpm: 100, first_beat_seconds: null }, { one: 2 }).one]") == [None, None, 2]


def test_loops_snap_to_beats_unless_that_is_off_or_alt_is_pressed(beaten):
    page = beaten()
    expect(bars(page).first).to_have_text("1")
    drag(page, 1.2, 3.4)
    assert loop(page) == near(1.25, 3.25)
    drag(page, 3.25, 4.1)  # its end
    assert loop(page) == near(1.25, 4.25)
    drag(page, 6.2, 6.3)  # less than a beat
    assert loop(page) == near(6.25, 6.75)
    drag(page, 1.1, 3.1, key="Alt")
    assert loop(page) == pytest.approx((1.1, 3.1), abs=0.02)
    page.keyboard.press("b")
    expect(page.locator("#snap")).to_have_attribute("aria-pressed", "false")
    drag(page, 5.1, 6.1)
    assert loop(page) == pytest.approx((5.1, 6.1), abs=0.02)
    page.reload()
    expect(page.locator("#snap")).to_have_attribute("aria-pressed", "false")


def test_keys_move_a_loops_edges_by_beats_and_bars(beaten):
    page = beaten()
    in_mixer(page, "mixer.setLoop({ start: 2.25, end: 4.1 })")
    start, end = page.get_by_role("slider", name="Loop start"), page.get_by_role("slider", name="Loop end")
    end.press("ArrowRight")
    assert loop(page) == near(2.25, 4.25)
    end.press("Shift+ArrowRight")
    assert loop(page) == near(2.25, 6.25)
    start.press("ArrowLeft")
    assert loop(page) == near(1.75, 6.25)
    start.press("Alt+ArrowRight")
    assert loop(page) == near(1.85, 6.25)
    in_mixer(page, "mixer.seek(2.9)")
    page.locator("#play").focus()
    page.keyboard.press("[")
    assert loop(page) == near(2.75, 6.25)
    in_mixer(page, "mixer.seek(3.9)")
    page.keyboard.press("}")
    assert loop(page) == near(2.75, 3.9)


def test_a_user_sets_tempo_and_the_one_and_they_are_kept(beaten):
    page = beaten()
    page.click("#half-tempo")
    expect(page.locator("#bpm")).to_have_value("60")
    page.click("#double-tempo")
    page.click("#double-tempo")
    expect(page.locator("#bpm")).to_have_value("240")
    page.fill("#bpm", "100")
    page.keyboard.press("Enter")
    in_mixer(page, "mixer.seek(1)")
    page.click("#one-here")
    expect(bars(page).first).to_have_text("0.4")  # the song begins within a bar
    drag(page, 1.1, 2.1)
    assert loop(page) == near(1, 2.2)
    page.fill("#bpm", "none")
    page.keyboard.press("Enter")
    expect(page.locator("#bpm")).to_have_value("100")
    page.reload()
    expect(page.locator("#bpm")).to_have_value("100")
    page.click("#beats-reset")
    expect(page.locator("#bpm")).to_have_value("120")
    expect(page.locator("#beats-reset")).to_be_hidden()


def test_without_a_tempo_a_user_can_set_one(beaten):
    page = beaten(None)
    expect(page.locator("#beats-note")).to_contain_text("No tempo was found")
    expect(page.locator("#snap")).to_be_disabled()
    expect(bars(page)).to_have_count(0)
    drag(page, 1.1, 3.1)
    assert loop(page) == pytest.approx((1.1, 3.1), abs=0.02)
    page.fill("#bpm", "120")
    page.keyboard.press("Enter")
    expect(page.locator("#beats-note")).to_contain_text("1 here")
    in_mixer(page, "mixer.setLoop(null); mixer.seek(0.5)")
    page.keyboard.press("Shift+B")
    expect(page.locator("#snap")).to_be_enabled()
    drag(page, 1.1, 3.1)
    assert loop(page) == near(1, 3)
    assert position(page) == pytest.approx(1, abs=0.001)


# Notes when each click begins, in song time by the run that plays then.
LISTEN = """
    window.clicks = [];
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (when, ...rest) {
        if (this.buffer.duration < 0.05) window.clicks.push(when);
        return start.call(this, when, ...rest);
    };
"""


def clicks(page: Page) -> list[float]:
    """Seconds of the song, or before its start, at which the clicks sound."""
    script = """
        const { when, offset } = mixer.inspect();
        return clicks.map((time) => time + (offset - when) / mixer.rate);
    """
    return list(in_mixer(page, script))


def on_beats(seconds: list[float]) -> bool:
    return all(abs((second - 0.25 + 0.25) % 0.5 - 0.25) < 2 / RATE for second in seconds)


def test_clicks_sound_on_the_beats_to_the_sample(beaten):
    page = beaten()
    page.evaluate(f"() => {{ {LISTEN} }}")
    in_mixer(page, "mixer.setLoop({ start: 0, end: 8 }); mixer.seek(2)")  # it does not end meanwhile
    page.click("#click")
    expect(page.locator("#click")).to_have_attribute("aria-pressed", "true")
    page.click("#play")
    until(page, "() => clicks.length > 3")
    found = clicks(page)
    assert on_beats(found), found
    assert found[0] == pytest.approx(2.25, abs=0.001)
    in_mixer(page, "clicks.length = 0; mixer.seek(5.1)")
    until(page, "() => clicks.length > 2")
    assert on_beats(clicks(page))
    assert min(clicks(page)) == pytest.approx(5.25, abs=0.001)
    page.keyboard.press("t")
    expect(page.locator("#click")).to_have_attribute("aria-pressed", "false")
    page.evaluate("() => { clicks.length = 0; }")
    in_mixer(page, "mixer.seek(1)")
    assert clicks(page) == []


def test_a_loop_clicks_in_each_pass(beaten):
    page = beaten()
    script = """
        const { Grid } = await import(new URL('player/beats/grid.js', argument));
        const { clicksBetween } = await import(new URL('player/beats/schedule.js', argument));
        const run = { at: 100, begin: 1, end: 2, loop: { start: 1, end: 2 }, speed: 1 };
        const beats = (from, to, counts) => clicksBetween(new Grid(120, 0.25), run, from, to, counts)
            .map(({ time, beat }) => [time, beat]);
        const normal = [beats(100, 102, false), beats(1000.3, 1001.3, false), beats(0, 101, true)];
        run.speed = 0.5;
        return [...normal, beats(99, 104, true), beats(1000.3, 1002.3, false)];
    """
    first, later, counted, slow, slow_later = in_mixer(page, script, page.evaluate(f"() => {MAIN}"))
    assert first == [[100.25, 3], [100.75, 4], [101.25, 3], [101.75, 4]]
    assert later == [[1000.75, 4], [1001.25, 3]]
    assert counted == [[98.25, 3], [98.75, 4], [99.25, 1], [99.75, 2], [100.25, 3], [100.75, 4]]
    assert slow == [[99.5, 2], [100.5, 3], [101.5, 4], [102.5, 3], [103.5, 4]]
    assert slow_later == [[1000.5, 3], [1001.5, 4]]


COUNT_IN = """
    const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
    const play = document.querySelector('#play');
    for (;;) {
        clicks.length = 0;
        play.click();
        while (!mixer.playing) await pause();
        const before = mixer.position;
        while (mixer.position < 3.5) await pause(); // then it plays
        const { when, offset } = mixer.inspect();
        const found = clicks.map((time) => time + (offset - when) / mixer.rate);
        play.click();
        if (found.length > 3) return { before, found };
        mixer.seek(3.25); // a browser that was held up leaves the first click out
    }
"""


def test_a_bar_is_counted_in_before_the_song(beaten):
    page = beaten()
    page.evaluate(f"() => {{ {LISTEN} }}")
    in_mixer(page, "mixer.seek(3.25)")
    page.keyboard.press("Shift+T")
    expect(page.locator("#count-in")).to_have_attribute("aria-pressed", "true")
    page.click("#song-title")  # a gesture, for the sound
    seen = in_mixer(page, COUNT_IN)
    assert seen["before"] == pytest.approx(3.25, abs=0.0001)
    assert seen["found"] == pytest.approx([1.25, 1.75, 2.25, 2.75], abs=2 / RATE)  # and no click track after them
    page.click("#play")
    page.click("#play")  # taken back
    stands = position(page)
    in_mixer(page, "await new Promise((resolve) => setTimeout(resolve, 100))")
    assert position(page) == stands


def test_clicks_and_count_in_keep_to_the_tempo(beaten):
    page = beaten()
    page.evaluate(f"() => {{ {LISTEN} }}")
    in_mixer(page, "mixer.seek(3.25); mixer.stretch({ speed: 0.5 })")
    page.keyboard.press("Shift+T")
    page.keyboard.press("t")
    page.click("#play")
    until(page, "() => clicks.length > 5")
    script = """
        const { when, offset, speed } = mixer.inspect();
        return clicks.slice(0, 6).map((time) => (time * mixer.rate - when) * speed + offset);
    """
    found = [frames / RATE for frames in in_mixer(page, script)]
    assert 1.25 - 2 / RATE <= found[0] < 3.25 - 0.25  # a busy browser may miss the first clicks of the bar
    assert on_beats(found)
    assert all(later > earlier for earlier, later in itertools.pairwise(found))


HELD_UP = """
    window.late = 0;
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (when, ...rest) {
        if (this.buffer.duration < 0.05) window.late = Math.max(window.late, this.context.currentTime - when);
        return start.call(this, when, ...rest);
    };
    const end = performance.now() + 3000;
    while (performance.now() < end);
    window.clicks.length = 0;
"""


def test_clicks_that_are_late_are_left_out(beaten):
    page = beaten()
    page.evaluate(f"() => {{ {LISTEN} }}")
    in_mixer(page, "mixer.setLoop({ start: 0, end: 8 })")  # it does not end meanwhile
    page.keyboard.press("t")
    page.click("#play")
    until(page, "() => clicks.length > 1")
    page.evaluate(f"() => {{ {HELD_UP} }}")
    until(page, "() => clicks.length > 1")
    assert page.evaluate("late") < 0.25
    assert on_beats(clicks(page))


def test_the_click_is_heard_at_its_own_volume(beaten):
    page = beaten()
    page.fill("#click-volume", "6")
    page.click("#click")
    script = """
        mixer.stems.forEach(({ name }) => mixer.setLevel(name, { muted: true }));
        await mixer.play();
        const probe = mixer.context.createAnalyser();
        const connect = AudioNode.prototype.connect;
        window.loudest = 0;
        const samples = new Float32Array(probe.fftSize);
        AudioBufferSourceNode.prototype.connect = function (node) {
            connect.call(node, probe);
            return connect.call(this, node);
        };
        setInterval(() => {
            probe.getFloatTimeDomainData(samples);
            window.loudest = Math.max(window.loudest, ...samples.map(Math.abs));
        }, 10);
    """
    in_mixer(page, script)
    until(page, "() => loudest > 0.9")
    in_mixer(page, "mixer.pause()")
    page.reload()
    expect(page.locator("#click-volume")).to_have_value("6")


@pytest.mark.parametrize("screen", [{}, WIDE, PHONE], ids=["1200", "2560", "phone"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_beats_are_accessible_and_fit(beaten, screen, colours):
    page = beaten(color_scheme=colours, **screen)
    expect(bars(page).first).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
