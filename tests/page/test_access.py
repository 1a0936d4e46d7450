"""Keyboard, screen readers, contrast, small screens; and what a browser is allowed to do with the page."""

import pytest
from playwright.sync_api import expect

from tests.page.conftest import PHONE, in_mixer, pick, position, stem_row, violations
from tests.support.audio.sounds import flac, tune

SCREENS = [{}, {"color_scheme": "dark"}, PHONE | {"color_scheme": "dark"}, PHONE]
IDS = ["light desktop", "dark desktop", "dark phone", "light phone"]
SLOW_IDS = IDS[1:]


@pytest.mark.parametrize(
    "screen",
    [
        pytest.param(one, id=name, marks=[pytest.mark.slow] if name in SLOW_IDS else [])
        for one, name in zip(SCREENS, IDS, strict=True)
    ],
)
def test_axe_finds_nothing_to_object_to(open_page, song, screen):
    page = open_page(**screen)
    expect(page.locator("#limits")).to_contain_text("200 MB")
    assert violations(page) == []
    page.click("#open-help")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.goto(song.address)
    expect(page.locator("#save-mix")).to_be_enabled()
    stem_row(page, "bass").locator(".solo").click()
    stem_row(page, "drums").locator(".mute").click()
    assert violations(page) == []
    page.click("#delete")
    assert violations(page) == []


@pytest.mark.slow
def test_axe_finds_nothing_while_a_song_is_separated_or_refused(page):
    pick(page, ("notes.txt", b"no song"))
    expect(page.locator(".toast[role=alert]")).to_be_visible()
    assert violations(page) == []
    page.click("#tray-clear")
    pick(page, ("Long.flac", flac(tune(60, seed=740))))
    expect(page.locator("#stage")).to_have_text("Separating")
    assert violations(page) == []
    page.click("#cancel")
    expect(page.locator("#ended")).to_be_visible()
    assert violations(page) == []


COVERED = """async () => {
    const all = [...document.querySelectorAll('#song :is(button, a[href], input, select):not(:disabled)')];
    const covered = [];
    for (const one of [...all, ...all.toReversed()]) {
        one.focus();
        if (document.activeElement !== one) continue;
        await new Promise(requestAnimationFrame);
        const { left, top, width, height } = one.getBoundingClientRect();
        const found = document.elementFromPoint(left + width / 2, top + height / 2);
        const isSeen = one.contains(found) || one.labels?.[0]?.contains(found);
        if (!isSeen) covered.push([one.id || one.className, found?.className]);
    }
    return covered;
}"""


