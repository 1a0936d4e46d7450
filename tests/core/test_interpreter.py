"""Modules never come from the folder that a command is typed in."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from msaas import interpreter
from msaas.local.services import REST_COMMAND, WORKER_COMMAND
from msaas.worker.process import COMMAND
from tests.support.audio.sounds import DATA

SRC = Path(interpreter.__file__).parent
ROOT = Path(__file__).parents[2]
# What the parts import, of ours, of others and of Python's own.
SHADOWS = [
    "msaas",
    "av",
    "numpy",
    "torch",
    "demucs",
    "flask",
    "werkzeug",
    "uvicorn",
    "httptools",
    "redis",
    "minio",
    "requests",
    "json",
    "logging",
    "socket",
    "wave",
]
SHADOW = "import pathlib; pathlib.Path(__file__).with_name('ran').write_text(__name__); raise SystemExit(99)"
FIND_SPEC = "import importlib.util, msaas; print(importlib.util.find_spec('beside_the_songs'))"
DECODE = """
import sys
from pathlib import Path
from msaas.audio.sandbox.decoder import IsolatedDecoder
print(sum(block.shape[1] for block in IsolatedDecoder(Path(sys.argv[1]), sample_rate=44100, channels=2).blocks()))
"""


@pytest.fixture
def folder(tmp_path):
    """A working folder with a module for each name that the parts import, and for one that servers read."""
    for name in (*SHADOWS, "beside_the_songs", "gunicorn.conf"):
        (tmp_path / f"{name}.py").write_text(SHADOW)
    return tmp_path


def run(command, folder, **environ):
    given = os.environ | environ
    return subprocess.run(
        command, cwd=folder, env=interpreter.environment(given), capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("pythonpath", ["", os.pathsep, ".", "./", f"{os.pathsep}/nowhere", f"/nowhere{os.pathsep}."])
def test_no_module_comes_from_the_working_folder(folder, pythonpath):
    done = run(interpreter.command("-c", FIND_SPEC), folder, PYTHONPATH=pythonpath)
    assert done.stdout.strip() == "None", done.stderr


def test_other_entries_of_pythonpath_stay_and_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"PYTHONPATH": os.pathsep.join(("", "packages", "/elsewhere", str(SRC.parent))), "OTHER": "kept"}
    environ = interpreter.environment(given)
    assert environ["PYTHONPATH"].split(os.pathsep) == [str(tmp_path / "packages"), "/elsewhere", str(SRC.parent)]
    assert environ["OTHER"] == "kept"


def test_msaas_is_found_where_this_process_found_it(monkeypatch):
    monkeypatch.setattr(interpreter, "SOURCE", "/a/checkout/src")
    assert interpreter.environment({})["PYTHONPATH"] == "/a/checkout/src"
    monkeypatch.setattr(interpreter, "SOURCE", sysconfig.get_path("purelib"))
    assert "PYTHONPATH" not in interpreter.environment({})


@pytest.mark.parametrize("command", [REST_COMMAND, WORKER_COMMAND, COMMAND], ids=lambda command: command[-1])
def test_part_runs_nothing_of_the_working_folder(folder, command):
    """Each imports all it needs, and then refuses the setting."""
    given = interpreter.environment(os.environ | {"MSAAS_PORT": "none"})
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=given, text=True, **pipes) as process:
        said = process.stderr.read()  # with its input open: the separation process ends where that does
    assert "MSAAS_PORT='none'" in said
    assert not (folder / "ran").exists()


def test_decoding_process_runs_nothing_of_the_working_folder(folder):
    song = DATA / "harbour-lights.mp3"
    done = run(interpreter.command("-c", DECODE, str(song)), folder)
    assert done.stdout.strip() == "1679895", done.stderr
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    "command",
    [
        (str(Path(sysconfig.get_path("scripts")) / "msaas"), "settings"),
        (sys.executable, str(ROOT / "rest" / "rest-server.py")),
        (sys.executable, str(ROOT / "worker" / "worker-server.py")),
        (sys.executable, str(ROOT / "logs" / "logs.py"), "--help"),
        (sys.executable, str(ROOT / "sample-requests.py"), "--help"),
    ],
    ids=["msaas", "rest-server.py", "worker-server.py", "logs.py", "sample-requests.py"],
)
def test_command_runs_nothing_of_the_working_folder(folder, command):
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(
        command, cwd=folder, env=environ | {"MSAAS_PORT": "none"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 99, done.stderr
    assert not (folder / "ran").exists()


def test_python_is_started_through_the_interpreter_module_alone():
    """The scripts that the others start run isolated (-I), with the standard library alone."""
    found = {
        path.relative_to(SRC).as_posix()
        for path in SRC.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable"
    }
    assert found == {"interpreter.py", "local/processes/child.py"}


@pytest.mark.parametrize("part", ["rest", "worker", "logs"])
def test_images_search_no_working_folder(part):
    assert "PYTHONSAFEPATH=1" in (ROOT / part / "Dockerfile").read_text()
