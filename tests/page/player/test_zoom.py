"""Zoom: wheel, fingers, buttons and keys, from the whole song to single samples; the view follows the playhead."""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from msaas.audio.waveform import Waveforms
from msaas.audio.waveform_detail import HEADER_BYTES, DetailHeader
from tests.page.conftest import MAIN, PHONE, WIDE, in_mixer, ink, position, stem_row, until, violations

RATE = 44_100
SECONDS = 8


def wave(page: Page, stem: str = "bass") -> Locator:
    return stem_row(page, stem).locator(".wave")


def view(page: Page) -> tuple[float, float]:
    """Start and end of what is shown, in seconds."""
    found = page.evaluate(
        f"async () => {{ const {{ player }} = await import({MAIN}); return [player.view.start, player.view.end]; }}"
    )
    return found[0], found[1]


def set_view(page: Page, start: float, span: float) -> None:
    """Returns once the lanes are drawn."""
    page.evaluate(
        f"""async ([start, span]) => {{
            const {{ player }} = await import({MAIN});
            player.view.set(start, span);
            await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
        }}""",
        [start, span],
    )


def wheel(page: Page, at: float, x: float = 0, y: float = 0, *, key: str | None = None) -> None:
    """Over the bass, at a fraction of its width."""
    box = wave(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * at, box["y"] + 20)
    if key:
        page.keyboard.down(key)
    page.mouse.wheel(x, y)
    if key:
        page.keyboard.up(key)


def ticks(page: Page) -> list[str]:
    return page.locator("#ruler .ticks span").all_text_contents()


WAIT_FOR_VIEW = """async ([main, start, end]) => {
    const { player } = await import(main);
    return Math.abs(player.view.start - start) < 0.02 && Math.abs(player.view.end - end) < 0.02;
}"""


MOVED = "async ([main, beyond]) => (await import(main)).player.mixer.position > beyond"


def until_view(page: Page, start: float, end: float) -> None:
    main = page.evaluate(f"() => {MAIN}")
    until(page, WAIT_FOR_VIEW, [main, start, end])


def test_ctrl_with_the_wheel_zooms_around_the_pointer(mixer):
    wheel(mixer, 0.25, y=-277.26, key="Control")  # e ** 0.69 = 2
    until_view(mixer, 1, 5)
    wheel(mixer, 0.5, x=200)  # sideways
    until(mixer, f"async () => {{ const {{ player }} = await import({MAIN}); return player.view.start > 1.5; }}")
    start, end = view(mixer)
    assert end - start == pytest.approx(4, abs=0.02)
    wheel(mixer, 0.5, y=-100, key="Shift")
    until(
        mixer,
        f"async (start) => {{ const {{ player }} = await import({MAIN}); return player.view.start < start; }}",
        start,
    )
    wheel(mixer, 0.5, y=2000, key="Control")
    until_view(mixer, 0, 8)
    assert page_zoom(mixer) == 1


def page_zoom(page: Page) -> float:
    return float(page.evaluate("visualViewport.scale"))


def test_the_wheel_alone_scrolls_the_page(open_page, song):
    page = open_page(song.address, viewport={"width": 1000, "height": 400})
    expect(page.locator("#save-mix")).to_be_enabled()
    set_view(page, 2, 2)
    wheel(page, 0.5, y=150)
    until(page, "() => scrollY > 50")
    assert view(page) == (2, 4)


def test_keys_and_buttons_zoom_to_single_samples_and_back(mixer):
    in_mixer(mixer, "mixer.seek(3)")
    mixer.keyboard.press("z")
    assert view(mixer) == pytest.approx((1.5, 5.5))
    mixer.keyboard.press("v")
    assert view(mixer) == pytest.approx((3.5, 7.5))
    mixer.keyboard.press("c")
    mixer.keyboard.press("x")
    assert view(mixer) == (0, 8)
    expect(mixer.locator("#zoom-out")).to_be_disabled()
    closer = mixer.locator("#zoom-in")
    for _ in range(15):
        if closer.is_enabled():
            closer.click()
    expect(closer).to_be_disabled()
    start, end = view(mixer)
    assert end - start == pytest.approx(64 / RATE)
    assert start < 3 < end
    expect(wave(mixer).locator("canvas")).to_have_attribute("data-drawn", "line")
    assert ink(mixer, "bass") > 500
    mixer.keyboard.press("f")
    assert view(mixer) == (0, 8)
    expect(wave(mixer).locator("canvas")).to_have_attribute("data-drawn", "bars")


