"""Folders, as file managers drop them and as the browser's dialog hands them over."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import violations
from tests.support.audio.sounds import flac, tune

SONGS = ("Album/Disc 1/2 Second.flac", "Album/Disc 1/10 Tenth.flac", "Album/Disc 2/1 First.FLAC")


@pytest.fixture(scope="module")
def album(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("music")
    for name in SONGS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(flac(tune(1, seed=733)))
    (root / "Album" / "cover.jpg").write_bytes(b"a picture")
    (root / "Album" / ".DS_Store").write_bytes(b"nothing to people")
    (root / "Empty").mkdir()
    for number in range(130):  # a browser hands over a hundred at a time
        (root / "Many").mkdir(exist_ok=True)
        (root / "Many" / f"{number}.mp3").write_bytes(b"")
    return root


def drop_paths(page: Page, *paths: Path) -> None:
    """A drop of the system's, with files on disk; scripts cannot make one with folders."""
    box = page.locator("#drop").bounding_box()
    assert box is not None
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


def test_a_dropped_folder_gives_its_songs_in_order_and_says_what_was_left_out(page, album):
    drop_paths(page, album / "Album")
    expect(page.locator("#tray .song-name")).to_have_text(["2 Second", "10 Tenth", "1 First"])
    expect(page.locator(".toast")).to_contain_text("3 songs taken. Left out: cover.jpg.")
    assert violations(page) == []


def test_a_folder_of_many_is_read_to_its_end_and_files_beside_it_are_taken_as_they_are(page, album):
    drop_paths(page, album / "Many", album / "Album" / "cover.jpg")
    expect(page.locator("#tray .songs li")).to_have_count(131)
    expect(page.locator("#tray .song-name").first).to_have_text("cover")


def test_a_folder_without_songs_is_said(page, album):
    drop_paths(page, album / "Empty")
    expect(page.locator(".toast[role=alert]")).to_have_text("No songs found.")
    expect(page.locator("#tray")).to_be_hidden()


def test_a_folder_can_be_chosen(page, album):
    page.set_input_files("#folder", album / "Album")
    expect(page.locator("#tray .song-name")).to_have_text(["2 Second", "10 Tenth", "1 First"])
    expect(page.locator("#pick-folder")).to_be_visible()
