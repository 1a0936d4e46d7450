"""A song's mix outlives its view, and goes along with a shared address."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.page.conftest import STEMS, in_mixer, songhash_of, stem_row, violations

MIX = "mix=vocals:-6:-30:m,drums:1.5:0:s&loop=1.5-3.25"
HEARD = "return [mixer.stems.map(({ level }) => level), mixer.loop]"


def state(page: Page) -> Any:
    return in_mixer(page, HEARD)


def neutral() -> dict[str, Any]:
    return {"db": 0, "pan": 0, "muted": False, "soloed": False}


def expected() -> list[Any]:
    levels = [
        {"db": -6, "pan": -0.3, "muted": True, "soloed": False},
        {"db": 1.5, "pan": 0, "muted": False, "soloed": True},
        neutral(),
        neutral(),
    ]
    return [levels, {"start": 66_150, "end": 143_325}]


def opened(page: Page, address: str) -> Page:
    page.goto("/")
    page.goto(address)
    expect(page.locator("#transport")).to_be_visible()
    return page


def bend(page: Page) -> None:
    stem_row(page, "vocals").locator(".mute").click()
    stem_row(page, "vocals").locator(".volume").fill("-6")
    stem_row(page, "vocals").locator(".pan").fill("-30")
    stem_row(page, "drums").locator(".solo").click()
    stem_row(page, "drums").locator(".volume").fill("1.5")
    in_mixer(page, "mixer.setLoop({ start: 1.5, end: 3.25 })")


def test_a_mix_is_still_there_after_going_back_and_after_a_reload(mixer, song):
    bend(mixer)
    assert state(mixer) == expected()
    mixer.click("#song .back")
    mixer.goto(song.address)
    expect(stem_row(mixer, "vocals").locator(".level")).to_have_value("−6 dB")
    assert state(mixer) == expected()
    mixer.reload()
    expect(mixer.locator("#loop")).to_have_attribute("aria-pressed", "true")
    expect(stem_row(mixer, "drums").locator(".solo")).to_have_attribute("aria-pressed", "true")
    assert state(mixer) == expected()
    mixer.click("#reset-mix")
    mixer.click("#loop")
    assert mixer.evaluate("Object.keys(localStorage).filter((name) => name.includes('mix'))") == []


def test_a_shared_address_has_the_mix_and_leaves_the_own_one_within_reach(mixer, song, open_page):
    mixer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    bend(mixer)
    mixer.click("#share-mix")
    expect(mixer.locator(".toast")).to_contain_text("The link to this mix was copied.")
    address = mixer.evaluate("navigator.clipboard.readText()")
    assert address.endswith(f"{song.address}?{MIX}")
    other = open_page()
    opened(other, song.address)
    expect(other.locator("#link-mix")).to_be_hidden()
    stem_row(other, "bass").locator(".mute").click()
    opened(other, address)
    note = other.locator("#link-mix")
    expect(note).to_contain_text("You hear the mix of a link.")
    assert state(other) == expected()
    for colours in ("light", "dark"):
        other.emulate_media(color_scheme=colours)
        assert violations(other) == []
    stem_row(other, "other").locator(".mute").click()
    changed = state(other)
    expect(note).to_contain_text("You hear the mix of a link, with your changes.")
    other.reload()  # the changes outlive it …
    expect(note).to_contain_text("with your changes")
    assert state(other) == changed
    note.get_by_role("link", name="My own mix").click()  # … and one's own mix outlives the link
    expect(note).to_be_hidden()  # the song is being opened again
    expect(other.locator("#transport")).to_be_visible()
    assert songhash_of(other) == song.songhash
    assert muted(other) == ["bass"]
    other.reload()
    expect(other.locator("#transport")).to_be_visible()
    assert muted(other) == ["bass"]
    opened(other, f"{song.address}?mix=drums:-3:0:")  # another link, another mix
    expect(note).to_contain_text("You hear the mix of a link.")
    assert muted(other) == []
    opened(other, address)
    expect(note).to_contain_text("with your changes")
    assert state(other) == changed
    note.get_by_role("button", name="The link's mix").press("Enter")
    expect(note).not_to_contain_text("with your changes")
    expect(note.get_by_role("button", name="The link's mix")).to_be_focused()
    assert state(other) == expected()
    other.reload()
    expect(note).to_contain_text("You hear the mix of a link.")
    assert state(other) == expected()


def muted(page: Page) -> list[str]:
    return list(in_mixer(page, "return mixer.stems.filter(({ level }) => level.muted).map(({ name }) => name)"))


def test_without_a_clipboard_the_address_itself_has_the_mix(open_page, song):
    page = open_page()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate("hash => { location.hash = hash }", song.address[1:])
    expect(page.locator("#transport")).to_be_visible()
    stem_row(page, "bass").locator(".mute").click()
    page.click("#share-mix")
    assert page.url.endswith("?mix=bass:0:0:m")
    stem_row(page, "drums").locator(".mute").click()
    page.reload()  # it is one's own mix, and no link's
    expect(page.locator("#transport")).to_be_visible()
    assert muted(page) == ["drums", "bass"]
    expect(page.locator("#link-mix")).to_be_hidden()
    assert page.url.endswith(song.address)


WRONG: dict[str, dict[str, tuple[float, float]]] = {
    "mix=vocals:99:900:,bass:-1e9:0:,drums:1:2": {"vocals": (6, 1)},
    "mix=%E0%A4%A:1:1:m,<b>:1:1:m,constructor:-3:0:&loop=5-4": {},
    "mix=vocals:-3:0:&loop=2-99999&mix=bass:-3:0:": {"vocals": (-3, 0)},
}


def test_of_a_wrong_address_only_what_makes_sense_is_taken(page, song):
    message = page.locator(".toast .toast-text")
    opened(page, song.address)
    in_mixer(page, "mixer.setLevel('other', { db: -9 })")
    for text in ("mix=", "mix=nobody:-3:0:m", "mx=bass:0:0:m", "loop=9-99", "tempo=fast", "mix=bass:0:0:m&" * 150):
        opened(page, f"{song.address}?{text}")
        expect(message).to_have_text("The mix in this address is not valid. Your own mix is open.")
        assert in_mixer(page, "return mixer.stems.map(({ level }) => level.db)") == [0, 0, 0, -9]
        assert page.url.endswith(song.address)
        page.get_by_role("button", name="Close this message").click()
    for text, levels in WRONG.items():
        page.evaluate("localStorage.clear()")
        opened(page, f"{song.address}?{text}")
        part = "Part of the mix in this address is not valid, and was left out or limited."
        expect(message).to_have_text(part if levels else "The mix in this address is not valid. Your own mix is open.")
        found, loop = state(page)
        stems = dict(zip(STEMS, found, strict=True))
        assert {name: (one["db"], one["pan"]) for name, one in stems.items() if one != neutral()} == levels
        assert loop == ({"start": 88_200, "end": 352_800} if "loop=2" in text else None)


def test_only_so_many_mixes_are_kept(mixer, song):
    keep = """async ([main, count]) => {
        const { keepMix } = await import(new URL('player/mixes.js', main));
        for (let index = 0; index < count; index++) {
            keepMix(`song-${index}`, 'mix=bass:-1:0:');
            keepMix(`song-${index}`, 'mix=bass:-2:0:', 'a link');
        }
        const kept = (start) => Object.keys(localStorage).filter((name) => name.startsWith(start)).length;
        return [kept('msaas.mix.'), kept('msaas.linkmix.')];
    }"""
    main = mixer.evaluate("document.querySelector('script[type=module]').src")
    assert mixer.evaluate(keep, [main, 230]) == [200, 200]
