"""What `msaas separate` takes for a song, what it calls the folder of its stems, and that no two songs share one."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from msaas import interpreter
from msaas.cli.paths import UnusablePath, output_folder, path_argument
from msaas.cli.songs.folders import MANIFEST, StemFolders, scratch
from msaas.cli.songs.inputs import STANDARD_INPUT, SongTask, song_argument, songs_of, stem_folder
from msaas.cli.songs.stem_files import SongResult
from msaas.client import Client, Job, NotTheService, SongTooLarge, UnsafeName
from msaas.client.names import folder_name, path_part, printable
from tests.support.models.standin import Answer, Api

LATIN_1 = "caf\udce9.mp3"  # os.fsdecode(b"caf\xe9.mp3") under a UTF-8 locale


# --- names


@pytest.mark.parametrize(
    ("song", "folder"),
    [
        ("song.mp3", "song"),
        ("a.b.mp3", "a.b"),
        ("song", "song"),
        (".hidden.mp3", ".hidden"),
        ("..mp3", "..mp3"),
        ("...mp3", "...mp3"),
        ("..", "_.."),
        ("", "_"),
        ("a\nb.mp3", "a\\nb"),
        ("äöü.flac", "äöü"),
        (LATIN_1, "caf%E9"),
    ],
)
def test_folder_of_a_song_is_one_part_of_a_path(song: str, folder: str) -> None:
    assert folder_name(song) == folder
    assert Path("out", folder).name == folder
    folder.encode("utf-8")


def test_part_of_a_path_leads_nowhere_and_is_not_too_long() -> None:
    assert path_part("../../etc") == ".._.._etc"
    assert path_part(".") == "_."
    assert len(path_part("ä" * 300).encode()) == 200


def test_printable_text_holds_nothing_that_a_terminal_obeys_and_no_surrogate() -> None:
    assert printable(LATIN_1) == "caf%E9.mp3"
    assert printable("a\x1b[2Jb\r\n\u2028") == "a\\x1b[2Jb\\r\\n\\u2028"
    assert printable("naïve 日本 👩\u200d🎤") == "naïve 日本 👩\u200d🎤"


@pytest.mark.parametrize("stem", ["../vocals", "/etc/passwd", "a/b", "", "vocals\n", "..", "vocals\0"])
def test_service_that_names_a_stem_otherwise_writes_nothing(
    api: Api, client: Client, tmp_path: Path, stem: str
) -> None:
    out = tmp_path / "out" / "song"
    with pytest.raises(UnsafeName, match="is not a valid stem name"):
        client.download(Job("x", "done", stems={stem: "/apiv1/track/x"}), out)
    with pytest.raises(UnsafeName):
        client.download(Job("x", "done", stems={"vocals": "y"}, options={"format": f"mp3/../{stem}"}), out)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("view", [{"stems": [1]}, {"stems": "vocals"}, {"options": "mp3"}, {"timings": [2]}])
def test_answer_that_is_no_jobs_is_said_to_be_none(api: Api, client: Client, view: dict[str, object]) -> None:
    api.answers["/apiv1/jobs/x"] = [Answer(body={"songhash": "x", "state": "done"} | view)]
    with pytest.raises(NotTheService):
        client.job("x")


def test_json_of_a_name_that_is_not_utf8_can_be_read_by_any_parser() -> None:
    task = SongTask(Path(LATIN_1), Path("out/caf%E9"))
    line = SongResult(task, stems={"vocals": Path("out/caf%E9/vocals.mp3")}).to_json()
    assert "\\udc" not in line
    assert json.loads(line)["song"] == "caf%E9.mp3"


# --- songs of arguments


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for name in ("2 b.FLAC", "1 a.mp3", "cover.jpg", "list.m3u", "._1 a.mp3", "cd 2/c.opus", ".trash/d.mp3"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_folder_stands_for_its_audio_files_in_order(album: Path, tmp_path: Path) -> None:
    given = songs_of([album], tmp_path / "out")
    assert [(task.song.name, task.folder.relative_to(tmp_path)) for task in given.tasks] == [
        ("1 a.mp3", Path("out/album/1 a")),
        ("2 b.FLAC", Path("out/album/2 b")),
    ]
    assert [path.name for path in given.skipped] == ["cover.jpg", "list.m3u"]


def test_folders_in_a_folder_are_taken_where_asked_for_and_earlier_stems_never(album: Path) -> None:
    out = album / "stems"
    kept = album / "elsewhere"
    for folder in (out / "album" / "1 a", kept):
        folder.mkdir(parents=True)
        (folder / "vocals.mp3").write_bytes(b"x")
    (kept / MANIFEST).write_text("{}")
    given = songs_of([album], out, recursive=True)
    assert [task.folder.relative_to(out / "album").as_posix() for task in given.tasks] == ["1 a", "2 b", "cd 2/c"]


def test_folder_without_audio_is_refused_with_a_hint(album: Path, tmp_path: Path) -> None:
    for name in ("1 a.mp3", "2 b.FLAC"):
        (album / name).unlink()
    with pytest.raises(UnusablePath, match=r"album has no audio files; its subfolders do: use -r$"):
        songs_of([album], tmp_path / "out")


def test_working_folder_has_a_name(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    assert songs_of([Path()], Path("out")).tasks[0].folder == Path("out/album/1 a")


def test_file_named_itself_is_taken_whatever_it_is_called(album: Path) -> None:
    assert songs_of([album / "cover.jpg"], Path("out")).tasks == [SongTask(album / "cover.jpg", Path("out/cover"))]


def test_standard_input_and_pipes_have_folders_of_fixed_names() -> None:
    assert song_argument("-") == STANDARD_INPUT
    assert stem_folder(STANDARD_INPUT) == "stdin"
    assert stem_folder(Path("/dev/fd/63")) == "pipe"
    with pytest.raises(UnusablePath, match="only once"):
        songs_of([STANDARD_INPUT, STANDARD_INPUT], Path("out"))


def test_empty_path_is_refused() -> None:
    for parse in (path_argument, song_argument):
        with pytest.raises(argparse.ArgumentTypeError, match="empty"):
            parse("")


# --- folders of stems


def stems(folder: Path, *names: str) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.mp3").write_text(name)
    return {name: folder / f"{name}.mp3" for name in names}


def put(tmp_path: Path, wanted: Path, sha256: str, *names: str, folders: StemFolders | None = None) -> str:
    """The folder's name."""
    placed = (folders or StemFolders()).put(stems(tmp_path / "new", *names), wanted, song="s.mp3", sha256=sha256)
    assert sorted(placed) == sorted(names)
    assert {path.read_text() for path in placed.values()} == set(names)
    (folder,) = {path.parent for path in placed.values()}
    return folder.name


