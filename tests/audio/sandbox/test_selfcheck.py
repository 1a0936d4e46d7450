"""The sandbox works wherever the packages lie; where it does not, that is said at start, and is no song's fault."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest

from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher, restrictions, self_check
from msaas.audio.sandbox.client import ask
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.errors import SandboxError
from tests.hostile import fuzz
from tests.support.audio import hostile_files as files
from tests.support.audio.sounds import DATA
from tests.support.broken_sandbox import break_sandbox

SONG = DATA / "harbour-lights.mp3"
SRC = Path(restrictions.__file__).parents[3]
PACKAGES = Path(av.__file__).parents[1]
BARE = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"

CHECK = """
import logging, sys, av
from pathlib import Path
from msaas.audio.sandbox import self_check
from msaas.audio.limits import Limits
logging.basicConfig()
self_check.check_probe(Path(sys.argv[1]))
self_check.check_decoder(Path(sys.argv[1]), Limits())
print(av.__file__)
"""


@pytest.fixture(autouse=True)
def _fresh_helper():
    launcher.stop()
    yield
    launcher.stop()


# --- where the packages lie


def packages_in(folder, place):
    """PyAV, NumPy and what they bring with them, put into `folder` by `place`."""
    folder.mkdir(parents=True)
    for name in ("av", "av.libs", "numpy", "numpy.libs"):
        if (PACKAGES / name).exists():
            place(PACKAGES / name, folder / name)
    return folder


def linked_file_by_file(source, target):
    shutil.copytree(source, target, copy_function=os.symlink)


def by_target_folder(tmp_path):
    """pip install --target, the checkout beside it."""
    return BARE, {"PYTHONPATH": f"{SRC}:{PACKAGES}"}


def by_link_to_the_folder(tmp_path):
    (tmp_path / "packages").symlink_to(PACKAGES)
    return BARE, {"PYTHONPATH": f"{SRC}:{tmp_path / 'packages'}"}


def by_links_to_each_package(tmp_path):
    return BARE, {"PYTHONPATH": f"{SRC}:{packages_in(tmp_path / 'packages', lambda a, b: b.symlink_to(a))}"}


def by_links_to_each_file(tmp_path):
    """Of a package manager that keeps one copy of each file: the folders hold none."""
    return BARE, {"PYTHONPATH": f"{SRC}:{packages_in(tmp_path / 'packages', linked_file_by_file)}"}


def by_user_site(tmp_path):
    """pip install --user, with an editable checkout."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = packages_in(tmp_path / "lib" / version / "site-packages", lambda a, b: b.symlink_to(a))
    (folder / "msaas.pth").write_text(f"{SRC}\n")
    return BARE, {"PYTHONUSERBASE": str(tmp_path)}