def test_ticks_fit_the_zoom(mixer):
    assert ticks(mixer)[:3] == ["0:00", "0:01", "0:02"]
    set_view(mixer, 2, 1)
    assert ticks(mixer)[:3] == ["0:02.0", "0:02.1", "0:02.2"] or ticks(mixer)[:2] == ["0:02.0", "0:02.2"]
    set_view(mixer, 2.5, 0.02)
    assert all(text.startswith("0:02.5") and len(text) == 8 for text in ticks(mixer))
    assert 3 <= len(ticks(mixer)) <= 12
    set_view(mixer, 2.5, 0)
    assert {len(text) for text in ticks(mixer)} == {9}  # tenths of milliseconds


def test_what_is_drawn_is_what_is_there(mixer):
    """A lane with one loud moment: at every zoom it is drawn where it is, and nothing elsewhere."""
    in_mixer(
        mixer,
        """
        const buffer = new AudioBuffer({ length: mixer.frames, numberOfChannels: 2, sampleRate: mixer.rate });
        for (const channel of [0, 1]) buffer.getChannelData(channel).fill(0.5, 3 * mixer.rate, 3.01 * mixer.rate);
        mixer.setBuffer('bass', buffer, true);
        """,
    )
    columns = """canvas => {
        const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const column = (x) => Array.from({ length: height }, (_, y) => data[(y * width + x) * 4 + 3]);
        const tall = (x) => column(x).filter(Boolean).length;
        const found = Array.from({ length: width }, (_, x) => x).filter((x) => tall(x) > 0.2 * height);
        return [found[0] / width, found.at(-1) / width];
    }"""
    for start, span in ((2.5, 1), (2.9, 0.2), (2.99, 0.03)):
        set_view(mixer, start, span)
        left, right = wave(mixer).locator("canvas").evaluate(columns)
        assert start + left * span == pytest.approx(3, abs=0.02 * span + 0.001)
        assert start + right * span == pytest.approx(3.01, abs=0.02 * span + 0.001)


def test_click_drag_and_edges_are_exact_in_a_zoomed_view(mixer):
    set_view(mixer, 3, 0.4)
    box = wave(mixer).bounding_box()
    at = lambda seconds: box["x"] + box["width"] * (seconds - 3) / 0.4  # noqa: E731
    y = box["y"] + 20
    mixer.mouse.click(at(3.3), y)
    assert position(mixer) == pytest.approx(3.3, abs=0.001)

    def drag(begin: float, end: float) -> None:
        mixer.mouse.move(at(begin), y)
        mixer.mouse.down()
        mixer.mouse.move(at(end), y, steps=3)
        mixer.mouse.up()

    drag(3.1, 3.2)
    assert loop(mixer) == pytest.approx((3.1, 3.2), abs=0.001)
    drag(3.2, 3.25)
    assert loop(mixer) == pytest.approx((3.1, 3.25), abs=0.001)
    start = mixer.get_by_role("slider", name="Loop start")
    start.press("ArrowRight")
    assert loop(mixer) == pytest.approx((3.11, 3.25), abs=0.001)  # a fortieth of the view
    set_view(mixer, 5, 0.4)
    expect(start).to_be_hidden()
    mixer.keyboard.press("Shift+Z")
    assert view(mixer) == pytest.approx((3.096, 3.264), abs=0.001)
    assert violations(mixer) == []


def loop(page: Page) -> tuple[float, float] | None:
    found = in_mixer(page, "return mixer.loop")
    return found and (found["start"] / RATE, found["end"] / RATE)


