"""The demo's way through the API, against one that drops connections, refuses, and sends half of things."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msaas.client import ClientError, ServiceError
from msaas.local.demo import DemoStack, SongFailed, SongMissing, _SongRun, find_song
from msaas.local.processes.child import Interrupted
from tests.support.models.standin import BUSY, DROP, FAILED, HASH, PROBLEM, RUNNING, Answer, Api, Stem, serving


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr("msaas.client.transport.MAX_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("msaas.client.api.POLL_SECONDS", 0.01)
    with serving() as api:
        yield api


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "a song.mp3"
    path.write_bytes(b"its bytes")
    return path


def work(api: Api, song: Path, warning: tuple[str, ...] = ()) -> list[str]:
    """What the demo says; the stems land in stems/ beside the song."""

    def supervise(until: Callable[[], bool]) -> None:
        while not until():
            pass

    said: list[str] = []
    stage = DemoStack(api.url, warning, supervise)
    _SongRun(stage, song, song.parent / "stems", lambda: False, said.append).run()
    return said


def test_stems_are_written_and_the_last_line_tells_model_and_place(api: Api, song: Path) -> None:
    said = work(api, song)
    stems = {path.name: path.read_bytes() for path in (song.parent / "stems").iterdir()}
    assert stems == {"vocals.mp3": b"vocals!!", "drums.mp3": b"drums!!!"}
    assert "2 stems of a song.mp3, 12.5 s of music, are in" in said[-1]
    assert "made by htdemucs_mini in" in said[-1]
    assert (api.asked[0].path, api.asked[0].headers["content-type"]) == ("/apiv1/separate", "audio/mpeg")
    assert api.asked[0].body == b"its bytes"


def test_dropped_connections_busy_servers_and_half_a_stem_are_tried_again(api: Api, song: Path) -> None:
    api.put_first("/apiv1/separate", DROP, Answer(503, BUSY))
    api.put_first(f"/apiv1/jobs/{HASH}", DROP, Answer(503))
    api.put_first(f"/apiv1/track/{HASH}-vocals", Stem(b"half of it", breaks=[4]), DROP)
    work(api, song)
    assert (song.parent / "stems" / "vocals.mp3").read_bytes() == b"vocals!!"


def test_stems_of_an_earlier_song_are_overwritten_and_other_files_stay(api: Api, song: Path) -> None:
    stems = song.parent / "stems"
    stems.mkdir()
    for name in ("vocals.mp3", "mine.txt"):
        (stems / name).write_bytes(b"older")
    work(api, song)
    assert (stems / "vocals.mp3").read_bytes() == b"vocals!!"
    assert (stems / "mine.txt").read_bytes() == b"older"


def test_stems_of_an_earlier_run_with_other_names_are_told_of(api: Api, song: Path) -> None:
    stems = song.parent / "stems"
    stems.mkdir()
    (stems / "guitar.mp3").write_bytes(b"older")
    assert f"{stems}/ has guitar.mp3 from an earlier run" in work(api, song)


def test_song_of_any_name_and_a_pipe_are_taken(api: Api, song: Path, tmp_path: Path) -> None:
    other = song.rename(song.with_name(os.fsdecode(b"caf\xe9.mp3")))
    said = work(api, other)
    assert "2 stems of caf%E9.mp3" in said[-1]
    assert all(line.encode("utf-8") for line in said)
    os.mkfifo(tmp_path / "pipe")
    assert find_song(str(tmp_path / "pipe")) == tmp_path / "pipe"
    assert find_song("-") == Path("/dev/stdin")


def test_stem_that_cannot_be_fetched_leaves_the_older_one_whole(api: Api, song: Path) -> None:
    stems = song.parent / "stems"
    stems.mkdir()
    (stems / "vocals.mp3").write_bytes(b"older")
    api.answers[f"/apiv1/track/{HASH}-vocals"] = [Stem(b"half of it", breaks=[4] * 100)]
    with pytest.raises(ClientError):
        work(api, song)
    assert [(path.name, path.read_bytes()) for path in stems.iterdir()] == [("vocals.mp3", b"older")]


def test_refusal_is_one_line_with_detail_status_and_code(api: Api, song: Path) -> None:
    api.answers["/apiv1/separate"] = [Answer(422, PROBLEM)]
    with pytest.raises(ServiceError, match=r"^nothing in it decodes to sound \(422 not_audio\)$"):
        work(api, song)


def test_failed_job_is_told_with_its_reason(api: Api, song: Path) -> None:
    api.answers[f"/apiv1/jobs/{HASH}"] = [Answer(body=FAILED)]
    with pytest.raises(SongFailed, match=r"a song.mp3 failed: it holds no sound"):
        work(api, song)


def test_warning_is_repeated_before_the_last_line(api: Api, song: Path) -> None:
    said = work(api, song, ("THE SMALL MODEL IS IN USE",))
    assert "*  THE SMALL MODEL IS IN USE  *" in said[-2]


def test_stopping_ends_the_waiting(api: Api, song: Path) -> None:
    api.answers[f"/apiv1/jobs/{HASH}"] = [Answer(body=RUNNING)]
    demo = _SongRun(DemoStack(api.url, (), lambda until: None), song, song.parent, lambda: True, print)
    with pytest.raises(Interrupted):
        demo._separate()


def test_progress_without_a_terminal_is_a_line_for_each_stage(
    api: Api, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers[f"/apiv1/jobs/{HASH}"] = [*([Answer(body=RUNNING)] * 20), api.answers[f"/apiv1/jobs/{HASH}"][-1]]
    work(api, song)
    assert capsys.readouterr().err.splitlines() == ["a song.mp3: separating 40%", "a song.mp3: done"]


@pytest.mark.parametrize(("given", "reason"), [("nowhere.mp3", "does not exist"), (".", "is a folder")])
def test_song_that_is_missing_or_a_folder_is_said_to_be(given: str, reason: str) -> None:
    with pytest.raises(SongMissing, match=reason):
        find_song(given)


def test_sample_is_a_song_of_the_data_folder() -> None:
    assert find_song(None).parent.name == "data"
