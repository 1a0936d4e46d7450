"""docs/client.md: its examples run as they stand, and it tells of everything that there is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from msaas import cli, client
from msaas.client import Client
from tests.support.api import STEMS, song_bytes
from tests.support.environment import REPOSITORY

TEXT = (REPOSITORY / "docs" / "client.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def run(
    url: str, worker: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """Runs an example where its songs are, and returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSAAS_URL", url)
    (tmp_path / "album").mkdir()
    for hertz, name in enumerate(("song.mp3", "album/one.mp3", "album/two.mp3"), 300):
        (tmp_path / name).write_bytes(song_bytes(1.0, hertz))
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam, " * 1000)

    def run(example: str) -> str:
        exec(compile(example.replace("http://localhost:5000", url), "docs/client.md", "exec"), {})  # noqa: S102
        return capsys.readouterr().out

    return run


def test_every_example_does_what_it_says(run: Callable[[str], str], tmp_path: Path) -> None:
    whole, steps, wrong, many = EXAMPLES
    assert run(whole) == "stems/vocals.mp3\n"
    assert {path.name for path in (tmp_path / "stems").iterdir()} == {f"{stem}.mp3" for stem in STEMS}
    assert "done 100%, 0.0 s left" in run(steps)
    assert (tmp_path / "stems" / "vocals.flac").is_file()
    assert re.fullmatch(r"not_audio .* 422\n", run(wrong))
    run(many)
    assert (tmp_path / "stems" / "two" / "bass.mp3").is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/README.md"])
def test_the_first_page_says_which_python_and_msaas_are_meant_before_it_names_one(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for program in ("python", "msaas"):
        meaning, first = re.search(rf"`{program}` is\s+`\.venv/bin/{program}`", text), re.search(rf"`{program} ", text)
        assert meaning
        assert first is None or meaning.start() < first.start()


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    commands = re.findall(r"^    ([a-z]+)(?: {2,}|$)", capsys.readouterr().out, re.MULTILINE)
    assert {"separate", "batch", "callbacks", "openapi"} <= set(commands)
    assert [name for name in commands if f"msaas {name}" not in TEXT] == []


def test_every_call_is_listed_with_its_parameters() -> None:
    rows = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", TEXT, re.MULTILINE))
    calls = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert set(rows) == calls - {"close"}
    for name, listed in rows.items():
        taken = [one for one in inspect.signature(getattr(Client, name)).parameters if one != "self"]
        assert set(re.findall(r"\w+", listed)) - {"None"} == set(taken) - {"songhash"} | set(
            re.findall(r"^(job|songhash)\b", listed)
        ), name


def test_every_error_is_named() -> None:
    errors = [name for name in client.__all__ if isinstance(getattr(client, name), type)]
    assert all(name in TEXT for name in errors if issubclass(getattr(client, name), Exception))