def test_the_ruler_scrolls_a_zoomed_view_and_its_marker_drags_the_playhead(mixer):
    in_mixer(mixer, "mixer.seek(3)")
    set_view(mixer, 2, 2)
    ruler = mixer.locator("#ruler").bounding_box()
    y = ruler["y"] + ruler["height"] / 2
    at = lambda fraction: ruler["x"] + ruler["width"] * fraction  # noqa: E731
    mixer.mouse.move(at(0.5), y)  # the marker
    mixer.mouse.down()
    mixer.mouse.move(at(0.75), y, steps=3)
    expect(mixer.locator("#time")).to_have_text("0:03")
    assert position(mixer) == 3  # until it is let go
    mixer.mouse.up()
    assert position(mixer) == pytest.approx(3.5, abs=0.02)
    mixer.mouse.move(at(0.25), y)
    mixer.mouse.down()
    mixer.mouse.move(at(0.5), y, steps=3)
    mixer.mouse.up()
    assert view(mixer) == pytest.approx((1.5, 3.5), abs=0.02)
    assert loop(mixer) is None
    assert position(mixer) == pytest.approx(3.5, abs=0.02)


def test_the_pointer_shows_its_time(mixer):
    set_view(mixer, 2, 2)
    box = wave(mixer).bounding_box()
    mixer.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    label = mixer.locator("#ruler .hover-time")
    expect(label).to_be_visible()
    assert float(label.text_content().removeprefix("0:0")) == pytest.approx(2.5, abs=0.005)
    expect(mixer.locator(".lanes.hovering")).to_have_count(1)
    mixer.mouse.move(5, 5)
    expect(label).to_be_hidden()


TURNED_THEN_PAUSED = """
    await new Promise((turned) => player.view.addEventListener('change', turned, { once: true }));
    mixer.pause(); // in the same frame: the playhead is on the page that was turned to
"""


def test_the_view_follows_the_playhead_until_that_is_switched_off(mixer):
    in_mixer(mixer, "mixer.seek(1.9)")
    set_view(mixer, 1, 1)
    mixer.click("#play")
    in_mixer(mixer, TURNED_THEN_PAUSED)
    start, end = view(mixer)
    assert start > 1.8
    assert end - start == pytest.approx(1)
    assert start <= position(mixer) <= end
    mixer.keyboard.press("Shift+F")
    expect(mixer.locator("#follow")).to_have_attribute("aria-pressed", "false")
    before = view(mixer)
    mixer.keyboard.press("Home")
    mixer.click("#play")
    until(mixer, f"async () => {{ const {{ player }} = await import({MAIN}); return player.mixer.position > 0.2; }}")
    assert view(mixer) == before
    mixer.reload()
    expect(mixer.locator("#follow")).to_have_attribute("aria-pressed", "false")  # kept


def test_a_view_that_is_scrolled_away_from_the_playhead_stays_there(mixer):
    set_view(mixer, 0, 2)
    mixer.click("#play")
    set_view(mixer, 5, 2)
    main = mixer.evaluate(f"() => {MAIN}")
    until(mixer, MOVED, [main, position(mixer) + 0.3])
    assert view(mixer) == (5, 7)


FINGERS = """async (steps) => {
    const target = (y) => document.elementFromPoint(steps[0][0], y);
    const fire = (kind, id, x, y) => target(y).dispatchEvent(new PointerEvent(kind, {
        pointerId: id, pointerType: 'touch', isPrimary: id === 1, clientX: x, clientY: y, bubbles: true, button: 0,
    }));
    const [rows, ...moves] = steps.slice(1);
    Element.prototype.setPointerCapture = () => {};
    moves.forEach(([a, b], index) => {
        const kind = index ? 'pointermove' : 'pointerdown';
        fire(kind, 1, a, rows[0]);
        fire(kind, 2, b, rows[1]);
    });
    fire('pointerup', 1, moves.at(-1)[0], rows[0]);
    fire('pointerup', 2, moves.at(-1)[1], rows[1]);
}"""


def test_two_fingers_zoom_though_they_are_on_two_lanes(open_page, song):
    page = open_page(song.address, **PHONE)
    expect(page.locator("#save-mix")).to_be_enabled()
    stem_row(page, "vocals").evaluate("lane => lane.scrollIntoView({block: 'start'})")  # both clear of the transport
    one, two = wave(page, "vocals").bounding_box(), wave(page, "drums").bounding_box()
    at = lambda fraction: one["x"] + one["width"] * fraction  # noqa: E731
    rows = [one["y"] + 20, two["y"] + 20]
    page.evaluate(FINGERS, [[at(0.5)], rows, [at(0.4), at(0.6)], [at(0.3), at(0.7)], [at(0.2), at(0.8)]])
    start, end = view(page)
    assert end - start == pytest.approx(8 / 3, abs=0.05)
    assert (start + end) / 2 == pytest.approx(4, abs=0.05)
    assert (loop(page), position(page)) == (None, 0)


