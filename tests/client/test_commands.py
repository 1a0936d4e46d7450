"""`msaas separate` as its users run it, with the real API and its worker played."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from msaas import interpreter
from msaas.cli.songs import local as separate_local
from msaas.cli.songs import remote as separate_remote
from msaas.client import Client
from msaas.queue import Queue
from tests.client.conftest import separate
from tests.support.api import STEMS
from tests.support.clients.sample_requests import dropping
from tests.support.models.standin import DONE, FAILED, HASH, Answer, Api
from tests.support.song_server import SongServer, serving_song


def written(folder: Path) -> dict[str, list[str]]:
    """Without the hidden file that says whose stems they are."""
    return {one.name: sorted(path.name for path in one.glob("[!.]*")) for one in sorted(folder.iterdir())}


# --- separate, by a service


def test_three_songs_of_which_one_is_broken_give_the_stems_of_two_and_the_reason_of_one(
    url: str, worker: None, songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    songs[1].write_text("Dear Sir or Madam, " * 1000)
    assert separate(*songs, "-o", tmp_path / "out", "--url", url) == 1
    assert written(tmp_path / "out") == {
        song: sorted(f"{song} ({stem.capitalize()}).mp3" for stem in STEMS) for song in ("song 1", "song 3")
    }
    assert (tmp_path / "out" / "song 3" / "song 3 (Bass).mp3").read_bytes() == b"bass" * 60_000
    said = capsys.readouterr()
    assert [line.partition(":")[0] for line in said.out.splitlines()] == [str(songs[0]), str(songs[2])]
    assert said.err.splitlines()[-2] == "2 of 3 songs are done; these failed:"
    assert said.err.splitlines()[-1].startswith(f"  {songs[1]}: ")
    assert said.err.splitlines()[-1].endswith("(not_audio)")


def test_all_done_is_status_0_and_json_is_a_line_a_song(
    url: str, worker: None, songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ("-o", out, "--url", url, "--json", "--format", "flac", "--two-stems", "vocals")
    assert separate(*songs[:2], *options) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["song"] for one in found] == [str(song) for song in songs[:2]]
    assert found[0]["stems"]["vocals"] == str(out / "song 1" / "song 1 (Vocals).flac")
    assert found[0]["error"] is None
    with Client(url) as client:
        recorded = client.job(found[0]["songhash"]).options
    assert recorded is not None
    assert (recorded["format"], recorded["two_stems"]) == ("flac", "vocals")


def test_urls_are_fetched_by_the_service_beside_files(
    url: str, worker: None, songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with serving_song(SongServer(songs[1].read_bytes())) as origin:
        assert separate(songs[0], origin.url, "-o", out, "--url", url) == 0
        assert separate(origin.url, "-o", out, "--url", url, "--json") == 0, "the same song finds its folder again"
    assert {name: len(files) for name, files in written(out).items()} == {"a song": len(STEMS), "song 1": len(STEMS)}
    assert "a song (Vocals).mp3" in written(out)["a song"], "named after the URL"
    with Client(url) as client:
        uploaded = client.submit(songs[1])
    assert uploaded.known
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["songhash"] == uploaded.songhash


def test_a_url_that_cannot_be_fetched_is_one_failed_song(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_song(SongServer(b"", statuses=[404])) as origin:
        assert separate(origin.url, "-o", tmp_path, "--url", url) == 1
    assert "answered 404 (fetch_failed)" in capsys.readouterr().err
    assert separate("http://10.0.0.1/x.mp3", "-o", tmp_path, "--url", url) == 1
    assert "not public (private)" in capsys.readouterr().err


def test_a_url_is_not_separated_locally(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        separate("https://example.org/x.mp3", "--local", "-o", tmp_path)
    assert "a URL needs a service" in capsys.readouterr().err


def test_the_songs_are_in_the_queue_together_before_the_first_is_done(
    url: str, queue: Queue, songs: list[Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "msaas.cli", "separate", *map(str, songs), "--url", url, "-o", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(queue.waiting()) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(queue.waiting()) == 3
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command resumes them" in said
    assert len(queue.waiting()) == 3


def test_connections_that_drop_are_no_failure(url: str, worker: None, songs: list[Path], tmp_path: Path) -> None:
    with dropping(url, drops=8, after_bytes=100_000) as flaky:
        assert separate(songs[0], "-o", tmp_path / "out", "--url", flaky) == 0
    assert (tmp_path / "out" / "song 1" / "song 1 (Vocals).mp3").read_bytes() == b"vocals" * 60_000


def test_files_are_named_by_their_stems_alone_on_request(
    url: str, worker: None, songs: list[Path], tmp_path: Path
) -> None:
    assert separate(songs[0], "-o", tmp_path / "out", "--url", url, "--names", "stem") == 0
    assert written(tmp_path / "out") == {"song 1": sorted(f"{stem}.mp3" for stem in STEMS)}


def test_the_same_bytes_under_two_names_get_files_of_each_name(
    url: str, worker: None, songs: list[Path], tmp_path: Path
) -> None:
    other = shutil.copy(songs[0], tmp_path / "for ben.wav")
    assert separate(songs[0], other, "-o", tmp_path / "out", "--url", url, "--stems", "vocals") == 0
    assert {path.name for path in (tmp_path / "out").glob("*/[!.]*Vocals*")} == {
        "song 1 (Vocals).mp3", "for ben (Vocals).mp3"
    }  # fmt: skip


def test_a_service_that_is_not_there_is_one_line_and_status_1(
    songs: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msaas.cli.service.NOTICE_AFTER_SECONDS", 60)  # a busy machine may take longer than usual
    assert separate(*songs, "--url", "http://127.0.0.1:9") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("msaas: http://127.0.0.1:9 did not answer (tried 3 times): ")
    assert "refused" in line


def test_a_service_that_goes_away_is_found_out_once(
    api: Api, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(separate_remote, "RETRIES", 1)
    api.answers["/apiv1/models"] = [Answer(body={"default": "htdemucs_mini"})]
    api.answers["/apiv1/separate"] = ["drop"]
    assert separate(*songs, "-o", tmp_path, "--url", api.url) == 1
    assert api.paths().count("/apiv1/separate") <= 2 * 2  # the second may have begun by then
    assert capsys.readouterr().err.count("did not answer") == 3 * 2


def test_a_job_that_fails_and_a_file_that_is_missing_are_named_with_their_reason(
    api: Api, songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["/apiv1/models"] = [Answer(body={"default": "htdemucs_mini"})]
    api.answers[f"/apiv1/jobs/{HASH}"] = [Answer(body=FAILED)]
    assert separate(songs[0], "missing.mp3", "-o", tmp_path, "--url", api.url, "--json") == 1
    errors = [json.loads(line)["error"] for line in capsys.readouterr().out.splitlines()]
    assert errors[0] == {"code": "not_audio", "detail": "it holds no sound"}
    assert errors[1] == {"code": "file", "detail": "No such file or directory"}


@pytest.mark.parametrize(
    "wrong", [["--format", "ogg"], ["--stems", "a", "--two-stems", "a"], ["--local", "--url", "x"]]
)
def test_an_argument_that_there_is_not_is_status_2(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        separate("song.mp3", *wrong)
    assert ended.value.code == 2


def test_an_option_that_the_service_refuses_is_status_2(
    url: str, songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert separate(songs[0], "-o", tmp_path, "--url", url, "--bitrate", 7) == 2
    assert "choose one of 32" in capsys.readouterr().err


def test_an_address_that_is_no_url_is_status_2(songs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert separate(songs[0], "--url", "localhost:5000") == 2
    assert capsys.readouterr().err == "msaas: 'localhost:5000' is not an http or https URL; try http://localhost:5000\n"


def test_every_name_and_every_kind_of_song_ends_in_a_folder_below_out(
    url: str, worker: None, songs: list[Path], tmp_path: Path
) -> None:
    """With an output that takes UTF-8 only, as in a UTF-8 locale, and standard input as a pipe."""
    names = (b"...mp3", b"..mp3", b"caf\xe9.mp3", b"two\nlines.mp3", "日本.mp3".encode())
    for name, song in zip(names, itertools.cycle(songs)):
        shutil.copy(song, tmp_path / os.fsdecode(name))
    album = tmp_path / "album"
    album.mkdir()
    shutil.copy(songs[0], album / "one.mp3")
    (album / "cover.jpg").write_bytes(b"x")
    arguments = [*map(os.fsdecode, names), "album", "-", "-o", "out", "--url", url, "--json"]
    ran = subprocess.run(
        [*interpreter.command("-m", "msaas.cli"), "separate", *arguments],
        input=songs[1].read_bytes(),
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict", "PYTHONUTF8": "1"},
        capture_output=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.decode().splitlines()]
    assert [one["error"] for one in found] == [None] * 7
    expected = ["...mp3", "..mp3", "caf%E9", "two\\nlines", "日本", "album/one", "stdin"]
    assert [Path(one["stems"]["bass"]).parent.relative_to("out").as_posix() for one in found] == expected
    for one in found:
        stem = os.fsdecode(one["stems"]["bass"].encode())  # whatever the locale of this process
        assert (tmp_path / stem).read_bytes() == b"bass" * 60_000
    assert "cover.jpg" in ran.stderr.decode()
    there = {os.fsencode(path.name).decode() for path in (tmp_path / "out").iterdir()}
    assert there == {path.split("/")[0] for path in expected}


def test_another_song_of_a_name_gets_a_folder_of_its_own_and_that_is_said(
    url: str, worker: None, songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    shutil.copy(songs[1], other / songs[0].name)
    assert separate(songs[0], "-o", out, "--url", url) == 0
    assert separate(other / songs[0].name, "--format", "wav", "-o", out, "--url", url) == 0
    assert separate(songs[0], "--format", "flac", "-o", out, "--url", url + "/apiv1/") == 0
    names = {stem: f"song 1 ({stem.capitalize()})" for stem in STEMS}
    first = sorted(f"{names[stem]}.{extension}" for stem in STEMS for extension in ("mp3", "flac"))
    assert written(out) == {"song 1": first, "song 1 (2)": sorted(f"{names[stem]}.wav" for stem in STEMS)}
    assert f"  {out / 'song 1'}/ contains something else, such as another song's stems" in capsys.readouterr().out


def test_json_has_the_jobs_timings(api: Api, songs: list[Path], tmp_path: Path, capsys: Any) -> None:
    api.answers["/apiv1/models"] = [Answer(body={"default": "htdemucs_mini"})]
    api.answers[f"/apiv1/jobs/{HASH}"] = [Answer(body=DONE | {"timings": {"ran_seconds": 1.5, "model": 1.0}})]
    assert separate(songs[0], "-o", tmp_path / "out", "--url", api.url, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["timings"], found["duration_seconds"]) == ({"ran_seconds": 1.5, "model": 1.0}, 12.5)


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/x"])
def test_folder_that_cannot_be_written_is_noticed_before_anything_is_sent(
    api: Api, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    assert separate(songs[0], "-o", out, "--url", api.url) == 2
    assert separate(songs[0], "-o", out, "--local") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"msaas: cannot write to {out}: ") for line in lines)
    assert not api.asked


def test_song_that_is_not_there_is_status_2_and_leaves_no_folder(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    api.answers["/apiv1/models"] = [Answer(body={"default": "htdemucs_mini"})]
    assert separate("missing.mp3", "--url", api.url) == 2
    assert not list(tmp_path.iterdir())


# --- separate, here


def test_local_separation_that_is_stopped_leaves_nothing(
    songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_arguments: object) -> None:
        (part,) = (tmp_path / "out" / "deep").iterdir()
        (part / "half.wav").write_bytes(b"x")
        raise KeyboardInterrupt

    monkeypatch.setenv("MSAAS_MODEL", "htdemucs_mini")
    model = SimpleNamespace(model=SimpleNamespace(sources=STEMS))
    monkeypatch.setattr(separate_local, "loader", lambda _settings: lambda _name: model)
    monkeypatch.setattr(separate_local.LocalBatch, "_separate", stopped)
    assert separate("--local", songs[0], "-o", tmp_path / "out" / "deep") == 130
    assert not (tmp_path / "out").exists()


def test_songs_are_separated_with_no_service_at_all(
    songs: list[Path],
    environ: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("MSAAS_MODEL", "MSAAS_MODEL_REPO"):
        monkeypatch.setenv(name, environ[name])
    songs[1].write_text("Dear Sir or Madam, " * 1000)
    out = tmp_path / "out"
    assert separate("--local", *songs[:2], "missing.mp3", "-o", out, "--stems", "vocals,bass", "--format", "wav") == 1
    assert written(out) == {"song 1": ["song 1 (Bass).wav", "song 1 (Vocals).wav"]}
    said = capsys.readouterr()
    assert (
        f"{songs[0]}: {out / 'song 1'}/ has song 1 (Bass).wav, song 1 (Vocals).wav, made by htdemucs_mini" in said.out
    )
    assert "song 1.wav: separating" in said.err
    assert "(not_audio)" in said.err
    assert "missing.mp3: No such file or directory\n" in said.err
    assert separate("--local", songs[0], "-o", out, "--two-stems", "kazoo") == 2
    assert "htdemucs_mini has no stem 'kazoo'" in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_amiss_with_a_song_is_told_here_too(
    songs: list[Path],
    environ: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("MSAAS_MODEL", "MSAAS_MODEL_REPO"):
        monkeypatch.setenv(name, environ[name])
    whole = songs[0].read_bytes()
    songs[0].write_bytes(whole[: len(whole) // 2])
    asked = ("--local", songs[0], "-o", tmp_path / "out", "--stems", "bass")
    assert separate(*asked) == 0
    assert "  The file ends in the middle of its audio; how much is missing is unknown.\n" in capsys.readouterr().out
    assert separate(*asked, "--json") == 0
    assert [one["code"] for one in json.loads(capsys.readouterr().out)["warnings"]] == ["cut_short"]
