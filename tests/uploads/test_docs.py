"""The example of docs/sending.md runs as it stands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.api import song_bytes
from tests.support.api_process import real_api, url
from tests.support.environment import REPOSITORY

__all__ = ["real_api", "url"]

SECTION = (REPOSITORY / "docs/sending.md").read_text(encoding="utf-8").partition("\n## In parts\n")[2]


def test_the_example_with_curl_submits_a_song(url: str, tmp_path: Path) -> None:
    example = SECTION.partition("```sh\n")[2].partition("```")[0]
    (tmp_path / "song.flac").write_bytes(song_bytes())
    script = example.replace("localhost:5000", urlsplit(url).netloc)
    ran = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)  # noqa: S607
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["state"] == "queued"
