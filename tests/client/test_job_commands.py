"""The progress that `msaas separate` shows, and `msaas jobs`, `cancel` and `dead` as their users run them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tqdm import tqdm
from tqdm.utils import disp_len

from msaas import cli
from msaas.cli.jobs import job_lines, queue_lines, song_line
from msaas.cli.songs.progress import Progress, activity, bar_format
from msaas.client import Client, Job
from msaas.client import Queue as QueueView
from msaas.queue import Queue
from msaas.queue.worker_registry import Worker
from tests.support.models.standin import DONE, HASH, QUEUED, RUNNING

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


def test_progress_says_once_why_a_song_is_held_up() -> None:
    out = io.StringIO()
    held = RUNNING | {"message": "The song cannot be fetched yet: example.org does not resolve; the service retries."}
    with Progress("a song", out) as progress:
        for view in (RUNNING, held, held, RUNNING, held, DONE | {"message": "Made by a small model."}):
            progress.show(Job.from_view(view))
    assert out.getvalue().splitlines() == [
        "a song: separating 40%",
        f"a song: {held['message']}",
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


@pytest.mark.parametrize("columns", [20, 30, 40, 60, 80, 120])
@pytest.mark.parametrize(
    "title", ["a.mp3", "a song with quite a long name, live at {the} hall (2019).mp3", "日本" * 30]
)
def test_bar_keeps_stage_and_time_left_in_terminals_of_any_width(columns: int, title: str) -> None:
    layout = bar_format(title, "separating, about 58 min left" if columns > 35 else "queued", columns)
    shown = tqdm.format_meter(42, 100, 61, bar_format=layout, ncols=columns)
    assert ("separating, about 58 min left" if columns > 35 else "queued") in shown
    assert disp_len(shown) <= columns
    assert " 42%" in shown
    assert columns < 60 or title[:3] in shown
    assert columns < 80 or "|" in shown


def test_time_left_is_told_in_seconds_minutes_or_hours() -> None:
    told = [activity(Job("", "running", stage="separating", eta_seconds=left)) for left in (8.3, 1234, 7500)]
    assert [text.partition("about ")[2] for text in told] == ["8 s left", "21 min left", "2 h 05 min left"]


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
    assert capsys.readouterr().out.splitlines() == [
        *("waiting 1", f"  {waiting}  htdemucs_mini  waiting for a worker  song 2"),
        *("in work 1", f"  {running}  htdemucs_mini  song 1"),
        "dead 0",
    ]
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
    assert "state     queued, waiting for a worker\n" in said
    assert "waiting   no worker is ready yet" in said
    queue.announce(Worker("another", ("htdemucs",)))
    assert cli.main(["jobs", waiting, "--url", url]) == 0
    said = capsys.readouterr().out
    assert "state     queued, waiting for a worker with its model\n" in said
    assert "waiting   no live worker offers htdemucs_mini (available: htdemucs)" in said


def test_the_queue_and_ones_own_songs_say_which_model_a_song_waits_for(
    url: str, two_jobs: tuple[str, str], queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = two_jobs[1]
    queue.announce(Worker("another", ("htdemucs",)))
    assert cli.main(["jobs", "--url", url]) == 0
    assert f"  {waiting}  htdemucs_mini  waiting for a worker with its model  song 2\n" in capsys.readouterr().out
    assert cli.main(["jobs", "--mine", "--url", url]) == 0
    assert "  song 2  (waiting for a worker with its model)\n" in capsys.readouterr().out
    queue.announce(Worker("ours", ("htdemucs_mini",)))
    assert cli.main(["jobs", "--url", url]) == 0
    assert f"  {waiting}  htdemucs_mini  song 2\n" in capsys.readouterr().out


def test_a_song_of_two_models_names_both_and_one_without_a_record_neither() -> None:
    options = {"refine": {"drums": "mdx23c_drumsep"}}
    refined = Job.from_view({"songhash": "a", "state": "queued", "model": "htdemucs", "options": options})
    both = ["  a  htdemucs+mdx23c_drumsep", "  b"]
    queue = QueueView(("a", "b"), 2, ("a", "b"), ("a", "b"))
    lines = list(queue_lines(queue, {"a": refined}.get))
    assert lines == ["waiting 2", *both, "in work 2", *both, "dead 2", *both]


def test_jobs_tells_that_stems_were_removed() -> None:
    gone = Job.from_view(DONE | {"removed": ["drums", "vocals"], "message": "The stems were removed; …"})
    assert gone.stems_removed
    assert song_line(gone).split()[2:] == ["removed", "0:12", HASH]
    assert "stems     vocals (removed), drums (removed)" in job_lines(gone)
    assert "note      The stems were removed; …" in job_lines(gone)
    one = Job.from_view(DONE | {"removed": ["drums"]})
    assert not one.stems_removed
    assert song_line(one).split()[2:] == ["done", "0:12", HASH]
    assert "stems     vocals, drums (removed)" in job_lines(one)


def test_jobs_tells_what_was_amiss_with_a_song() -> None:
    warning = {"code": "cut_short", "detail": "The file has 2.00 seconds less audio than its header declares."}
    job = Job.from_view({"songhash": "a", "state": "done", "warnings": [warning]})
    assert list(job_lines(job))[-1] == f"warning   {warning['detail']} (cut_short)"


def test_jobs_of_a_song_that_is_unknown_is_one_line_and_status_1(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["jobs", HASH, "--url", url]) == 1
    assert capsys.readouterr().err == f"msaas: unknown job {HASH} (404 job_unknown)\n"


def test_cancel_takes_what_it_can_and_names_what_it_cannot(
    url: str, two_jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    running, waiting = two_jobs
    assert cli.main(["cancel", HASH, waiting, "--url", url]) == 1
    said = capsys.readouterr()
    assert said.out == f"{waiting}: cancelled\n"
    assert said.err == f"{HASH}: unknown job {HASH} (404 job_unknown)\n"
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
    assert cli.main(["jobs", "--url", url]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["dead 1", f"  {songhash}  htdemucs_mini  song 1"]
    assert cli.main(["dead", "show", songhash]) == 0
    assert json.loads(capsys.readouterr().out)["error"]["detail"] == "it fell over"
    assert cli.main(["dead", "replay", songhash, HASH]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{songhash}: queued"
    assert said[1].startswith(f"{HASH}: unknown job")
    assert queue.waiting() == [songhash]
    assert cli.main(["dead", "replay", "--all"]) == 0
    assert capsys.readouterr().out == "no dead letters\n"


@pytest.mark.parametrize(
    "arguments", [["--search", "x"], ["--limit", "3"], ["--mine", "abc"], ["--mine", "--limit", "0"]], ids=" ".join
)
def test_filters_and_songhashes_that_do_not_go_together_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        cli.main(["jobs", *arguments])
    assert refused.value.code == 2
    assert "jobs: error: " in capsys.readouterr().err
