"""The wheel works without the source tree: installed elsewhere, in an empty folder, `msaas demo` separates a song."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.environment import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory)


def built(tmp_path_factory: pytest.TempPathFactory, **environment: str) -> Path:
    """From a copy, so that nothing of an earlier build gets into it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in ("src", "data", "models"):
        shutil.copytree(
            REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source / name)
    pip = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run(
        [*pip, "--wheel-dir", str(out), str(source)], env={**os.environ, **environment}, check=True, timeout=600
    )
    [found] = out.glob("msaas-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel. Its dependencies come from this one, by a path that adds no source tree."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=600)
    python = str(folder / "bin" / "python")
    pip = [python, "-P", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=600)
    place = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(place) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "bin" / "weed").symlink_to(Path(sys.executable).parent / "weed")
    return folder


def run(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """In an empty folder, with next to no environment."""
    environment = {"PATH": f"{installed / 'bin'}:/usr/bin:/bin", "HOME": str(folder), "MSAAS_DEVICE": "cpu"}
    environment |= {"HF_HUB_OFFLINE": "1", "MSAAS_MODEL": "msaas_mini"}
    done = subprocess.run(
        [str(installed / "bin" / "msaas"), *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_wheel_has_code_scripts_page_sample_and_small_model_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "msaas/queue/lua/jobs/claim.lua",
        "msaas/queue/lua/idempotency/begin.lua",
        "msaas/web/static/index.html",
        "msaas/catalogue/models/demucs.toml",
        "msaas/py.typed",
        "share/msaas/data/harbour-lights.mp3",
        *(str(file.relative_to(REPOSITORY)) for file in (REPOSITORY / "models").glob("*_mini/*")),
    ):
        assert any(name.endswith(part) for name in names), part
    static = REPOSITORY / "src/msaas/web/static"
    pages = [f"msaas/web/static/{path.relative_to(static)}" for path in static.rglob("*") if path.is_file()]
    assert [page for page in pages if not any(name.endswith(page) for name in names)] == []
    assert [name for name in names if "tests/" in name or "training" in name] == []


def compiled(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]


def test_the_wheel_has_the_compiled_kernels(wheel: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    [name] = compiled(wheel)
    assert name.endswith(f"engines/compiled/kernels{sysconfig.get_config_var('EXT_SUFFIX')}")


def test_a_wheel_is_built_without_a_compiler(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert compiled(built(tmp_path_factory, CC="/nonexistent/cc")) == []


def test_the_demo_separates_its_sample_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "demo")
    assert "src" not in done.stdout
    stems = sorted(path.name for path in (tmp_path / "stems").iterdir())
    assert stems == ["bass.mp3", "drums.mp3", "other.mp3", "vocals.mp3"]
    assert all(path.stat().st_size > 100_000 for path in (tmp_path / "stems").iterdir())


def test_the_commands_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert "MSAAS_PORT" in run(installed, tmp_path, "settings").stdout
    assert "htdemucs" in run(installed, tmp_path, "models", "list").stdout
    code = "import msaas; print(msaas.__file__)"
    found = subprocess.run(
        [str(installed / "bin/python"), "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert str(installed) in found.stdout
