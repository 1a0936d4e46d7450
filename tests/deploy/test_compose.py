"""compose.yaml: pinned images, settings that exist, closed doors; and the .env that a first run makes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from msaas.settings import Settings
from tests.support.environment import REPOSITORY

OURS = ("rest", "worker", "worker-gpu")
SECRETS = {"MSAAS_REDIS_PASSWORD": "p", "MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "s"}
VARIABLE = re.compile(r"\$\{(\w+)(:[-?])?([^}]*)\}")


def compose(**environ: str) -> dict[str, Any]:
    """As compose reads it with these variables. KeyError for one that it asks for."""

    def value(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        return environ[name] if kind == ":?" else environ.get(name) or text

    found = yaml.safe_load(VARIABLE.sub(value, (REPOSITORY / "compose.yaml").read_text(encoding="utf-8")))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = compose(**SECRETS)["services"]
    return found


def test_images_of_others_are_pinned_by_digest(services: dict[str, Any]) -> None:
    for name in set(services) - set(OURS):
        assert re.fullmatch(r"docker\.io/[a-z/]+:[\d.]+@sha256:[0-9a-f]{64}", services[name]["image"]), name


@pytest.mark.parametrize("name", OURS)
def test_our_services_get_settings_that_exist_and_start_with_them(services: dict[str, Any], name: str) -> None:
    environ = {key: "" if text is None else str(text) for key, text in services[name]["environment"].items()}
    assert Settings.from_env(environ).redis_host == "valkey:6379"


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_without_rights(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["volumes"] == ["/scratch"]


def test_every_service_is_checked_and_waits_for_the_stores(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped"
        if name in OURS:
            assert service["depends_on"] == {store: {"condition": "service_healthy"} for store in ("valkey", "s3")}


def test_only_the_api_is_published_and_only_on_this_machine(services: dict[str, Any]) -> None:
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "rest": ["127.0.0.1:5000:5000"]
    }


def test_the_gpus_worker_is_started_by_its_profile_only(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "profiles" in service} == {"worker-gpu"}
    assert services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert services["worker-gpu"]["image"] != services["worker"]["image"]


@pytest.mark.parametrize("missing", SECRETS)
def test_nothing_starts_without_secrets(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        compose(**{name: text for name, text in SECRETS.items() if name != missing})


# --- the first run


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the script, and a docker that notes its arguments."""
    (tmp_path / "clone/deploy/tools").mkdir(parents=True)
    shutil.copy(REPOSITORY / "deploy/tools/compose.sh", tmp_path / "clone/deploy/tools")
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin/docker"
    docker.write_text('#!/bin/sh\n[ "$2" = version ] || echo "$@"\n')
    docker.chmod(0o755)
    return tmp_path / "clone"


def run(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PATH": f"{clone.parent / 'bin'}:/usr/bin:/bin"}
    script = str(clone / "deploy/tools/compose.sh")
    return subprocess.run([script, *arguments], env=environ, capture_output=True, text=True, check=True)


def read_env(clone: Path) -> dict[str, str]:
    lines = (clone / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_a_first_run_makes_secrets_and_later_ones_keep_them(clone: Path) -> None:
    assert run(clone).stdout.splitlines() == ["made .env with new secrets", "compose up --detach --build"]
    first = read_env(clone)
    assert first.keys() == SECRETS.keys()
    assert len(first["MSAAS_REDIS_PASSWORD"]) == len(first["MINIO_SECRET_KEY"]) == 48
    assert (clone / ".env").stat().st_mode & 0o777 == 0o600
    assert run(clone, "ps", "--all").stdout == "compose ps --all\n"
    assert read_env(clone) == first
    assert [path.name for path in clone.glob(".env*")] == [".env"]
    assert compose(**first)


def test_two_first_runs_have_different_secrets(clone: Path) -> None:
    run(clone)
    first = read_env(clone)
    (clone / ".env").unlink()
    run(clone)
    assert read_env(clone)["MINIO_SECRET_KEY"] != first["MINIO_SECRET_KEY"]


def test_without_an_engine_it_says_so(clone: Path) -> None:
    (clone.parent / "bin/docker").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run(clone)
    assert failed.value.returncode == 2
    assert "neither docker compose nor podman-compose" in failed.value.stderr
    assert not (clone / ".env").exists()