def by_pth_of_a_venv(tmp_path):
    """Packages of the system, or of a parent, that a venv's .pth adds."""
    subprocess.run([BARE, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    [folder] = (tmp_path / "venv").glob("lib/*/site-packages")
    (folder / "more.pth").write_text(f"{SRC}\n{PACKAGES}\n")
    return tmp_path / "venv" / "bin" / "python", {}


def by_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "msaas.zip", "w") as file:
        for path in sorted((SRC / "msaas").rglob("*.py")):
            file.write(path, path.relative_to(SRC))
    return BARE, {"PYTHONPATH": f"{tmp_path / 'msaas.zip'}:{PACKAGES}"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "installed",
    [
        by_target_folder,
        by_link_to_the_folder,
        by_links_to_each_package,
        by_links_to_each_file,
        by_user_site,
        by_pth_of_a_venv,
        by_zip,
    ],
)
def test_songs_are_read_where_packages_are_installed(tmp_path, installed):
    python, given = installed(tmp_path)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | given
    done = subprocess.run(
        [python, "-P", "-c", CHECK, tmp_path], env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert not Path(done.stdout.strip()).is_relative_to(sys.base_prefix)


def test_nothing_is_imported_behind_the_fences(tmp_path):
    """What each kind of file needs is loaded before: behind the fences it may be out of reach."""
    kinds = [files.silent_opus(0.001), SONG.read_bytes(), *(dict(fuzz._songs())).values()]
    for number, data in enumerate(kinds):
        (tmp_path / f"{number:02}").write_bytes(data)
    code = """
import sys
from pathlib import Path
from msaas.audio.decode import probe
from msaas.audio.sandbox import decoder, fork_server
from msaas.audio.decode.decoder import Decoder
from msaas.audio.limits import Limits
from msaas.errors import AudioError
fork_server.import_all_of_pyav()
loaded = set(sys.modules)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(probe.probe(path, Limits()).codec, file=sys.stderr)
        list(Decoder(path, sample_rate=44_100, channels=2).blocks())
    except AudioError:
        pass
print(sorted(set(sys.modules) - loaded))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
    assert len(set(done.stderr.split())) > 10


def test_only_code_is_let_in(monkeypatch):
    """Whatever sys.path names: a home, the folder of the songs, all there is."""
    before = restrictions.code_folders()
    monkeypatch.setattr(sys, "path", ["", ".", "/", str(Path.home()), str(DATA), *sys.path])
    assert restrictions.code_folders() == before
    wide = {Path("/"), Path.home(), Path.cwd(), DATA, SRC.parent, SRC, PACKAGES}
    assert not wide & set(before)
    assert PACKAGES / "av" in before


# --- what is wrong with it


FAULT = """
import msaas.audio.decode.probe, msaas.audio.decode.decoder
def broken(*_args, **_more):
    raise PermissionError(13, "Permission denied", "/nix/store/av/late.so")
msaas.audio.decode.probe.probe = msaas.audio.decode.decoder.Decoder.blocks = broken
"""
DEAF = """
import msaas.audio.decode.decoder
whole = msaas.audio.decode.decoder.Decoder.blocks
msaas.audio.decode.decoder.Decoder.blocks = lambda self: (block * 0 for block in whole(self))
"""
MISSING = "sys.modules['av'] = None"


def read(_path):
    return list(IsolatedDecoder(SONG, sample_rate=44_100, channels=2).blocks())


def probe(path):
    return ask(path, Limits(), 30, 30)


@pytest.mark.parametrize("attempt", [read, probe])
def test_unforeseen_error_is_not_the_songs_fault_and_its_traceback_is_logged(tmp_path, monkeypatch, caplog, attempt):
    break_sandbox(tmp_path, monkeypatch, FAULT)
    with pytest.raises(SandboxError, match="Permission denied") as caught:
        attempt(SONG)
    assert (caught.value.code, caught.value.status) == ("internal_error", 500)
    assert "in broken" in caplog.text
    assert "late.so" in caplog.text


def test_probe_that_fails_by_our_fault_has_a_second_try(tmp_path, monkeypatch):
    again = f"""
import msaas.audio.sandbox.child, os
whole = msaas.audio.sandbox.child.answer
def once(sock, request):
    import msaas.audio.decode.probe
    if not os.path.exists({str(tmp_path / "tried")!r}):
        open({str(tmp_path / "tried")!r}, "w").close()
        msaas.audio.decode.probe.probe = None
    whole(sock, request)
msaas.audio.sandbox.child.answer = once
"""
    break_sandbox(tmp_path, monkeypatch, again)
    assert probe(SONG)["codec"] == "mp3"
    assert (tmp_path / "tried").exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [(FAULT, "Permission denied: '/nix/store/av/late.so'"), (MISSING, "its process ends with status 1")],
)
def test_self_check_says_why_the_sandbox_reads_nothing(tmp_path, monkeypatch, code, reason):
    break_sandbox(tmp_path, monkeypatch, code)
    for check in (self_check.check_probe, lambda folder: self_check.check_decoder(folder, Limits())):
        with pytest.raises(SandboxError, match="the sandbox failed to decode a test sound") as caught:
            check(tmp_path)
        assert reason in str(caught.value)


def test_self_check_hears_what_comes_out(tmp_path, monkeypatch):
    break_sandbox(tmp_path, monkeypatch, DEAF)
    with pytest.raises(SandboxError, match=r"32000 samples of level 0\.000"):
        self_check.check_decoder(tmp_path, Limits())


def test_self_check_tells_of_a_memory_limit_that_is_too_low(tmp_path, monkeypatch):
    monkeypatch.setattr(self_check, "PAUSE_SECONDS", 0)
    with pytest.raises(SandboxError, match=r"bytes of memory|crashed the decoder"):
        self_check.check_decoder(tmp_path, Limits(memory_bytes=100_000))


def test_self_check_outlives_a_kill_from_outside(tmp_path, monkeypatch):
    once = f"""
import os
if not os.path.exists({str(tmp_path / "killed")!r}):
    open({str(tmp_path / "killed")!r}, "w").close()
    os.kill(os.getpid(), 9)
"""
    break_sandbox(tmp_path, monkeypatch, once)
    monkeypatch.setattr(self_check, "PAUSE_SECONDS", 0)
    self_check.check_probe(tmp_path)
    assert (tmp_path / "killed").exists()


def test_fences_that_are_missing_are_named(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(restrictions, "detect", lambda: [restrictions.SECCOMP])
    monkeypatch.setattr(sys, "platform", "linux")
    self_check._log_restrictions()
    assert caplog.records[-1].levelname == "WARNING"
    assert "restrictions=seccomp missing=landlock" in caplog.text


def test_full_disk_does_not_keep_a_part_from_starting(tmp_path, caplog):
    self_check.check_probe(tmp_path / "none")
    assert "sandbox not checked" in caplog.text


# --- the parts


@pytest.mark.parametrize("part", ["msaas.web", pytest.param("msaas.worker", marks=pytest.mark.slow)])
def test_part_refuses_to_start_with_the_reason(tmp_path, monkeypatch, environ, part):
    break_sandbox(tmp_path, monkeypatch, FAULT)
    done = subprocess.run(
        [sys.executable, "-P", "-m", part], env=os.environ | environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "the sandbox failed to decode a test sound" in done.stderr
    assert "PermissionError: [Errno 13] Permission denied: '/nix/store/av/late.so'" in done.stderr


def test_separating_here_refuses_to_start_with_the_reason(tmp_path, monkeypatch, environ):
    break_sandbox(tmp_path, monkeypatch, FAULT)
    command = [sys.executable, "-P", "-m", "msaas.cli", "separate", "--local", "--json", str(SONG), "-o", str(tmp_path)]
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "the sandbox failed to decode a test sound" in done.stderr
    assert not any(json.loads(line).get("stems") for line in done.stdout.splitlines())


def test_known_sound_is_what_it_is_checked_for(tmp_path):
    self_check._write(tmp_path / "sound")
    decoder = IsolatedDecoder(tmp_path / "sound", sample_rate=self_check.RATE, channels=1)
    samples = np.concatenate(list(decoder.blocks()), axis=1)
    assert samples.shape == (1, self_check.SAMPLES)
    assert samples.max() == pytest.approx(self_check.LEVEL, abs=1e-3)
