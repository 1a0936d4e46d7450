"""The `msaas` command: what it prints and how it ends."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from msaas import cli
from msaas.cli import settings
from msaas.local.servers import Valkey
from msaas.queue import Queue
from msaas.settings import Settings
from msaas.storage import ALL_BUCKETS
from tests.support.environment import REPOSITORY

NAMES = [field.metadata["name"] for field in fields(Settings)]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_every_setting_is_listed_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in NAMES)


def test_units_of_settings_are_in_parentheses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings"]) == 0
    said = capsys.readouterr().out
    assert "default: 30 (seconds)\n" in said
    assert "default: false\n" in said


def test_a_redis_that_does_not_answer_comes_with_how_to_name_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1:1")
    assert cli.main(["dead"]) == 1
    assert "set REDIS_HOST to the address of Redis" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["copy", "restore"])
def test_a_store_that_does_not_answer_comes_with_how_to_name_another(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIO_HOST", "127.0.0.1:1")
    (tmp_path / ALL_BUCKETS[0]).mkdir()
    assert cli.main(["buckets", command, str(tmp_path)]) == 1
    reason, advice = capsys.readouterr().err.splitlines()
    assert reason.startswith("msaas: the object store does not respond correctly: ")
    assert advice.startswith("set MINIO_HOST to the address of the store; `make serve` prints ")


def test_a_redis_that_answers_with_an_error_needs_no_other_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], valkey: Valkey, redis: Any
) -> None:
    """A key that was overwritten by hand: another address would not help."""
    monkeypatch.setenv("REDIS_HOST", valkey.address)
    redis.set("toWorkers:dead", "something else")
    assert cli.main(["dead", "list"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("msaas: the queue (Redis) does not respond correctly: ")


def test_markdown_table_has_a_row_for_each_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings", "--markdown"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(NAMES)
    assert all(row.count("|") == 5 for row in rows)


@pytest.mark.parametrize("command", [["up"], ["demo"], ["dead"], ["models", "list"]])
def test_wrong_setting_is_one_line_and_status_2(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSAAS_PORT", "none")
    assert cli.main(command) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("msaas: MSAAS_PORT='none' is not usable")


@pytest.mark.parametrize(
    "command",
    [
        ["up", "--folder", "file"],
        ["up", "--folder", "file/below"],
        ["up", "--folder", "/proc/x"],
        ["demo", "song.mp3", "--folder", "file"],
        ["demo", "song.mp3", "--stems", "file"],
        ["models", "fetch", "htdemucs_mini", "--into", "file"],
    ],
)
def test_folder_that_cannot_be_written_is_one_line_and_status_2_before_work_begins(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSAAS_MODEL", "htdemucs_mini")
    for name in ("file", "song.mp3"):
        (tmp_path / name).write_text("x")
    assert cli.main(command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.splitlines()
    assert line.startswith("msaas: cannot write to ")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "song.mp3"}


def test_error_of_the_system_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(_args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "some/file")

    monkeypatch.setattr(settings, "run", full)
    assert cli.main(["settings"]) == 1
    assert capsys.readouterr().err == "msaas: some/file: No space left on device\n"


@pytest.mark.parametrize("command", [["up"], ["demo"], ["models", "list"], ["separate", "--local", "s.mp3"]])
def test_mistyped_folder_of_weights_is_refused(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSAAS_MODEL_REPO", "wieghts")
    assert cli.main(command) == 2
    assert "msaas: MSAAS_MODEL_REPO='wieghts' is not usable: the folder does not exist" in capsys.readouterr().err


def test_models_of_the_clone_are_shown_without_a_setting_and_others_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", list)
    assert cli.main(["models", "show", "htdemucs_mini"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "htdemucs_mini"


def test_missing_song_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "no/such/song.mp3"]) == 2
    assert capsys.readouterr().err == "msaas: no/such/song.mp3 does not exist; give the path of a song\n"


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("msaas 0.")


def test_dead_jobs_are_listed_with_their_reason(
    queue: Queue, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    songhash = "00000000-0000-5000-8000-000000000001"
    queue.submit(songhash, {"options": "{}", "model": "m"})
    claim = queue.claim("w")
    assert claim is not None
    queue.fail(claim, {"code": "not_audio", "detail": "it holds no sound"}, retry=False)
    queue.redis.rpush("toWorkers:dead", songhash)
    assert cli.main(["dead"]) == 0
    assert f"{songhash}  1 attempts  not_audio: it holds no sound" in capsys.readouterr().out


def test_redis_that_is_away_is_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1:1")
    assert cli.main(["dead"]) == 1
    assert capsys.readouterr().err.startswith("msaas: the queue (Redis) does not respond")


def test_command_loads_no_torch_and_no_flask_until_it_needs_them() -> None:
    program = "import sys, json, msaas.cli, msaas.local.demo; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert not {"torch", "flask", "av", "demucs"} & set(json.loads(said))


def test_small_model_is_shown_with_what_it_separates(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MSAAS_MODEL", "MSAAS_MODEL_REPO"):
        monkeypatch.setenv(name, environ[name])
    assert cli.main(["models", "show"]) == 0
    assert sorted(json.loads(capsys.readouterr().out)["sources"]) == ["bass", "drums", "other", "vocals"]
    assert cli.main(["models", "list"]) == 0
    line = next(one for one in capsys.readouterr().out.splitlines() if one.startswith("htdemucs_mini (default)  "))
    assert line.endswith(f"  here: the folder {REPOSITORY / 'models' / 'htdemucs_mini'}")
