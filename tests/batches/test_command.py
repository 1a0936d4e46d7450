"""`msaas batch`, with the API as it runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from msaas import cli
from msaas.client import Client
from tests.support.api import song_bytes
from tests.support.api_process import real_api, url

__all__ = ["real_api", "url"]


@pytest.fixture
def batch(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        status = cli.main(["batch", command, *arguments, "--url", url])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_files_are_sent_followed_and_cancelled_together(batch, tmp_path):
    for number in range(2):
        (tmp_path / f"take {number}.wav").write_bytes(song_bytes(hertz=300 + number))
    (tmp_path / "notes.txt").write_text("no song")
    status, out, err = batch("send", str(tmp_path), "-o", "stems=vocals,bass", "-o", "mono=true", "--json")
    assert status == 0, err
    sent = json.loads(out)
    assert sent["total"] == 2
    shown = json.loads(batch("show", sent["batch"], "--json")[1])
    assert shown["counts"]["done"] == 0
    status, out, _ = batch("cancel", sent["batch"])
    assert status == 0
    assert out.splitlines()[0].startswith(f"{sent['batch']}  cancelled: 2 cancelled")
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("send", "{folder}/nothing.wav"), "nothing.wav"),
        (("show", "00000000-0000-4000-8000-000000000000"), "batch_unknown"),
    ],
    ids=["file", "batch"],
)
def test_what_is_not_there_is_named(batch, tmp_path, arguments, reason):
    status, out, err = batch(*(one.format(folder=tmp_path) for one in arguments))
    assert (status, out) == (1, "")
    assert reason in err


def test_an_option_without_a_value_is_refused(batch, capsys):
    with pytest.raises(SystemExit):
        batch("send", "x.wav", "-o", "mono")
    assert "is not NAME=VALUE" in capsys.readouterr().err


def test_a_path_is_told_how_it_becomes_a_song_of_a_batch(url, tmp_path):
    with Client(url) as client, pytest.raises(TypeError) as error:
        client.submit_batch([tmp_path / "song.wav"])  # type: ignore[list-item]
    assert "send a file with upload() first" in str(error.value)