def test_stems_of_two_songs_of_one_name_are_kept_apart_and_each_finds_its_own_again(tmp_path: Path) -> None:
    wanted = tmp_path / "out" / "song"
    assert put(tmp_path, wanted, "a", "bass") == "song"
    assert put(tmp_path, wanted, "b", "vocals") == "song (2)"
    assert put(tmp_path, wanted, "c", "vocals") == "song (3)"
    assert put(tmp_path, wanted, "b", "drums") == "song (2)"
    assert put(tmp_path, wanted, "a", "bass", "drums") == "song"
    assert sorted(path.name for path in wanted.glob("[!.]*")) == ["bass.mp3", "drums.mp3"]


def test_stems_of_unknown_origin_and_files_are_left_alone(tmp_path: Path) -> None:
    wanted = tmp_path / "song"
    wanted.mkdir()
    (wanted / "vocals.wav").write_text("mine")
    (tmp_path / "song (2)").write_text("a file")
    assert put(tmp_path, wanted, "a", "bass") == "song (3)"
    assert (wanted / "vocals.wav").read_text() == "mine"


def test_folder_without_stems_is_used(tmp_path: Path) -> None:
    (tmp_path / "song").mkdir()
    (tmp_path / "song" / "notes.txt").write_text("mine")
    assert put(tmp_path, tmp_path / "song", "a", "bass") == "song"