def test_a_phone_shows_the_first_lane_at_opening_and_nothing_covers_what_has_the_focus(open_page, song):
    page = open_page(**PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for width, height in ((390, 844), (360, 640)):
        page.set_viewport_size({"width": width, "height": height})
        for link in ("", "?mix=bass:-3:0:m"):
            page.goto("/")
            page.goto(song.address + link)
            expect(page.locator("#save-mix")).to_be_enabled()
            expect(page.locator("#link-mix")).to_be_visible(visible=link != "")
            lane, transport = page.locator(".lane").first.bounding_box(), page.locator("#transport").bounding_box()
            assert lane["y"] > 0 and lane["y"] + lane["height"] <= transport["y"], (width, link)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            expect(page.locator("#play")).to_be_in_viewport()
    in_mixer(page, "mixer.setLoop({ start: 1, end: 3 })")
    assert page.evaluate(COVERED) == []
    page.set_viewport_size({"width": 1200, "height": 500})
    assert page.evaluate(COVERED) == []


PARTS = ("link-mix", "transport", "beats", "bend", "lanes", "presets", "downloads")
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
FOCUSED_PART = f"document.activeElement.closest('{', '.join(f'#{part}' for part in PARTS)}')?.id"


def test_the_keyboard_goes_through_a_song_from_top_to_bottom(open_page, song):
    page = open_page(**PHONE)
    page.goto(f"{song.address}?mix=bass:-3:0:m")
    expect(page.locator("#save-mix")).to_be_enabled()
    expect(page.locator("#link-mix")).to_be_visible()
    for width, first in ((390, "lanes"), (1200, "link-mix"), (390, "lanes")):
        page.locator("#delete").focus()
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate(TWO_FRAMES)  # in which the parts are moved
        assert page.evaluate("document.activeElement.id") == "delete"
        reached: list[str] = []
        while set(reached) != set(PARTS):
            page.keyboard.press("Tab")
            part = page.evaluate(FOCUSED_PART)
            assert part is not None, f"the focus left the song after {reached}"
            if part not in reached[-1:]:
                reached.append(part)
        tops = [
            page.evaluate(f"document.getElementById('{part}').getBoundingClientRect().top + scrollY")
            for part in reached
        ]
        assert reached[0] == first and len(reached) == len(PARTS), reached
        in_flow = [top for part, top in zip(reached, tops, strict=True) if part != "transport"]  # which is sticky
        assert in_flow == sorted(in_flow), dict(zip(reached, tops, strict=True))


# Parts in the document's order, and where they are seen: at the page's end, where the transport does not stick.
# null: nowhere.
SEEN_AT = """(selector) => {
    for (const part of document.querySelectorAll('#song > :not(#transport)')) part.hidden = false;
    scrollTo(0, document.documentElement.scrollHeight);
    const top = (part) => (part.checkVisibility() ? part.getBoundingClientRect().top : null);
    return [...document.querySelectorAll(selector)].map((part) => [part.id || part.className, top(part)]);
}"""


def test_a_phone_shows_the_parts_of_a_song_in_the_order_of_the_document(open_page, song):
    page = open_page(**PHONE)
    page.goto(f"{song.address}?mix=bass:-3:0:m")
    expect(page.locator("#save-mix")).to_be_enabled()
    playing = page.evaluate(SEEN_AT, "#song > *, #transport > *")
    assert [name for name, top in playing if top is None] == []
    assert playing == sorted(playing, key=lambda part: part[1])
    names = [name for name, _ in playing]
    assert names[-3:] == ["transport", "axis", "buttons"]
    assert names.index("ended") < names.index("lanes") < names.index("notice")
    page.evaluate("document.querySelector('#transport').hidden = true")  # as while the song is separated
    waiting = page.evaluate(SEEN_AT, "#song > :not(#transport)")
    assert [name for name, top in waiting if top is None] == []
    assert waiting == sorted(waiting, key=lambda part: part[1])
    names = [name for name, _ in waiting]
    assert names.index("notice") < names.index("status") < names.index("lanes")


def test_a_song_is_sent_with_the_keyboard_alone(page):
    expect(page.locator("#pick")).to_be_visible()
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "pick":
            break
    expect(page.locator("#pick")).to_be_focused(timeout=1000)
    # what the browser's own dialog does from here on is not ours to test
    page.evaluate("document.querySelector('#file').addEventListener('click', () => { document.title = 'asked' })")
    page.keyboard.press("Enter")
    expect(page).to_have_title("asked")
    pick(page, ("Keys.flac", flac(tune(1, seed=741))), start=False)
    page.keyboard.press("Enter")
    expect(page.locator("#play")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_mixer_is_played_with_the_keyboard_alone(mixer):
    press = mixer.keyboard.press
    press("Space")
    expect(mixer.locator("#play")).to_have_attribute("aria-label", "Pause")
    press("Space")
    press("Home")
    press("ArrowRight")
    assert position(mixer) == 5
    press("Shift+ArrowLeft")
    assert position(mixer) == 4
    press("2")
    expect(stem_row(mixer, "drums").locator(".solo")).to_have_attribute("aria-pressed", "true")
    press("Shift+Digit3")
    expect(stem_row(mixer, "bass").locator(".mute")).to_have_attribute("aria-pressed", "true")
    press("0")
    expect(mixer.locator(".lane [aria-pressed=true]")).to_have_count(0)
    press("ArrowDown")
    press("ArrowDown")
    press("m")
    expect(stem_row(mixer, "drums").locator(".mute")).to_have_attribute("aria-pressed", "true")
    press("-")
    press("-")
    press(".")
    expect(stem_row(mixer, "drums").locator(".level")).to_have_value("−2 dB")
    expect(stem_row(mixer, "drums").locator(".place")).to_have_text("R10")
    press("[")
    assert in_mixer(mixer, "return mixer.loop.start / mixer.rate") == 4
    press("l")
    assert in_mixer(mixer, "return mixer.loop") is None
    names = "all => all.filter((one) => one.checkVisibility()).map((one) => one.ariaLabel ?? one.textContent)"
    found = mixer.locator("#song button").evaluate_all(names)
    assert len(set(found)) == len(found)
    assert [name for name in found if "Reset" in name] == ["Reset tempo and pitch", "Reset the tracks"]
    mute = stem_row(mixer, "drums").locator(".mute")
    mute.focus()
    for dialog, end, back in (("#help", "Escape", mute), ("#help", "Enter", mute), ("#help", "Escape", None)):
        if back is None:  # nothing has the focus
            mixer.evaluate("document.activeElement.blur()")
        press("?")
        expect(mixer.locator(dialog)).to_be_visible()
        if end == "Enter":
            mixer.locator(f"{dialog} .primary").focus()
        press(end)
        expect(mixer.locator(dialog)).to_be_hidden()
        expect(back or mixer.locator("#main")).to_be_focused()
    for dialog, opener in (("#help", "#open-help"), ("#confirm", "#delete")):
        mixer.locator(opener).press("Enter")
        expect(mixer.locator(dialog)).to_be_visible()
        press("Escape")
        expect(mixer.locator(opener)).to_be_focused()


def test_controls_with_the_focus_keep_their_own_keys(mixer):
    solo = stem_row(mixer, "bass").locator(".solo")
    solo.focus()
    mixer.keyboard.press("Space")
    expect(solo).to_have_attribute("aria-pressed", "true")
    expect(mixer.locator("#play")).to_have_attribute("aria-label", "Play")
    volume = stem_row(mixer, "bass").locator(".volume")
    volume.focus()
    mixer.keyboard.press("ArrowLeft")
    expect(volume).to_have_attribute("aria-valuetext", "minus 0.5 dB")
    assert position(mixer) == 0


@pytest.mark.slow
def test_shortcuts_can_be_switched_off_and_stay_off(mixer):
    mixer.click("#open-help")
    mixer.uncheck("#keys-on")
    mixer.keyboard.press("Escape")
    mixer.locator("#main").focus()
    mixer.keyboard.press("2")
    mixer.wait_for_timeout(200)
    expect(mixer.locator(".lane [aria-pressed=true]")).to_have_count(0)
    mixer.reload()
    expect(mixer.locator("#keys-on")).not_to_be_checked()


def test_what_happens_is_said(mixer):
    said = mixer.locator("#say")
    mixer.keyboard.press("1")
    expect(said).to_have_text("vocals soloed")
    mixer.keyboard.press("l")
    expect(said).to_have_text("Loop from 0:00 to 0:08")


def test_the_colours_can_be_chosen_and_stay(page):
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark


def test_reduced_motion_is_respected(open_page):
    page = open_page(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.querySelector('#bar i')).transitionDuration") == "0s"
