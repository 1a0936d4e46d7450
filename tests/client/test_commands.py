"""`msaas separate`, `jobs`, `cancel` and `dead` as their users run them, with the real API and its worker played."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from msaas import cli
from msaas.client import Client, Job
from msaas.commands import there
from msaas.commands.outcome import plan
from msaas.commands.progress import Progress
from msaas.queue import Queue
from msaas.queue.offers import Worker
from tests.client.standin import DONE, FAILED, HASH, QUEUED, RUNNING, Answer, Api
from tests.test_sample_requests import dropping
from tests.web.conftest import STEMS, song_bytes


@pytest.fixture
def songs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"song {number}.wav" for number in (1, 2, 3)]
    for path, hertz in zip(paths, (220, 440, 880), strict=True):
        path.write_bytes(song_bytes(1.0, hertz))
    return paths


def separate(*arguments: object) -> int:
    return cli.main(["separate", *map(str, arguments)])


def written(folder: Path) -> dict[str, list[str]]:
    return {one.name: sorted(path.name for path in one.iterdir()) for one in sorted(folder.iterdir())}


# --- separate, by a service


def test_three_songs_of_which_one_is_broken_give_the_stems_of_two_and_the_reason_of_one(
    url: str, worker: None, songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    songs[1].write_text("Dear Sir or Madam, " * 1000)
    assert separate(*songs, "-o", tmp_path / "out", "--url", url) == 1
    stems = sorted(f"{stem}.mp3" for stem in STEMS)
    assert written(tmp_path / "out") == {"song 1": stems, "song 3": stems}
    assert (tmp_path / "out" / "song 3" / "bass.mp3").read_bytes() == b"bass" * 60_000
    said = capsys.readouterr()
    assert [line.partition(":")[0] for line in said.out.splitlines()] == [str(songs[0]), str(songs[2])]
    assert said.err.splitlines()[-2] == "2 of 3 songs are done; these are not:"
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
    assert found[0]["stems"]["vocals"] == str(out / "song 1" / "vocals.flac")
    assert found[0]["error"] is None
    with Client(url) as client:
        options = client.job(found[0]["songhash"]).options
    assert options is not None
    assert (options["format"], options["two_stems"]) == ("flac", "vocals")


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
    assert "the same command goes on with them" in said
    assert len(queue.waiting()) == 3


def test_connections_that_drop_are_no_failure(url: str, worker: None, songs: list[Path], tmp_path: Path) -> None:
    with dropping(url, drops=8, after_bytes=100_000) as flaky:
        assert separate(songs[0], "-o", tmp_path / "out", "--url", flaky) == 0
    assert (tmp_path / "out" / "song 1" / "vocals.mp3").read_bytes() == b"vocals" * 60_000


def test_a_service_that_is_not_there_is_one_line_and_status_1(
    songs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert separate(*songs, "--url", "http://127.0.0.1:9") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("msaas: http://127.0.0.1:9 does not answer (tried 3 times): ")
    assert "refused" in line


def test_a_service_that_goes_away_is_found_out_once(
    api: Api, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(there, "RETRIES", 1)
    api.answers["/apiv1/models"] = [Answer(body={"default": "htdemucs_mini"})]
    api.answers["/apiv1/separate"] = ["drop"]
    assert separate(*songs, "-o", tmp_path, "--url", api.url) == 1
    assert api.paths().count("/apiv1/separate") <= 2 * 2  # the second may have begun by then
    assert capsys.readouterr().err.count("does not answer") == 3 * 2


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
    assert capsys.readouterr().err == "msaas: 'localhost:5000' is no http or https URL\n"


def test_songs_of_one_name_get_folders_of_their_own() -> None:
    tasks = plan([Path("a/x.mp3"), Path("b/X.flac"), Path("y"), Path("b/x.mp3")], Path("out"))
    assert [str(task.folder) for task in tasks] == ["out/x", "out/X (2)", "out/y", "out/x (3)"]


# --- separate, here


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
    assert written(out) == {"song 1": ["bass.wav", "vocals.wav"]}
    said = capsys.readouterr()
    assert f"{songs[0]}: {out / 'song 1'}/ has bass.wav, vocals.wav, made by htdemucs_mini" in said.out
    assert "song 1.wav: separating" in said.err
    assert "(not_audio)" in said.err
    assert "missing.mp3: not there (file)" in said.err
    assert separate("--local", songs[0], "-o", out, "--two-stems", "kazoo") == 2
    assert "htdemucs_mini has no stem 'kazoo'" in capsys.readouterr().err


# --- progress


def test_progress_without_a_terminal_is_a_line_at_each_change() -> None:
    out = io.StringIO()
    with Progress("a song", out) as progress:
        for view in (QUEUED, QUEUED, RUNNING, RUNNING | {"progress": 0.5, "eta_seconds": 40.2}, DONE):
            progress.show(Job.from_view(view))
    assert out.getvalue().splitlines() == [
        "a song: queued, 2 songs ahead",
        "a song: separating 40%",
        "a song: done",
    ]


def test_progress_on_a_terminal_is_a_bar_that_leaves_nothing_behind() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with Progress("a song", out) as progress:
        progress.show(Job.from_view(RUNNING | {"eta_seconds": 40.2}))
    assert "a song:  40%" in out.getvalue()
    assert "separating, about 40 s left" in out.getvalue()
    assert out.getvalue().split("\r")[-2].strip() == ""


# --- jobs, cancel, dead


@pytest.fixture
def two_jobs(url: str, queue: Queue, songs: list[Path]) -> tuple[str, str]:
    """One in work, one that waits."""
    with Client(url) as client:
        running, waiting = (client.submit(song).songhash for song in songs[:2])
    claim = queue.claim("player")
    assert claim is not None
    queue.renew(claim, {"stage": "separating", "progress": "0.5"})
    return running, waiting


def test_jobs_tells_of_one_song_and_of_all(
    url: str, two_jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    running, waiting = two_jobs
    assert cli.main(["jobs", "--url", url]) == 0
    assert capsys.readouterr().out.split() == ["waiting", "1", waiting, "in", "work", "1", running, "dead", "0"]
    assert cli.main(["jobs", running, "--url", url]) == 0
    said = capsys.readouterr().out
    assert f"songhash  {running}" in said
    assert "state     separating, 50%" in said or "state     separating, about" in said
    assert cli.main(["jobs", waiting, "--url", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "queued"


def test_jobs_and_progress_say_what_a_song_waits_for(
    url: str, two_jobs: tuple[str, str], queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = two_jobs[1]
    assert cli.main(["jobs", waiting, "--url", url]) == 0
    said = capsys.readouterr().out
    assert "state     queued, waits for a worker\n" in said
    assert "waiting   no worker is ready yet" in said
    queue.announce(Worker("another", ("htdemucs",)))
    assert cli.main(["jobs", waiting, "--url", url]) == 0
    said = capsys.readouterr().out
    assert "state     queued, waits for a worker that offers its model\n" in said
    assert "waiting   no worker that is up now offers htdemucs_mini (they offer htdemucs)" in said


def test_jobs_of_a_song_that_is_unknown_is_one_line_and_status_1(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["jobs", HASH, "--url", url]) == 1
    assert capsys.readouterr().err == f"msaas: no job {HASH} is known here (404 job_unknown)\n"


def test_cancel_takes_what_it_can_and_names_what_it_cannot(
    url: str, two_jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    running, waiting = two_jobs
    assert cli.main(["cancel", HASH, waiting, "--url", url]) == 1
    said = capsys.readouterr()
    assert said.out == f"{waiting}: cancelled\n"
    assert said.err == f"{HASH}: no job {HASH} is known here (404 job_unknown)\n"
    assert cli.main(["cancel", running, "--url", url]) == 0


def test_dead_jobs_are_listed_shown_and_replayed(
    url: str,
    queue: Queue,
    songs: list[Path],
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with Client(url) as client:
        songhash = client.submit(songs[0]).songhash
    for _ in range(3):
        claim = queue.claim("player")
        assert claim is not None
        queue.fail(claim, {"code": "separation_failed", "detail": "it fell over"}, retry=True)
    assert cli.main(["dead", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["songhash"] == songhash
    assert cli.main(["dead", "show", songhash]) == 0
    assert json.loads(capsys.readouterr().out)["error"]["detail"] == "it fell over"
    assert cli.main(["dead", "replay", songhash, HASH]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{songhash}: queued"
    assert said[1].startswith(f"{HASH}: no job")
    assert queue.waiting() == [songhash]
    assert cli.main(["dead", "replay", "--all"]) == 0
