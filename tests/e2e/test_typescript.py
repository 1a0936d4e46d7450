"""clients/typescript: its own tests, with those against the service. Node runs the sources without their types."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
from playwright._impl._driver import compute_driver_executable

from msaas import __version__
from msaas.options import REQUEST_NAMES
from tests.support.audio.sounds import flac, tune
from tests.support.environment import REPOSITORY

CLIENT = REPOSITORY / "clients" / "typescript"
NODE = compute_driver_executable()[0]


def test_the_client_works_with_the_service(live, tmp_path):
    song = tmp_path / "song.flac"
    song.write_bytes(flac(tune(2, seed=23)))
    tests = [str(path) for path in (CLIENT / "test").glob("*.test.ts")]
    environ = {"PATH": os.environ["PATH"], "MSAAS_URL": live.url, "SONG": str(song)}
    ran = subprocess.run(
        [NODE, "--test", "--test-reporter=tap", *tests], env=environ, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    counts = dict(re.findall(r"^# (\w+) (\d+)$", ran.stdout, re.MULTILINE))
    assert (counts["fail"], counts["skipped"]) == ("0", "0")
    assert int(counts["pass"]) >= 9


@pytest.mark.parametrize("name", REQUEST_NAMES)
def test_it_knows_every_option(name):
    interface = re.search(r"interface Options {(.*?)\n}", (CLIENT / "src/client.ts").read_text(), re.DOTALL)
    assert re.search(rf"^  {name}\?:", interface[1], re.MULTILINE)


def test_its_version_is_the_packages():
    assert json.loads((CLIENT / "package.json").read_text())["version"] == __version__