@pytest.mark.parametrize(
    ("start", "end", "folder"),
    [
        (None, None, "song"),
        (5.0, 15.5, "song (5 to 15.5 s)"),
        (65.0, None, "song (from 65 s)"),
        (None, 8.0, "song (to 8 s)"),
    ],
)
def test_a_part_of_a_song_has_a_folder_of_its_own(start: float | None, end: float | None, folder: str) -> None:
    assert SongTask(Path("song.mp3"), Path("stems/song")).of_part(start, end).folder == Path("stems") / folder


def test_songs_of_one_run_share_no_folder_on_a_disk_without_case_either(tmp_path: Path) -> None:
    folders = StemFolders()
    assert put(tmp_path, tmp_path / "x", "a", "bass", folders=folders) == "x"
    assert put(tmp_path, tmp_path / "X", "b", "bass", folders=folders) == "X (2)"


def test_many_runs_at_once_share_no_folder(tmp_path: Path) -> None:
    found: list[str] = []

    def run(number: int) -> None:
        part = stems(tmp_path / f"new {number}", "bass")
        placed = StemFolders().put(part, tmp_path / "out" / "song", song="s", sha256=str(number))
        found.append(placed["bass"].parent.name)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 12


def test_output_folder_is_made_and_goes_again_where_nothing_was_put(tmp_path: Path) -> None:
    with output_folder(tmp_path / "a" / "b") as folder, scratch(folder) as part:
        assert part.is_dir()
    assert not list(tmp_path.iterdir())
    with output_folder(tmp_path / "a" / "b") as folder:
        (folder / "stem").write_text("x")
    assert (tmp_path / "a" / "b" / "stem").exists()


@pytest.mark.parametrize("path", ["file", "file/x", "/proc/x", "dangling"])
def test_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to("/proc/nothing")
    with pytest.raises(UnusablePath, match=r"^cannot write to .*: .*"), output_folder(tmp_path / path):
        pass


def test_a_folder_that_takes_no_files_is_said_to_be_one() -> None:
    with (
        pytest.raises(UnusablePath, match=r"/proc: no folder or file can be created in it$"),
        output_folder(Path("/proc/x")),
    ):
        pass


# --- pipes


@contextmanager
def pipe_of(content: Iterable[bytes]) -> Iterator[Path]:
    """A path that can be opened and read once, as a shell's `<(…)` gives it."""
    read, write = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), os.fdopen(write, "wb") as file:
            for piece in content:
                file.write(piece)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield Path(f"/proc/self/fd/{read}")
    finally:
        os.close(read)
        thread.join()


def test_pipe_with_a_path_is_sent_whole(api: Api, client: Client) -> None:
    with pipe_of([b"its", b" bytes"]) as path:
        client.submit(path)
    assert api.asked[0].body == b"its bytes"


def test_pipe_without_an_end_is_read_no_further_than_the_service_takes(
    api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msaas.client.upload.LONG_BYTES", 1_000_000)
    api.answers["/apiv1/models"] = [Answer(body={"limits": {"upload_bytes": 2_000_000}})]
    with pipe_of(itertools.repeat(bytes(65536))) as path, pytest.raises(SongTooLarge, match="2000000 bytes"):
        client.submit(path)
    with pytest.raises(SongTooLarge):
        client.submit("/dev/zero")
    assert api.paths() == ["/apiv1/models"] * 2


# --- the command's own name


def test_commands_start_this_pythons_msaas_by_a_name_that_works(tmp_path: Path) -> None:
    program = "from msaas.command import typed; print(typed('--version'))"
    typed = subprocess.run(
        interpreter.command("-c", program), capture_output=True, check=True, text=True, cwd=tmp_path
    ).stdout
    said = subprocess.run(typed, shell=True, capture_output=True, check=True, text=True, cwd=tmp_path).stdout  # noqa: S602
    assert said.startswith("msaas ")
