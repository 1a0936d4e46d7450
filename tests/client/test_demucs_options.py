"""`msaas separate` takes the options of Demucs' command line, or says what to use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import separate
from tests.support.models.standin import Answer, Api


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (
            ["-n", "htdemucs_ft", "--mp3", "--mp3-bitrate", "192"],
            {"model": "htdemucs_ft", "format": "mp3", "bitrate": "192"},
        ),
        (["--name", "mdx", "--flac", "--int24"], {"model": "mdx", "format": "flac", "bit_depth": "24"}),
        (["--float32", "--two-stems", "vocals"], {"two_stems": "vocals", "format": "wav"}),
        (
            ["--shifts", "2", "--overlap", "0.5", "--other-method", "minus"],
            {"shifts": "2", "overlap": "0.5", "format": "mp3"},
        ),
        (["--quality", "best"], {"quality": "best", "format": "mp3"}),
        (
            ["--format", "wav", "--int24", "--sample-rate", "source", "--mono", "--start", "1:02.5", "--end", "90"],
            {
                "format": "wav",
                "bit_depth": "24",
                "sample_rate": "source",
                "mono": "true",
                "start": "62.5",
                "end": "90.0",
            },
        ),
    ],
)
def test_options_of_demucs_with_a_meaning_here_are_taken(
    api: Api, songs: list[Path], tmp_path: Path, given: list[str], asked: dict[str, str]
) -> None:
    api.answers["/apiv1/models"] = [Answer(body={"default": "htdemucs_mini"})]
    assert separate(*given, songs[0], "-o", tmp_path / "out", "--url", api.url) == 0
    sent = next(one.query for one in api.asked if one.path == "/apiv1/separate")
    assert sent == asked | {"filename": songs[0].name}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["-s", "x"], "-n"),
        (["-j", "4"], "per worker"),
        (["--segment", "7"], "omit it"),
        (["--no-split"], "omit it"),
        (["--filename", "{track}-{stem}.{ext}"], "-o"),
        (["--clip-mode", "clamp"], "omit it"),
        (["--mp3-preset", "2"], "--bitrate"),
        (["--other-method", "add"], "mix minus STEM"),
        (["--int24"], "--flac"),
        (["-d", "cuda"], "MSAAS_DEVICE"),
        (["--repo", "models"], "MSAAS_MODEL_REPO"),
        (["--list-models"], "msaas models list"),
        (["-v"], "--json"),
    ],
)
def test_other_options_of_demucs_are_answered_with_what_to_use(given: list[str], said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        separate(*given, "song.mp3")
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("msaas: -")
    assert said in line