@pytest.mark.parametrize("screen", [{}, WIDE, PHONE], ids=["1200", "2560", "phone"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_zoomed_view_is_accessible_and_fits(open_page, song, screen: dict[str, Any], colours):
    page = open_page(song.address, color_scheme=colours, **screen)
    expect(page.locator("#save-mix")).to_be_enabled()
    set_view(page, 3, 0.5)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    for button in page.locator("#transport button:visible").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 24


def test_the_worker_measures_finer_intervals_than_those_of_the_whole_song(page, song):
    found = page.request.get(f"/apiv1/jobs/{song.songhash}/waveforms?start=2&end=4").json()
    intervals = len(base64.b64decode(found["stems"]["bass"]["peak"]))
    assert (found["end_sample"] - found["start_sample"]) / intervals == pytest.approx(256, rel=0.01)
    assert sorted(found["stems"]) == ["bass", "drums", "other", "vocals"]


PART = re.compile(r"/waveforms\?start=")

# Where a lane is drawn taller than its middle line, as seconds of what is shown.
TALL = """canvas => {
    const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const row = Math.round(height / 2 + 20) * width;
    const found = Array.from({ length: width }, (_, x) => x).filter((x) => data[(row + x) * 4 + 3]);
    return found.length ? [found[0] / width, found.at(-1) / width] : null;
}"""


def test_a_song_that_is_not_decoded_is_drawn_as_fine_as_the_worker_measured_it(open_page, service):
    """Ten minutes of silence with a loud moment of 20 ms; the stems are never loaded."""
    samples = np.zeros((2, 600 * 8000), np.float32)
    samples[:, 400 * 8000 : 400 * 8000 + 160] = 0.5
    detail = Waveforms(["drums"], samples.shape[1], 8000)
    detail.add("drums", samples)
    data = detail.detail()
    header = DetailHeader.parse(data[:HEADER_BYTES])
    songhash = "6d736161-0000-5000-8000-00000000000a"
    asked: list[str] = []

    def part(route: Route) -> None:
        """As the service answers."""
        asked.append(route.request.url)
        start, end = (float(value) * 8000 for value in re.findall(r"=([\d.]+)", route.request.url))
        first, count = header.span(round(start), round(end))
        offset, length = header.place(first, count)
        route.fulfill(json=detail.to_json() | header.part(data[offset : offset + length], first, 2000))

    page = open_page()
    job: dict[str, Any] = {"songhash": songhash, "state": "done", "stems": {"drums": f"/apiv1/track/{songhash}-drums"}}
    job |= {
        "model": "htdemucs",
        "options": {"format": "mp3"},
        "duration_seconds": 600,
        "analysis": None,
        "warnings": [],
    }
    page.route(f"**/apiv1/jobs/{songhash}", lambda route: route.fulfill(json=job))
    page.route(f"**/apiv1/jobs/{songhash}/events", lambda route: route.abort())
    page.route(f"**/apiv1/jobs/{songhash}/waveforms", lambda route: route.fulfill(json=detail.to_json()))
    page.route(PART, part)
    held: list[Route] = []
    page.route("**/apiv1/track/**", lambda route: held.append(route))
    page.goto(f"/#/job/{songhash}")
    expect(page.locator("#transport")).to_be_visible()
    canvas = wave(page, "drums").locator("canvas")
    with page.expect_response(PART):
        set_view(page, 390, 20)
    fine = "found && 390 + found[0] * 20 > 399.9 && (found[1] - found[0]) * 20 < 0.4"  # not the whole song's levels
    until(page, f"() => {{ const found = ({TALL})(document.querySelector('canvas')); return {fine}; }}")
    left, right = canvas.evaluate(TALL)
    assert 390 + left * 20 == pytest.approx(400, abs=0.1)
    assert (right - left) * 20 < 0.4  # two intervals of 32 ms, in bars of some 80 ms; those of the song are of 300 ms
    before = len(asked)
    set_view(page, 391, 20)  # the same tiles
    set_view(page, 390, 20)
    assert len(asked) == before
    assert len(asked) <= 2
